"""Columns that the names of a source's folders give (`year=2024`): one value in all rows of a file."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure

TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def read_partitions(partitions: dict[str, Any], files: int) -> list[dict[str, pa.Scalar]]:
    """The columns of a task's `partitions` with their values, file by file; null where a file has no such folder.

    Raises WorkerFailure of kind `input` for a text that is no value of its column's type.
    """
    constants: list[dict[str, pa.Scalar]] = [{} for _ in range(files)]
    for name, column in partitions.items():
        kind, values = TYPES[column["type"]], {}
        for file, text in enumerate(column["texts"]):
            if text not in values:
                values[text] = _value(name, text, kind)
            constants[file][name] = values[text]
    return constants


def constant_column(value: pa.Scalar, rows: int) -> pa.Array:
    """The column of as many rows."""
    return pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, value.type)


def _value(name: str, text: str | None, kind: pa.DataType) -> pa.Scalar:
    try:
        return pa.scalar(text, pa.string()).cast(kind)
    except pa.ArrowInvalid as error:
        raise WorkerFailure(
            "input", f"a folder's name gives {name!r} the value {text!r}, which is no {kind}"
        ) from error

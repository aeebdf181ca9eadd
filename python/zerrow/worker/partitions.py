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


def with_partitions(schema: pa.Schema, partitions: dict[str, Any]) -> pa.Schema:
    """The schema of files and of what folders give, behind that; a column of both has the files' type and place."""
    for name, column in partitions.items():
        index = schema.get_field_index(name)
        if index < 0:
            schema = schema.append(pa.field(name, TYPES[column["type"]]))
        else:
            schema = schema.set(index, schema.field(index).with_nullable(True))
    return schema


def read_partitions(partitions: dict[str, Any], schema: pa.Schema, files: int) -> list[dict[str, pa.Scalar]]:
    """The columns of a task's `partitions` with their values, file by file; null where a file has no such folder.

    Raises WorkerFailure of kind `input` for a text that is no value of its column's type.
    """
    constants: list[dict[str, pa.Scalar]] = [{} for _ in range(files)]
    for name, column in partitions.items():
        kind, values = schema.field(name).type, {}
        for file, text in enumerate(column["texts"]):
            if text not in values:
                values[text] = partition_value(name, text, kind)
            constants[file][name] = values[text]
    return constants


def partition_value(name: str, text: str | None, kind: pa.DataType) -> pa.Scalar:
    """The value that a folder's name gives a column. Raises WorkerFailure of kind `input`."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    try:
        return pa.scalar(text, pa.string()).cast(kind)
    except pa.ArrowException as error:
        message = f"a folder's name gives the column {name!r} the value {text!r}, which is no {kind}"
        raise WorkerFailure("input", message) from error


def constant_column(value: pa.Scalar, rows: int, kind: pa.DataType) -> pa.Array:
    """The column of as many rows; `kind` may ask for dictionaries."""
    if not value.is_valid:
        return pa.nulls(rows, kind)
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(value.type):
        indices = pa.repeat(pa.scalar(0, kind.index_type), rows)
        return pa.DictionaryArray.from_arrays(indices, pa.array([value.as_py()], kind.value_type))
    return pa.repeat(value, rows)

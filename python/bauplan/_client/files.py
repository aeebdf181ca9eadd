"""Results of queries as files."""

from __future__ import annotations

import json
import math
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bauplan._client.results import Result

if TYPE_CHECKING:
    import pyarrow


def write_parquet(result: Result, path: Path) -> None:
    """Write all rows to a Parquet file."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, result.schema) as writer:
        for batch in result.batches():
            writer.write_batch(batch)


def write_csv(result: Result, path: Path) -> None:
    """Write all rows to a CSV file with a header."""
    import pyarrow
    import pyarrow.csv

    fields = [pyarrow.field(field.name, _csv_type(field.type)) for field in result.schema]
    schema = pyarrow.schema(fields)
    with pyarrow.csv.CSVWriter(str(path), schema) as writer:
        for batch in result.batches():
            columns = [_csv_column(batch.column(place), field.type) for place, field in enumerate(fields)]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))


def write_json(result: Result, path: Path, *, is_lines: bool) -> None:
    """Write all rows as objects, in a list or one a line."""
    begin, between, end = ("", "\n", "\n") if is_lines else ("[", ",\n", "]\n")
    with path.open("w", encoding="utf-8") as file:
        separator = begin
        for batch in result.batches():
            for row in batch.to_pylist():
                file.write(separator + json.dumps(_plain(row), ensure_ascii=False))
                separator = between
        file.write(end if separator == between else ("" if is_lines else begin + end))


def _csv_type(kind: pyarrow.DataType) -> pyarrow.DataType:
    """The type in which a column is written: what CSV has no way to say is a text."""
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        return _csv_type(kind.value_type)
    is_simple = (
        pyarrow.types.is_primitive(kind) or pyarrow.types.is_null(kind) or kind in (pyarrow.string(), pyarrow.binary())
    )
    return kind if is_simple and not pyarrow.types.is_duration(kind) else pyarrow.string()


def _csv_column(column: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow

    if column.type == kind:
        return column
    if pyarrow.types.is_nested(column.type):
        texts = [None if value is None else json.dumps(_plain(value)) for value in column.to_pylist()]
        return pyarrow.array(texts, kind)
    try:
        return column.cast(kind)
    except (pyarrow.ArrowNotImplementedError, pyarrow.ArrowInvalid):
        texts = [None if value is None else _text(_plain(value)) for value in column.to_pylist()]
        return pyarrow.array(texts, kind)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    return value if value is None or isinstance(value, str | int | bool) else str(value)

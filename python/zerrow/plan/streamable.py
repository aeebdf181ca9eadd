"""Columns of files that an engine of SQL reads by itself as a scan gives them (docs/decisions/streamed-scans.md).

A column is named here only where the engine's own reader is proven to give the same values in the same type: the rest
is decoded by a scan. `tests/worker/test_streams.py` holds the proof.
"""

from __future__ import annotations

import json
import string
from typing import Any

import pyarrow as pa

ENGINES = ("datafusion", "duckdb")
_LOWER_CASE = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""The letters whose case DuckDB disregards."""

_PLAIN = {
    "bool": ("BOOLEAN",),
    "int8": ("INT32",),
    "int16": ("INT32",),
    "int32": ("INT32",),
    "int64": ("INT64",),
    "uint8": ("INT32",),
    "uint16": ("INT32",),
    "uint32": ("INT32", "INT64"),
    "uint64": ("INT64",),
    "float": ("FLOAT",),
    "double": ("DOUBLE",),
    "date32[day]": ("INT32",),
}
"""Arrow's types by the physical ones that they are read from."""
_INTEGERS = {
    "int8": (8, True), "int16": (16, True), "int32": (32, True), "int64": (64, True),
    "uint8": (8, False), "uint16": (16, False), "uint32": (32, False), "uint64": (64, False),
}  # fmt: skip
_UNITS = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


class Streamable:
    """Gathers, file by file, the columns that each engine may read by itself."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, pa.DataType]] | None = None

    def add(self, schema: pa.Schema, metadata: Any) -> None:
        """Take in a file: the schema that a scan reads of it, and the data of its footer."""
        found = {engine: _columns(schema, metadata, engine) for engine in ENGINES}
        if self._columns is not None:
            # A column has to be in all files, and of one type.
            found = {engine: dict(self._columns[engine].items() & found[engine].items()) for engine in ENGINES}
        self._columns = found

    def refuse(self) -> None:
        """Take in a file of which nothing is known."""
        self._columns = {engine: {} for engine in ENGINES}

    def columns(self, schema: pa.Schema) -> dict[str, list[str]]:
        """The columns of all files together that each engine may read by itself, in their order."""
        known = self._columns or {}
        return {
            engine: [field.name for field in schema if known.get(engine, {}).get(field.name) == field.type]
            for engine in ENGINES
        }


def _columns(schema: pa.Schema, metadata: Any, engine: str) -> dict[str, pa.DataType]:
    names = schema.names
    if engine == "duckdb" and (len({name.translate(_LOWER_CASE) for name in names}) < len(names) or "" in names):
        return {}
    columns = {}
    for number in range(metadata.num_columns):
        column = metadata.schema.column(number)
        if column.path == column.name and column.max_repetition_level == 0 and column.max_definition_level <= 1:
            columns[column.name] = column
    return {
        field.name: field.type
        for field in schema
        if field.name in columns and _is_alike(field.type, columns[field.name], engine)
    }


def _is_alike(kind: pa.DataType, column: Any, engine: str) -> bool:
    """Whether the engine reads a Parquet column, which isn't nested, as this type and no other."""
    logical = json.loads(column.logical_type.to_json()) if column.logical_type is not None else {}
    noted = logical.get("Type", "None")
    physical = column.physical_type
    if kind == pa.dictionary(pa.int32(), pa.string()):
        kind = kind.value_type
    if pa.types.is_string(kind):
        return physical == "BYTE_ARRAY" and noted == "String"
    if pa.types.is_decimal128(kind):
        alike = (column.precision, column.scale) == (kind.precision, kind.scale)
        return noted == "Decimal" and physical in ("INT32", "INT64", "FIXED_LEN_BYTE_ARRAY") and alike
    if pa.types.is_timestamp(kind):
        return physical == "INT64" and noted == "Timestamp" and _is_same_time(kind, logical, engine)
    if physical not in _PLAIN.get(str(kind), ()):
        return False
    if pa.types.is_date32(kind):
        return noted == "Date"
    if pa.types.is_integer(kind):
        said = (logical.get("bitWidth"), logical.get("isSigned")) if noted == "Int" else _INTEGERS.get(physical.lower())
        return noted in ("Int", "None") and said == _INTEGERS[str(kind)]
    return noted == "None"


def _is_same_time(kind: pa.DataType, logical: dict[str, Any], engine: str) -> bool:
    if logical.get("timeUnit") != _UNITS.get(kind.unit) or logical.get("isAdjustedToUTC") is not (kind.tz is not None):
        return False
    # DuckDB reads milliseconds as microseconds, and moments of nanoseconds as such of microseconds.
    if engine == "duckdb":
        return kind.tz in (None, "UTC") and kind.unit in (("us", "ns") if kind.tz is None else ("us",))
    return kind.tz in (None, "UTC")

"""The notes of pandas in a table's metadata, by which `to_pandas` gives the frame back, kept true.

`pa.Table.from_pandas` notes each column's dtype, which columns are row labels, and the labels of the columns. pyarrow
keeps that when columns are taken, renamed or replaced, and `to_pandas` believes it: a column that was cast since would
raise an error, or get a time zone that it no longer has. So what a model passes on is held against its columns.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from zerrow.worker.view_types import is_string_view

KEY = b"pandas"

NULLABLE_NUMBERS = {
    kind: f"{'UInt' if kinds.is_unsigned_integer(kind) else 'Int'}{kind.bit_width}"
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
} | {pa.float32(): "Float32", pa.float64(): "Float64"}
"""The pandas dtypes for numbers that may be missing, by their Arrow types."""


def keep_true(table: pa.Table) -> pa.Table:
    """The table without the parts of its pandas metadata that are no longer true of its columns."""
    return _rewritten(table, _without_lies)


def keep_readable(table: pa.Table) -> pa.Table:
    """The table without notes that pandas does not understand here; for a process that has pandas.

    Without a dtype a column is read by its Arrow type; without notes about their labels, columns are called by text.
    pandas notes dtypes that it can't read itself, and those of other packages, which the reader may not have imported.
    """
    return _rewritten(table, _understood)


def without_labels(table: pa.Table) -> pa.Table:
    """The same for a result of SQL: notes about columns that are there still, and none about rows.

    An engine passes on the metadata of an input, whatever became of the input's rows.
    """
    return _rewritten(table, lambda noted, table: {**_without_lies(_with_labels(noted, []), table), **NOTHING_OF_ROWS})


def as_columns(table: pa.Table) -> pa.Table:
    """The table whose columns are no row labels, because somebody asked for them by name as columns."""
    return _rewritten(table, lambda noted, table: _with_labels(noted, _counted(noted)))


def without_count(table: pa.Table) -> pa.Table:
    """The table without labels that only count rows: its rows are of several files, or some of them."""
    return _rewritten(table, lambda noted, table: _with_labels(noted, _named(noted)))


def _with_labels(noted: dict[str, Any], labels: list[Any]) -> dict[str, Any]:
    """The same with fewer row labels; a column that was one is called as in the table."""
    were = {label for label in _named(noted) if label not in labels}
    columns = [
        {**column, "name": column["field_name"]} if column.get("field_name") in were else column
        for column in noted["columns"]
    ]
    return {**noted, "index_columns": labels, "columns": columns}


def _named(noted: dict[str, Any]) -> list[Any]:
    return [label for label in noted["index_columns"] if isinstance(label, str)]


def _counted(noted: dict[str, Any]) -> list[Any]:
    return [label for label in noted["index_columns"] if not isinstance(label, str)]


LABEL_TYPES = (
    *("unicode", "string", "bytes", "date", "datetime", "datetimetz", "integer", "floating", "decimal", "empty"),
    *("mixed", "mixed-integer", "mixed-integer-float"),
)
"""Notes of pandas about labels of columns that are no dtype."""

NOTHING_OF_ROWS: dict[str, Any] = {"column_indexes": [], "attributes": {}}


def _rewritten(table: pa.Table, change: Callable[[dict[str, Any], pa.Table], dict[str, Any]]) -> pa.Table:
    metadata = table.schema.metadata or {}
    # pyarrow would forget how many rows there are where there is no column.
    if KEY not in metadata or not table.num_columns:
        return table
    try:
        noted = change(json.loads(metadata[KEY]), table)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ):  # whoever wrote it, it isn't pandas'
        noted = None
    kept = {key: value for key, value in metadata.items() if key != KEY}
    if noted is not None:
        kept[KEY] = json.dumps(noted).encode()
    return table if kept == metadata else table.replace_schema_metadata(kept or None)


def _without_lies(noted: dict[str, Any], table: pa.Table) -> dict[str, Any]:
    columns = {}
    for column in noted["columns"]:
        name = column.get("field_name", column["name"])
        index = table.schema.get_field_index(name)
        if index >= 0:
            columns[name] = _true_of(column, table.schema.field(index).type)
    labels = [label for label in noted["index_columns"] if _is_there(label, columns, table.num_rows)]
    levels = noted.get("column_indexes", [])
    if any(name not in columns for name in table.column_names) and not _are_names(levels):
        levels = []
    return _with_labels({**noted, "columns": list(columns.values()), "column_indexes": levels}, labels)


def _understood(noted: dict[str, Any], table: pa.Table) -> dict[str, Any]:
    from pandas.api.types import pandas_dtype

    @functools.cache
    def is_understood(dtype: str) -> bool:
        try:
            pandas_dtype(dtype)
        except (TypeError, ValueError, NotImplementedError):
            return False
        return True

    columns = [
        column if is_understood(column["numpy_type"]) else {**column, "numpy_type": "object"}
        for column in noted["columns"]
    ]
    levels = noted.get("column_indexes", [])
    if not all(level["pandas_type"] in LABEL_TYPES or is_understood(level["pandas_type"]) for level in levels):
        levels = []
    return {**noted, "columns": columns, "column_indexes": levels}


def _true_of(column: dict[str, Any], kind: pa.DataType) -> dict[str, Any]:
    """The note of a column, or less of it where its Arrow type is no longer the one that was noted."""
    if _fits(column, kind):
        return column
    dtype = "object"
    if column["numpy_type"] in NULLABLE_NUMBERS.values():
        dtype = NULLABLE_NUMBERS.get(kind, dtype)
    # The name stays known; "object" has pyarrow choose a dtype by the Arrow type.
    now = _logical_type(kind)
    return {**column, "pandas_type": "object" if now == "datetimetz" else now, "numpy_type": dtype, "metadata": None}


def _fits(column: dict[str, Any], kind: pa.DataType) -> bool:
    dtype = column["numpy_type"]
    if "<" in dtype:  # the dtype of a nested Arrow type, which pandas does not understand
        return False
    # pyarrow notes the same for large strings, periods, intervals and much else.
    if dtype.startswith(("str", "large_string")):
        return _is_text(kind)
    if dtype.startswith(("period", "interval")):
        return isinstance(kind, pa.BaseExtensionType)
    zone = (column.get("metadata") or {}).get("timezone")
    return column["pandas_type"] == _logical_type(kind) and (zone is None or zone == kind.tz)


def _logical_type(kind: pa.DataType) -> str:
    """The name that pyarrow notes as `pandas_type`; its own function needs numpy, which the reader of a file may
    lack."""
    if kinds.is_dictionary(kind):
        return "categorical"
    if kinds.is_list(kind):
        return f"list[{_logical_type(kind.value_type)}]"
    if kinds.is_timestamp(kind):
        return "datetime" if kind.tz is None else "datetimetz"
    for is_kind, name in LOGICAL_TYPES:
        if is_kind(kind):
            return name
    return str(kind) if kinds.is_integer(kind) else "object"


def _is_text(kind: pa.DataType) -> bool:
    return kinds.is_string(kind) or kinds.is_large_string(kind) or is_string_view(kind)


LOGICAL_TYPES = (
    (kinds.is_null, "empty"), (kinds.is_boolean, "bool"), (kinds.is_float16, "float16"), (kinds.is_float32, "float32"),
    (kinds.is_float64, "float64"), (kinds.is_date, "date"), (kinds.is_time, "time"), (kinds.is_string, "unicode"),
    (kinds.is_binary, "bytes"), (kinds.is_fixed_size_binary, "bytes"), (kinds.is_decimal, "decimal"),
)  # fmt: skip


def _is_there(label: Any, columns: dict[str, Any], rows: int) -> bool:
    if isinstance(label, str):
        return label in columns
    return len(range(label["start"], label["stop"], label["step"])) == rows


def _are_names(levels: list[dict[str, Any]]) -> bool:
    """Are the labels of the columns plain names, so that a column that pandas did not know may be among them?"""
    return len(levels) < 2 and all(level["pandas_type"] in ("unicode", "string", "empty", "mixed") for level in levels)

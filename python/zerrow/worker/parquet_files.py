"""Parquet files that zerrow writes: dictionaries where they pay, and row groups of a size that readers like."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from zerrow.worker.failures import WorkerFailure

GROUP_BYTES = 128 << 20
"""About the bytes of a row group before they are encoded: enough for good codes, few enough to hold some at once."""
GROUP_ROWS_MIN, GROUP_ROWS_MAX = 1 << 16, 1 << 20
SAMPLE_ROWS = 1 << 16
"""So many rows tell whether a column's values repeat."""
REPEATS_MIN = 4
"""How often a value must occur, on average, for a dictionary to pay."""


def write_parquet(table: pa.Table, schema: pa.Schema, descriptor: int, dictionaries: list[str], name: str) -> None:
    """Write a table to a file, which is closed after that."""
    rows = max(1, table.num_rows)
    group_rows = min(max(GROUP_BYTES * rows // max(1, table.nbytes), GROUP_ROWS_MIN), GROUP_ROWS_MAX)
    with open(descriptor, "wb", buffering=0) as file:
        try:
            with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=dictionaries) as writer:
                writer.write_table(table, row_group_size=group_rows)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise WorkerFailure("result", f"{name} can't be written as Parquet: {_culprit(schema)}{error}") from error


def _culprit(schema: pa.Schema) -> str:
    """The column that Parquet has no type for, for a message."""
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
            return f"the column {field.name!r} of type {field.type}: "
    return ""


def repeating_columns(table: pa.Table) -> list[str]:
    """The columns, by their paths in Parquet, whose values repeat so often that a dictionary pays: a dictionary that is
    begun in vain costs a third of the time."""
    found = []
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type
        if pa.types.is_dictionary(kind):
            found.append(field.name)
        elif pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
            # Their paths are the writer's to name; of theirs all get one, as usual.
            found.append(field.name)
        elif not pa.types.is_boolean(kind) and not pa.types.is_null(kind) and _repeats(column):
            found.append(field.name)
    return found


def _repeats(column: pa.ChunkedArray) -> bool:
    rows = len(column)
    if rows == 0:
        return True
    # From the middle: beginnings are often unlike the rest.
    sample = column.slice(max(0, rows // 2 - SAMPLE_ROWS // 2), SAMPLE_ROWS)
    try:
        distinct = len(sample.unique())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return True
    return distinct * REPEATS_MIN <= len(sample)

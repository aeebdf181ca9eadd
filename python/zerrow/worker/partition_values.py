"""The parts of a table by the values of its partition columns, one for each file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.ordered_values import as_noted, comparable, in_utc, is_text, plain

TEXT_BYTES_MAX = 1024
"""The longest text that is a partition's value, or a bound of one."""
_FORMATS = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%d-%H"}


@dataclass
class Part:
    """Rows that have one value of each partition column, as texts; `bounds` are of the columns these are made of."""

    table: pa.Table
    values: list[str | None]
    bounds: list[dict[str, Any]]


def parts_of(table: pa.Table, partitions: list[dict[str, Any]], name: str) -> list[Part]:
    """The parts of a table, which is named `name`. One part, if it has no partitions or no rows.

    Raises WorkerFailure for a column that isn't there, or whose values can't be partitioned by.
    """
    if not partitions:
        return [Part(table, [], [])]
    columns = [_column(table, each, name) for each in partitions]
    keys = [_texts(column, each, name) for column, each in zip(columns, partitions, strict=True)]
    if table.num_rows == 0:
        nothing = [{"min": None, "max": None, "nulls": 0} for _ in partitions]
        return [Part(table, [None] * len(partitions), nothing)]
    groups = _groups(keys)
    parts = []
    for values, rows in groups:
        own = table if rows is None else table.take(rows)
        bounds = [_bounds(own.column(each["column"]), name, each["column"]) for each in partitions]
        parts.append(Part(own, values, bounds))
    return parts


def _column(table: pa.Table, partition: dict[str, Any], name: str) -> pa.ChunkedArray:
    column = partition["column"]
    if table.schema.get_field_index(column) < 0:
        raise WorkerFailure(
            "result",
            f"{name} has no column {column!r} to partition by; it has {', '.join(map(repr, table.column_names))}",
        )
    return plain(table.column(column))


def _groups(keys: list[pa.ChunkedArray]) -> list[tuple[list[str | None], pa.Array | None]]:
    """The distinct combinations of values, each with the places of its rows, in the rows' order; None for all."""
    names = [f"k{place}" for place in range(len(keys))]
    whole = pa.table(keys, names=names)
    distinct = whole.group_by(names).aggregate([])
    rows = distinct.to_pylist()
    if len(rows) == 1:
        return [([rows[0][each] for each in names], None)]
    # One number for each combination; sorting is stable, so rows keep their order within each.
    codes = None
    for key in keys:
        encoded = key.combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        own = encoded.indices.cast(pa.int64())
        codes = own if codes is None else pc.add(pc.multiply(codes, len(encoded.dictionary)), own)
    order = pc.array_sort_indices(codes)
    sorted_codes = codes.take(order)
    ends = pc.run_end_encode(sorted_codes, run_end_type=pa.int64()).run_ends.to_pylist()
    groups, start = [], 0
    for end in ends:
        places = order.slice(start, end - start)
        first = places[0].as_py()
        groups.append(([key[first].as_py() for key in keys], places))
        start = end
    return groups


def _texts(column: pa.ChunkedArray, partition: dict[str, Any], name: str) -> pa.ChunkedArray:
    """A partition's value of each row, as a text that is the same for equal values."""
    transform, kind = partition["transform"], column.type
    if transform == "identity":
        if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_decimal(kind) or kinds.is_date32(kind):
            return column.cast(pa.string())
        if is_text(kind):
            return column.cast(pa.string())
        if kinds.is_date64(kind):
            return column.cast(pa.date32()).cast(pa.string())
        if kinds.is_timestamp(kind):
            return in_utc(column).cast(pa.string())
        if kinds.is_time(kind):
            return column.cast(pa.string())
    elif transform == "truncate":
        width = partition["width"]
        if kinds.is_integer(kind):
            wide = column.cast(pa.int64())
            # Arrow divides towards zero, and partitions go down from there.
            remainder = pc.subtract(wide, pc.multiply(pc.divide(wide, width), width))
            below = pc.if_else(pc.less(remainder, 0), width, 0)
            return pc.subtract(pc.subtract(wide, remainder), below).cast(pa.string())
        if is_text(kind):
            return pc.utf8_slice_codeunits(column.cast(pa.string()), 0, width)
    elif kinds.is_timestamp(kind) or (kinds.is_date(kind) and transform != "hour"):
        moments = in_utc(column) if kinds.is_timestamp(kind) else column.cast(pa.timestamp("s"))
        return pc.strftime(moments.cast(pa.timestamp("s"), safe=False), _FORMATS[transform])
    what = partition["column"] if transform == "identity" else f"{transform.upper()}({partition['column']})"
    raise WorkerFailure("result", f"{name} can't be partitioned by {what}: the column is {kind}")


def _bounds(column: pa.ChunkedArray, name: str, title: str) -> dict[str, Any]:
    values = comparable(column)
    if values is None:
        raise WorkerFailure("result", f"{name} can't be partitioned by {title!r}: its values can't be compared")
    found = pc.min_max(values).as_py()
    least, greatest = as_noted(found["min"]), as_noted(found["max"])
    if any(isinstance(each, str) and len(each.encode()) > TEXT_BYTES_MAX for each in (least, greatest)):
        message = f"{name} can't be partitioned by {title!r}: a value has over {TEXT_BYTES_MAX} bytes"
        raise WorkerFailure("result", message)
    return {"min": least, "max": greatest, "nulls": column.null_count}

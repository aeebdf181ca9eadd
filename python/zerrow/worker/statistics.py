"""The row groups that statistics of Parquet files rule out, because no row in them can meet a predicate.

The predicate's `prune` condition (zerrow.plan.pruning) is evaluated by the same engine as the predicate, over a table
with a row for each row group: the smallest and the largest value of each column, its nulls, and the rows. What a footer
doesn't tell, or tells in a way that isn't certain, is null there, and the row group is kept.
"""

from __future__ import annotations

import decimal
import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.predicate import Predicate, rows_kept

FLOATS_MAX = 3
"""The most float columns of a condition that are judged: each is looked at in three ways."""

_NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))[0]
_NANS = (math.nan, _NEGATIVE_NAN)
_UNITS = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
_DECIMALS = decimal.Context(prec=80)


class Prunable(Protocol):
    """A file as pruning needs it; `Source` is one."""

    metadata: pq.FileMetaData
    constants: dict[str, pa.Scalar]
    """Columns that have one value in all rows of the file, and are not in it."""

    def close(self) -> None:
        """Let go of everything that was needed to get the metadata, which stays."""


def groups_kept(files: Sequence[Prunable], predicate: Predicate | None, schema: pa.Schema) -> list[list[int]]:
    """For each file the row groups that may have rows which meet the predicate; `schema` has the predicate's columns.

    A file that its constants rule out is not asked for its metadata; each other one is, and is closed before the next
    one is. Never raises for a condition that can't be judged: everything is kept then.
    """
    if predicate is None or predicate.prune is None:
        return [_every_group(file) for file in files]
    possible = _possible(files, predicate, schema)
    table = _Table([file for file, is_possible in zip(files, possible, strict=True) if is_possible], predicate, schema)
    met = _met(table.rows(), predicate)
    kept: list[set[int]] = [set() for _ in files]
    numbers = [number for number, is_possible in enumerate(possible) if is_possible]
    for place, (file, group) in enumerate(table.places):
        if met is None or place in met:
            kept[numbers[file]].add(group)
    return [sorted(groups) for groups in kept]


def _every_group(file: Prunable) -> list[int]:
    groups = list(range(file.metadata.num_row_groups))
    file.close()
    return groups


def _possible(files: Sequence[Prunable], predicate: Predicate, schema: pa.Schema) -> list[bool]:
    """Whether each file may have such rows, by its constants alone."""
    values = [tuple(file.constants.get(name) for name in predicate.columns) for file in files]
    different = [each for each in dict.fromkeys(values) if any(value is not None for value in each)]
    if not different:
        return [True] * len(files)
    columns: dict[str, pa.Array] = {"rows": pa.array([1] * len(different), pa.int64())}
    for index, name in enumerate(predicate.columns):
        kind = _value_type(schema.field(name).type)
        own = [each[index] for each in different]
        ends = pa.concat_arrays([pa.nulls(1, kind) if value is None else _ends(value, 1, kind) for value in own])
        nulls = [None if value is None else int(not value.is_valid) for value in own]
        columns |= {f"min {name}": ends, f"max {name}": ends, f"nulls {name}": pa.array(nulls, pa.int64())}
    met = _met(pa.table(columns), predicate)
    if met is None:
        return [True] * len(files)
    ruled_out = {each for place, each in enumerate(different) if place not in met}
    return [each not in ruled_out for each in values]


def _met(rows: pa.Table, predicate: Predicate) -> set[int] | None:
    """The rows that meet the pruning condition, which is never null; None where it can't be evaluated."""
    if not rows.num_rows:
        return set()
    try:
        return set(rows_kept(rows, Predicate(predicate.prune, predicate.columns, None, predicate.table)).tolist())
    except (WorkerFailure, pa.ArrowException, ValueError, OverflowError):
        return None


def _ends(value: pa.Scalar, count: int, kind: pa.DataType) -> pa.Array:
    """A constant as often as asked."""
    return pa.array([value.as_py()] * count, value.type).cast(kind)


class _Table:
    """The table that a prune condition is evaluated on. A row group has several rows where a column is a float: its
    values, and each NaN that may be among them, which no statistics tell of."""

    def __init__(self, files: Sequence[Prunable], predicate: Predicate, schema: pa.Schema) -> None:
        self._files = files
        self._columns = {name: _value_type(schema.field(name).type) for name in predicate.columns}
        floats = [name for name, kind in self._columns.items() if pa.types.is_floating(kind)]
        self._floats = floats if len(floats) <= FLOATS_MAX else []
        self._unjudged = set() if len(floats) <= FLOATS_MAX else set(floats)
        self.places: list[tuple[int, int]] = []

    def rows(self) -> pa.Table:
        ways = 3 ** len(self._floats)
        arrays: dict[str, list[pa.Array]] = {}
        for number, file in enumerate(self._files):
            groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
            self.places += [(number, group) for group in range(len(groups)) for _ in range(ways)]
            rows = [group.num_rows for group in groups for _ in range(ways)]
            arrays.setdefault("rows", []).append(pa.array(rows, pa.int64()))
            flat = _flat_columns(file.metadata.schema)
            for name, kind in self._columns.items():
                low, high, nulls = self._ends_of(file, groups, name, kind, flat)
                arrays.setdefault(f"min {name}", []).append(self._spread(name, low, kind, ways))
                arrays.setdefault(f"max {name}", []).append(self._spread(name, high, kind, ways))
                spread = [value for value in nulls for _ in range(ways)]
                arrays.setdefault(f"nulls {name}", []).append(pa.array(spread, pa.int64()))
            file.close()
        if not arrays:
            return pa.table({})
        return pa.table({name: pa.chunked_array(parts).combine_chunks() for name, parts in arrays.items()})

    def _ends_of(
        self, file: Prunable, groups: list[Any], name: str, kind: pa.DataType, flat: dict[str, int]
    ) -> tuple[pa.Array, pa.Array, list[int | None]]:
        unknown = pa.nulls(len(groups), kind)
        if name in file.constants:
            value = file.constants[name]
            ends = _ends(value, len(groups), kind)
            return ends, ends, [0 if value.is_valid else group.num_rows for group in groups]
        number = flat.get(name)
        if number is None or name in self._unjudged:
            return unknown, unknown, [None] * len(groups)
        column = file.metadata.schema.column(number)
        found = [_statistics(group, number) for group in groups]
        nulls = [each.null_count if each is not None and each.has_null_count else None for each in found]
        raw = [_raw_ends(each) for each in found]
        try:
            low = _typed([ends[0] for ends in raw], column, kind)
            high = _typed([ends[1] for ends in raw], column, kind)
        except (pa.ArrowException, ValueError, OverflowError, decimal.DecimalException, TypeError):
            return unknown, unknown, nulls
        return low, high, nulls

    def _spread(self, name: str, values: pa.Array, kind: pa.DataType, ways: int) -> pa.Array:
        """The values once for each way to look at a row group: as they are, or as one of the NaNs."""
        if ways == 1:
            return values
        spread = []
        position = self._floats.index(name) if name in self._floats else None
        for value in values.to_pylist():
            for way in range(ways):
                turn = 0 if position is None else way // 3**position % 3
                spread.append(value if turn == 0 else _NANS[turn - 1])
        return pa.array(spread, kind)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _flat_columns(schema: pq.ParquetSchema) -> dict[str, int]:
    """The numbers of the columns that are no part of a nested one."""
    found = {}
    for number in range(len(schema)):
        column = schema.column(number)
        is_flat = column.max_repetition_level == 0 and column.max_definition_level <= 1
        if is_flat and column.path == column.name:
            found[column.name] = number
    return found


def _statistics(group: Any, number: int) -> Any:
    try:
        return group.column(number).statistics
    except (pa.ArrowException, ValueError, OSError):
        return None


def _raw_ends(statistics: Any) -> tuple[Any, Any]:
    """The smallest and the largest value as Parquet stores them; None for each that isn't certain."""
    if statistics is None:
        return None, None
    try:
        if not statistics.has_min_max:
            return None, None
        low, high = statistics.min_raw, statistics.max_raw
    except (pa.ArrowException, ValueError, OverflowError):
        return None, None
    if isinstance(low, float) and (math.isnan(low) or math.isnan(high)):
        return None, None  # an old writer that didn't leave NaNs out: its other end means nothing either
    return low, high


def _typed(values: list[Any], column: Any, kind: pa.DataType) -> pa.Array:
    """Values as Parquet stores them, as values of the Arrow type that the column is read as."""
    logical = json.loads(column.logical_type.to_json()) if column.logical_type is not None else {}
    if pa.types.is_decimal(kind):
        scale = column.scale if logical.get("Type") == "Decimal" else 0
        return pa.array([_decimal(value, scale) for value in values], kind)
    if pa.types.is_timestamp(kind):
        unit = _UNITS.get(str(logical.get("timeUnit")))
        if unit is None or column.physical_type != "INT64":
            return pa.nulls(len(values), kind)
        # A coarser unit cuts digits off, which keeps the order; what a finer one can't hold is refused.
        options = pc.CastOptions(target_type=kind, allow_time_truncate=True)
        return pa.array(values, pa.int64()).view(pa.timestamp(unit, kind.tz)).cast(options=options)
    if pa.types.is_date(kind):
        if column.physical_type != "INT32":
            return pa.nulls(len(values), kind)
        return pa.array(values, pa.int32()).view(pa.date32()).cast(kind)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _number(values, column, logical, kind)
    if pa.types.is_boolean(kind):
        return pa.array(values, pa.bool_())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array([_text(value) for value in values], kind)
    return pa.nulls(len(values), kind)


def _number(values: list[Any], column: Any, logical: dict[str, Any], kind: pa.DataType) -> pa.Array:
    """Numbers; a file may store them narrower than the scan's schema, which widens them in their order."""
    if logical.get("Type") == "Decimal" or column.physical_type not in ("INT32", "INT64", "FLOAT", "DOUBLE"):
        return pa.nulls(len(values), kind)
    if column.physical_type in ("FLOAT", "DOUBLE"):
        return pa.array(values, pa.float64()).cast(kind, safe=False)
    if logical.get("Type") == "Int" and logical.get("isSigned") is False:
        # They are stored as if they were signed.
        bits = 32 if column.physical_type == "INT32" else 64
        values = [None if value is None else value % (1 << bits) for value in values]
        return pa.array(values, pa.uint64()).cast(kind)
    return pa.array(values, pa.int64()).cast(kind)


def _decimal(value: int | bytes | None, scale: int) -> decimal.Decimal | None:
    if value is None:
        return None
    number = value if isinstance(value, int) else int.from_bytes(value, "big", signed=True)
    return decimal.Decimal(number).scaleb(-scale, context=_DECIMALS)


def _text(value: bytes | str | None) -> str | None:
    """A text; None for one that a writer cut in the middle of a letter."""
    if value is None or isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None

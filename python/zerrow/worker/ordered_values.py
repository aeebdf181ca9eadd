"""Values in a form that the catalog can compare: whole numbers, numbers, and texts in the order of their bytes.

What bounds of files are, and what an overwrite filter compares with them and with rows, goes through here alone.
"""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

_TIMESTAMP = re.compile(r"timestamp\[(?P<unit>s|ms|us|ns)(, tz=(?P<zone>[^\]]+))?\]")
_DECIMAL = re.compile(r"decimal(?P<bits>32|64|128|256)\((?P<precision>\d+), (?P<scale>-?\d+)\)")
_INTEGER_MAX = 1 << 63


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are texts."""
    return kinds.is_string(kind) or kinds.is_large_string(kind) or str(kind) == "string_view"


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without a dictionary."""
    return column.cast(column.type.value_type) if kinds.is_dictionary(column.type) else column


def in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments in UTC, without a zone: the same numbers."""
    return column.cast(pa.timestamp(column.type.unit)) if column.type.tz is not None else column


def comparable(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as numbers, texts or decimals that have the order of its values; None for types without such a form."""
    column = plain(column)
    kind = column.type
    if kinds.is_timestamp(kind):
        return in_utc(column).cast(pa.int64())
    if kinds.is_date64(kind):
        return column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    if kinds.is_date32(kind) or kinds.is_time32(kind):
        return column.cast(pa.int32()).cast(pa.int64())
    if kinds.is_time64(kind):
        return column.cast(pa.int64())
    if kinds.is_boolean(kind):
        return column.cast(pa.int8())
    if is_text(kind):
        return column.cast(pa.string())
    return column if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) else None


def as_noted(value: Any) -> int | float | str | None:
    """A value of such a column as JSON has it; a decimal without its point."""
    if isinstance(value, decimal.Decimal):
        value = int(value.scaleb(-int(value.as_tuple().exponent), decimal.Context(prec=80)))
    if isinstance(value, int) and not -_INTEGER_MAX <= value < _INTEGER_MAX:
        return float(value)
    return value


def value_of(literal: str | int | float | bool, kind: pa.DataType) -> Any:
    """The value that a literal stands for beside a column of a type, as `comparable` has it. Raises ValueError."""
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    try:
        if isinstance(literal, str):
            column = _from_text(literal, kind)
        elif kinds.is_boolean(kind) != isinstance(literal, bool) or not _takes_numbers(kind):
            column = None
        elif kinds.is_integer(kind) or kinds.is_floating(kind):
            return literal
        else:
            exact = decimal.Decimal(str(literal)) if kinds.is_decimal(kind) else literal
            column = pa.chunked_array([pa.array([exact]).cast(kind)])
    except (pa.ArrowException, decimal.InvalidOperation) as error:
        raise ValueError(f"{literal!r} is no value of a column of type {kind}") from error
    found = None if column is None else comparable(column)
    if found is None:
        raise ValueError(f"{literal!r} can't be compared with a column of type {kind}")
    return found[0].as_py()


def _takes_numbers(kind: pa.DataType) -> bool:
    return kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind)


def _from_text(text: str, kind: pa.DataType) -> pa.ChunkedArray | None:
    if is_text(kind):
        return pa.chunked_array([pa.array([text])])
    if kinds.is_timestamp(kind):
        # A moment without a zone is one in UTC, whatever the column's zone is.
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
        return pa.chunked_array([pa.array([moment], pa.timestamp("us")).cast(pa.timestamp(kind.unit))])
    if kinds.is_date(kind) or kinds.is_time(kind):
        return pa.chunked_array([pa.array([text.strip()]).cast(kind)])
    return None


def type_of(text: str) -> pa.DataType | None:
    """The type that a catalog's name of one stands for, as far as partitions can be of it; None for others."""
    if found := _TIMESTAMP.fullmatch(text):
        return pa.timestamp(found["unit"], found["zone"])
    if found := _DECIMAL.fullmatch(text):
        return getattr(pa, f"decimal{found['bits']}")(int(found["precision"]), int(found["scale"]))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return None

"""An overwrite filter beside rows and beside files: which of them meet it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zerrow.worker.ordered_values import as_noted, comparable, value_of

_COMPARE = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def with_values(condition: dict[str, Any], kind_of: Callable[[str], pa.DataType | None]) -> dict[str, Any]:
    """The filter of a task with its literals as the values that they stand for beside the columns' types.

    Raises ValueError for a column whose type isn't known, or a literal that is none of its values.
    """
    for word in ("and", "or"):
        if word in condition:
            return {word: [with_values(part, kind_of) for part in condition[word]]}
    kind = kind_of(condition["column"])
    if kind is None:
        raise ValueError(f"the column {condition['column']!r} can't be compared")
    return {**condition, "values": [value_of(each, kind) for each in condition["values"]]}


def as_json(condition: dict[str, Any]) -> dict[str, Any]:
    """A filter with values as the message `wrote` has it."""
    for word in ("and", "or"):
        if word in condition:
            return {word: [as_json(part) for part in condition[word]]}
    return {**condition, "values": [as_noted(each) for each in condition["values"]]}


def rows_meeting(condition: dict[str, Any], table: pa.Table) -> pa.ChunkedArray:
    """Whether each row of a table meets a filter with values; a comparison with null is not met."""
    return pc.fill_null(_mask(condition, table), False)


def _mask(condition: dict[str, Any], table: pa.Table) -> pa.ChunkedArray:
    for word, join in (("and", pc.and_kleene), ("or", pc.or_kleene)):
        if word in condition:
            first, *rest = (_mask(part, table) for part in condition[word])
            for each in rest:
                first = join(first, each)
            return first
    column = comparable(table.column(condition["column"]))
    op, values = condition["op"], condition["values"]
    if op in ("in", "not in"):
        compare, join = (pc.equal, pc.or_kleene) if op == "in" else (pc.not_equal, pc.and_kleene)
    else:
        compare, join = _COMPARE[op], pc.and_kleene
    mask = compare(column, values[0])
    for value in values[1:]:
        mask = join(mask, compare(column, value))
    return mask


def extent(condition: dict[str, Any], bounds: dict[str, dict[str, Any]], rows: int) -> str:
    """How many rows of a file meet a filter as JSON has it, by the bounds of its columns: none, some or all.

    The catalog decides by the same rules when the run commits (OverwriteFilter.swift).
    """
    if rows == 0:
        return "none"
    for word, strongest, weakest in (("and", "none", "all"), ("or", "all", "none")):
        if word in condition:
            found = [extent(part, bounds, rows) for part in condition[word]]
            if strongest in found:
                return strongest
            return weakest if all(each == weakest for each in found) else "some"
    own = bounds[condition["column"]]
    if own["nulls"] >= rows:
        return "none"
    least, greatest = own.get("min"), own.get("max")
    if least is None or greatest is None:
        return "some"
    found = [_extent(condition["op"], least, greatest, value) for value in condition["values"]]
    if condition["op"] == "in":
        result = "all" if "all" in found else "none" if all(each == "none" for each in found) else "some"
    elif condition["op"] == "not in":
        result = "none" if "none" in found else "all" if all(each == "all" for each in found) else "some"
    else:
        result = found[0]
    return "some" if result == "all" and own["nulls"] else result


def _extent(op: str, least: Any, greatest: Any, value: Any) -> str:
    if isinstance(least, str) != isinstance(value, str):
        return "some"
    if isinstance(value, str):
        least, greatest, value = least.encode(), greatest.encode(), value.encode()
    is_one, is_apart = least == greatest == value, value < least or greatest < value
    match op:
        case "=" | "in":
            return "all" if is_one else "none" if is_apart else "some"
        case "!=" | "not in":
            return "none" if is_one else "all" if is_apart else "some"
        case "<":
            return "all" if greatest < value else "none" if least >= value else "some"
        case "<=":
            return "all" if greatest <= value else "none" if least > value else "some"
        case ">":
            return "all" if least > value else "none" if greatest <= value else "some"
    return "all" if least >= value else "none" if greatest < value else "some"

"""Answers of different engines to one query, compared: rows without their order, numbers with a tolerance.

The order isn't compared because rows that are equal in what a query orders by may come in any; DuckDB has floats where
DataFusion has decimals of six or eight digits.
"""

from __future__ import annotations

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import pyarrow as pa

# DataFusion cuts averages off after six digits, of values that may be as small as 0.05.
RELATIVE, ABSOLUTE = 1e-6, 2e-6


def read(path: Path) -> pa.Table:
    """A table that was written as an Arrow IPC stream."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()


def difference(one: pa.Table, other: pa.Table) -> str | None:
    """What is different, in words; None if nothing is."""
    if one.column_names != other.column_names:
        return f"columns {one.column_names} and {other.column_names}"
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} and {other.num_rows} rows"
    for left, right in zip(rows(one), rows(other), strict=True):
        if not all(same(a, b) for a, b in zip(left, right, strict=True)):
            return f"the rows {left} and {right}"
    return None


def rows(table: pa.Table) -> list[tuple]:
    """The rows, in an order of their own."""
    found = [tuple(plain(value) for value in row.values()) for row in table.to_pylist()]
    # Numbers that are no integers come last, and rounded: engines give their last digits differently.
    return sorted(
        found,
        key=lambda row: ([str(v) for v in row if not isinstance(v, float)], [v for v in row if isinstance(v, float)]),
    )


def plain(value: Any) -> Any:
    """A value as a number, a text or None."""
    if isinstance(value, decimal.Decimal | float):
        return float(value)
    if isinstance(value, int):
        return float(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same answer."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return one == other

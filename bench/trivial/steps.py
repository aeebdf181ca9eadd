"""The functions of the chain, the same for all systems: the first makes a table, the others replace a column."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = 10


def rows_of(size: int) -> int:
    """Rows of a table of so many bytes."""
    return max(1, size // (8 * COLUMNS))


def first(rows: int) -> pa.Table:
    """A table of float64 columns."""
    import numpy

    return pa.table({f"c{i}": numpy.arange(rows, dtype="f8") for i in range(COLUMNS)})


def step(table: pa.Table) -> pa.Table:
    """A new first column beside the nine others."""
    return table.set_column(0, "c0", pc.add(table["c0"], 1.0))


def answer(table: pa.Table, count: int) -> dict:
    """What a chain of `count` models gives, checked: the first value is the number of steps."""
    assert table["c0"][0].as_py() == count - 1, table["c0"][0]
    return {"models": count, "rows": table.num_rows}

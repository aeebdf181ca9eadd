"""Columns of every way to nest Arrow types three deep, with nulls at each depth and something under every null."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pyarrow as pa

Column = Callable[[int], pa.Array]


def integers(n: int) -> pa.Array:
    return pa.array([None if i % 3 == 1 else i for i in range(n)], pa.int64())


def texts(n: int) -> pa.Array:
    return pa.array([None if i % 5 == 1 else "é" * (i % 5) + str(i) for i in range(n)])


def _mask(n: int, every: int) -> pa.Array:
    return pa.array([i % every == every - 1 for i in range(n)], pa.bool_())


def _offsets(n: int, kind: pa.DataType) -> tuple[pa.Array, int]:
    lengths = [i % 4 for i in range(n)]
    return pa.array([sum(lengths[:i]) for i in range(n + 1)], kind), sum(lengths)


def struct(values: Column) -> Column:
    return lambda n: pa.StructArray.from_arrays([values(n), integers(n)], ["f", "g"], mask=_mask(n, 4))


def lists(values: Column) -> Column:
    def column(n: int) -> pa.Array:
        offsets, count = _offsets(n, pa.int32())
        return pa.ListArray.from_arrays(offsets, values(count), mask=_mask(n, 5))

    return column


def large_lists(values: Column) -> Column:
    def column(n: int) -> pa.Array:
        offsets, count = _offsets(n, pa.int64())
        return pa.LargeListArray.from_arrays(offsets, values(count), mask=_mask(n, 5))

    return column


def fixed_lists(values: Column) -> Column:
    return lambda n: pa.FixedSizeListArray.from_arrays(values(2 * n), 2, mask=_mask(n, 3))


def maps(values: Column) -> Column:
    def column(n: int) -> pa.Array:
        offsets, count = _offsets(n, pa.int32())
        keys = pa.array([f"k{i % 3}" for i in range(count)])
        return pa.MapArray.from_arrays(offsets, keys, values(count), mask=_mask(n, 6))

    return column


def _codes(n: int) -> pa.Array:
    return pa.array([5 if i % 2 else 2 for i in range(n)], pa.int8())


def sparse(values: Column) -> Column:
    return lambda n: pa.UnionArray.from_sparse(_codes(n), [values(n), integers(n)], ["a", "b"], [2, 5])


def dense(values: Column) -> Column:
    def column(n: int) -> pa.Array:
        offsets = pa.array([i // 2 for i in range(n)], pa.int32())
        children = [values((n + 1) // 2), integers(n // 2)]
        return pa.UnionArray.from_dense(_codes(n), offsets, children, ["a", "b"], [2, 5])

    return column


def dictionary(values: Column) -> Column:
    return lambda n: pa.DictionaryArray.from_arrays(
        pa.array([None if i % 4 == 2 else i % 7 for i in range(n)], pa.int8()), values(7)
    )


def runs(values: Column) -> Column:
    def column(n: int) -> pa.Array:
        ends = [min(i + 3, n) for i in range(0, n, 3)]
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), values(len(ends)))

    return column


NESTING = {
    "struct": struct, "list": lists, "large": large_lists, "fixed": fixed_lists, "map": maps,
    "sparse": sparse, "dense": dense, "dictionary": dictionary, "runs": runs,
}  # fmt: skip

COLUMNS: dict[str, Column] = {
    f"{a}<{b}<{c}>>": NESTING[a](NESTING[b](NESTING[c](texts)))
    for a, b, c in itertools.product(NESTING, NESTING, NESTING)
    # pyarrow passes on no runs of runs.
    if (a, b) != ("runs", "runs") and (b, c) != ("runs", "runs")
}

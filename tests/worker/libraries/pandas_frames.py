"""A frame for everything that pandas can hold, and pandas' own way through Arrow IPC."""

from __future__ import annotations

import datetime
import decimal
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

BIG = 9_007_199_254_740_993  # 2**53 + 1
DAY = datetime.date(2024, 2, 29)


def column(values: Any, dtype: Any = None) -> Callable[[], pd.DataFrame]:
    """A frame of one column, and one that says where it is."""

    def make() -> pd.DataFrame:
        made = values() if callable(values) else values
        return pd.DataFrame({"c": pd.Series(made, dtype=dtype), "row": range(len(made))})

    return make


def _columns() -> Iterable[tuple[str, Callable[[], pd.DataFrame]]]:
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
        yield kind, column([1, 2, 100], kind)
        yield f"nullable {kind}", column([1, None, 100], kind.replace("u", "U").replace("int", "Int").title()
                                         .replace("Uint", "UInt"))  # fmt: skip
    yield "float16", column([0.5, 2, 100], "float16")
    yield "bool", column([True, False])
    yield "Int64 beyond 2**53", column([BIG, None, -BIG], "Int64")
    yield "UInt64 to the end", column([2**64 - 1, None], "UInt64")
    yield "boolean", column([True, None, False], "boolean")
    for text in ("str", "object", "string", "string[python]", "string[pyarrow]"):
        yield f"text as {text}", column(["a", None, "é" * 9], text)
    for freq in ("D", "M", "Q", "Y", "W", "h", "min", "s", "ms", "us", "ns", "B", "2M", "Q-JAN", "W-WED"):
        yield f"period {freq}", column(lambda freq=freq: pd.period_range("2024-01", periods=3, freq=freq))
    yield "period with nulls", column(lambda: pd.PeriodIndex(["2024-01", None], freq="M"))
    for closed in ("left", "right", "both", "neither"):
        yield f"interval {closed}", column(lambda closed=closed: pd.interval_range(0, 3, closed=closed))
    yield "interval of floats", column(lambda: pd.IntervalIndex.from_tuples([(0.5, 1.5), None]))
    yield "interval of times", column(lambda: pd.interval_range(pd.Timestamp("2024"), periods=2))
    yield "categorical", column(["b", None, "a"], "category")
    yield "categorical with order", column(["b", None, "a"], pd.CategoricalDtype(["z", "b", "a"], ordered=True))
    yield "categorical of numbers", column([3, 1, None], pd.CategoricalDtype([3, 1, 2]))
    yield "categorical of floats", column([0.5, 1.5], "category")
    yield "categorical of times", column(lambda: pd.to_datetime(["2024", "2025"]), "category")
    yield "categorical of bools", column([True, False], "category")
    yield "categorical of intervals", column(lambda: pd.cut([1, 2, 3], 2))
    yield "categorical of periods", column(lambda: pd.Categorical(pd.period_range("2024-01", periods=2, freq="M")))
    yield "categorical without values", column(lambda: pd.Categorical([None, None], categories=["x"]))
    for unit in ("s", "ms", "us", "ns"):
        yield f"datetime {unit}", column(lambda unit=unit: pd.to_datetime(["2024-01-02 03:04:05", None]).as_unit(unit))
        yield f"timedelta {unit}", column(lambda unit=unit: pd.to_timedelta([1, None], unit="D").as_unit(unit))
        for zone in ("UTC", "Europe/Paris", "+02:00"):
            yield (
                f"datetime {unit} in {zone}",
                column(
                    lambda unit=unit, zone=zone: (
                        pd.to_datetime(["2024-01-02 03:04:05", None]).as_unit(unit).tz_localize(zone)
                    )
                ),
            )
    arrow = {
        "int64": ([1, None], pa.int64()), "uint8": ([1, None], pa.uint8()), "float": ([0.5, None], pa.float32()),
        "string": (["x", None], pa.string()), "large string": (["x", None], pa.large_string()),
        "binary": ([b"x", None], pa.binary()), "bool": ([True, None], pa.bool_()), "date": ([DAY, None], pa.date32()),
        "time": ([datetime.time(1, 2, 3), None], pa.time64("us")), "time s": ([1, None], pa.time32("s")),
        "timestamp": ([1, None], pa.timestamp("ns", "Asia/Tokyo")), "duration": ([1, None], pa.duration("s")),
        "decimal": ([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)),
        "decimal256": ([decimal.Decimal("1.50"), None], pa.decimal256(50, 2)),
        "list": ([[1], None], pa.list_(pa.int64())), "struct": ([{"a": 1}, None], pa.struct([("a", pa.int64())])),
        "map": ([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), "null": ([None, None], pa.null()),
        "dictionary": (["x", None], pa.dictionary(pa.int8(), pa.string())),
        "fixed list": ([[1, 2], None], pa.list_(pa.int64(), 2)),
    }  # fmt: skip
    for name, (values, kind) in arrow.items():
        yield (
            f"ArrowDtype {name}",
            column(lambda values=values, kind=kind: pd.arrays.ArrowExtensionArray(pa.chunked_array([values], kind))),
        )
    objects = {
        "dates": [DAY, None], "times": [datetime.time(1), None], "decimals": [decimal.Decimal("1.5"), None],
        "bytes": [b"x", None], "lists": [[1, 2], None], "dicts": [{"a": 1}, {"a": None}],
        "arrays": [np.array([1]), None],
        "ints and nones": [1, None], "bools and nones": [True, None], "nones": [None, None], "mixed": [1, "a"],
        "python objects": [object(), None], "sets": [{1}, None], "numbers of kinds": [1, 2.5], "big": [2**70, 1],
        "timestamps": [pd.Timestamp("2024"), None], "text and NaN": ["a", np.nan], "text and bytes": ["a", b"b"],
    }  # fmt: skip
    for name, values in objects.items():
        yield f"object of {name}", column(values, "object")
    yield "sparse", column(lambda: pd.arrays.SparseArray([0, 0, 1]))
    yield "complex", column([1j, 2j])


def _frames() -> Iterable[tuple[str, Callable[[], pd.DataFrame]]]:
    plain = {"a": [3, 1, 2], "b": ["x", "y", "z"]}
    indexes: dict[str, Callable[[], Any]] = {
        "range": lambda: pd.RangeIndex(3),
        "range from 5 by 2": lambda: pd.RangeIndex(5, 11, 2),
        "named range": lambda: pd.RangeIndex(3, name="n"),
        "numbers": lambda: [10, 30, 20],
        "named numbers": lambda: pd.Index([10, 30, 20], name="id"),
        "text": lambda: ["p", "q", "r"],
        "named text": lambda: pd.Index(["p", "q", "r"], name="key"),
        "named as a column": lambda: pd.Index([7, 8, 9], name="a"),
        "times": lambda: pd.date_range("2024", periods=3, name="when"),
        "times in a zone": lambda: pd.date_range("2024", periods=3, tz="Europe/Paris"),
        "categories": lambda: pd.CategoricalIndex(["u", "v", "u"], name="c"),
        "periods": lambda: pd.period_range("2024-01", periods=3, freq="M", name="month"),
        "intervals": lambda: pd.interval_range(0, 3),
        "two levels": lambda: pd.MultiIndex.from_tuples([(1, "x"), (1, "y"), (2, "x")], names=["g", "h"]),
        "two levels without names": lambda: pd.MultiIndex.from_tuples([(1, "x"), (1, "y"), (2, "x")]),
        "a number for a name": lambda: pd.Index([1, 2, 3], name=0),
        "repeated labels": lambda: ["p", "p", "q"],
    }
    for name, index in indexes.items():
        yield f"index: {name}", lambda index=index: pd.DataFrame(plain, index=index())
    yield "index: filtered", lambda: pd.DataFrame(plain)[lambda frame: frame["a"] != 1]
    yield "index: sorted", lambda: pd.DataFrame(plain).sort_values("a")
    yield "index: of a group", lambda: pd.DataFrame(plain).groupby("b").sum()
    yield "index: of described", lambda: pd.DataFrame(plain).describe()
    names: dict[str, Any] = {
        "numbers": [0, 1], "text and numbers": ["a", 1], "nothing": [None, "b"], "floats": [0.5, 1.5],
        "times": pd.to_datetime(["2024", "2025"]), "two levels": pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]),
        "two levels with numbers": pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["p", "q"]),
        "a name of their own": pd.Index(["a", "b"], name="kinds"), "tuples": [("a", 1), ("b", 2)],
        "categories": pd.CategoricalIndex(["a", "b"]),
        "periods": pd.period_range("2024", periods=2, freq="Y"),
        "repeated": ["a", "a"], "repeated as text": [1, "1"],
        "odd text": ["", "é😀 \"'.`\\\n"], "pandas' own": ["__index_level_0__", "index"], "case": ["A", "a"],
        "long": ["n" * 10_000, "b"], "bools": [True, False], "with NUL": ["a\0b", "c"],
    }  # fmt: skip
    for name, labels in names.items():
        yield f"columns: {name}", lambda labels=labels: pd.DataFrame([[1, "x"], [2, "y"]], columns=labels)
    yield (
        "columns: from a pivot",
        lambda: pd.DataFrame(plain).pivot_table(index="b", values="a", aggfunc=["sum", "mean"]),
    )
    yield "empty: no rows", lambda: pd.DataFrame({"i": pd.Series([], dtype="Int64"), "p": pd.PeriodIndex([], freq="M")})
    yield "empty: no columns", lambda: pd.DataFrame(index=range(3))
    yield "empty: nothing", lambda: pd.DataFrame()
    yield "empty: object", lambda: pd.DataFrame({"o": pd.Series([], dtype="object")})
    yield "attributes", lambda: _with_attributes(pd.DataFrame(plain))


def _with_attributes(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs["unit"] = "EUR"
    return frame


CASES = {**dict(_columns()), **dict(_frames())}


def own(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame after pandas' own way through Arrow IPC."""
    table = pa.Table.from_pandas(frame)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all().to_pandas()


def difference(table: pa.Table, expected: pd.DataFrame) -> str:
    """What is other in the table's frame; nothing where it is the same."""
    found = table.to_pandas()
    try:
        pd.testing.assert_frame_equal(found, expected, check_freq=False)
        pd.testing.assert_index_equal(found.index, expected.index, exact=True)
        assert found.attrs == expected.attrs
    except AssertionError as error:
        return str(error) or "the attributes differ"
    return ""


def verdict(name: str) -> tuple[str, Any]:
    """Whether pandas itself keeps the case, and what it makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "kept", own(CASES[name]())
        except Exception as error:
            return "refused", f"{type(error).__name__}: {error}"


def wide() -> pd.DataFrame:
    """One frame of all columns that pandas keeps, cut to their first two rows."""
    columns = {name: make()["c"].iloc[:2] for name, make in _columns() if verdict(name)[0] == "kept"}
    return pd.DataFrame(columns)

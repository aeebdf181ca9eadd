"""A frame for everything that polars can hold, and polars' own way through Arrow IPC."""

from __future__ import annotations

import datetime
import decimal
import io
from collections.abc import Callable, Iterable
from typing import Any

import polars as pl
import pyarrow as pa

DAY = datetime.date(2024, 2, 29)
SIZES = pl.Enum(["S", "M", "L"])


def _columns() -> Iterable[tuple[str, Callable[[], pl.DataFrame | pl.LazyFrame]]]:
    series: dict[str, tuple[list[Any], Any]] = {
        **{str(kind): ([1, None, 100], kind) for kind in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16)},
        **{str(kind): ([1, None, 2**32 - 1], kind) for kind in (pl.UInt32, pl.UInt64, pl.Float32, pl.Float64)},
        "Float16": ([0.5, None, 2.0], pl.Float16),
        "Int64 beyond 2**53": ([2**53 + 1, None], pl.Int64),
        "UInt64 to the end": ([2**64 - 1, None], pl.UInt64),
        "Int128": ([2**100, None], pl.Int128),
        "UInt128": ([2**127, None], pl.UInt128),
        "Boolean": ([True, None, False], pl.Boolean),
        "String": (["a", None, "é" * 20], pl.String),
        "Binary": ([b"a", None, b"\xff" * 20], pl.Binary),
        "Null": ([None, None], pl.Null),
        "Date": ([DAY, None], pl.Date),
        "Time": ([datetime.time(1, 2, 3, 4), None], pl.Time),
        **{f"Datetime {unit}": ([DAY, None], pl.Datetime(unit)) for unit in ("ms", "us", "ns")},
        **{f"Datetime {unit} zone": ([DAY, None], pl.Datetime(unit, "Europe/Paris")) for unit in ("ms", "us", "ns")},
        **{f"Duration {unit}": ([datetime.timedelta(1, 2), None], pl.Duration(unit)) for unit in ("ms", "us", "ns")},
        "Decimal": ([decimal.Decimal("1.50"), None], pl.Decimal(10, 2)),
        "Decimal 38": ([decimal.Decimal(10**37), None], pl.Decimal(38, 0)),
        "Enum": (["S", "L", None, "M"], SIZES),
        "Enum of many": (["v300", "v7"], pl.Enum([f"v{i}" for i in range(400)])),
        "Enum with a value of many characters": (["; 1\n", "é"], pl.Enum(["; 1\n", "é", ""])),
        "Categorical": (["b", None, "a"], pl.Categorical),
        "Categorical of some": (["b", None, "a"], pl.Categorical(pl.Categories("some"))),
        "List": ([[1, 2], None, []], pl.List(pl.Int64)),
        "List of String": ([["a", None], None, []], pl.List(pl.String)),
        "List of Enum": ([["S", "L"], None], pl.List(SIZES)),
        "List of List": ([[[1], None], None], pl.List(pl.List(pl.Int8))),
        "Array": ([[1, 2], None], pl.Array(pl.Int64, 2)),
        "Array of Array": ([[[1], [2]], None], pl.Array(pl.Array(pl.Int64, 1), 2)),
        "Array of String": ([["a", "b"], None], pl.Array(pl.String, 2)),
        "Array of Enum": ([["S", "L"], None], pl.Array(SIZES, 2)),
        "Struct": ([{"a": 1, "b": "x"}, None], pl.Struct({"a": pl.Int64, "b": pl.String})),
        "Struct of Enum": ([{"e": "L"}, {"e": "S"}], pl.Struct({"e": SIZES})),
        "Struct of Struct of Enum": ([{"s": {"e": "L"}}, None], pl.Struct({"s": pl.Struct({"e": SIZES})})),
        "Struct of Categorical": ([{"c": "x"}, None], pl.Struct({"c": pl.Categorical})),
        "Struct of List of Struct": ([{"l": [{"a": 1}]}, None], pl.Struct({"l": pl.List(pl.Struct({"a": pl.Int8}))})),
        "Struct of Decimal and Time": (
            [{"d": decimal.Decimal("1.5"), "t": datetime.time(1)}, None],
            pl.Struct({"d": pl.Decimal(9, 3), "t": pl.Time}),
        ),
        "Struct of Null": ([{"n": None}, None], pl.Struct({"n": pl.Null})),
        "Map": ([{"k": 1}, None], pl.Map(pl.String, pl.Int64)) if hasattr(pl, "Map") else ([1], pl.Int8),
    }
    for name, (values, dtype) in series.items():
        yield (
            name,
            lambda values=values, dtype=dtype: pl.DataFrame(
                {"c": pl.Series(values, dtype=dtype, strict=False), "row": range(len(values))}
            ),
        )
        yield f"{name}: no rows", lambda dtype=dtype: pl.DataFrame(schema={"c": dtype})
    yield "Object", lambda: pl.DataFrame({"c": pl.Series([object(), None], dtype=pl.Object)})
    yield "lazy Enum", lambda: pl.LazyFrame({"c": ["S", "L"]}, schema={"c": SIZES})
    yield "sliced Enum", lambda: pl.DataFrame({"c": ["S", "L", "M"]}, schema={"c": SIZES}).slice(1)
    yield (
        "Enum in chunks",
        lambda: pl.concat(
            [pl.DataFrame({"c": [value]}, schema={"c": SIZES}) for value in ("S", "L", "M")], rechunk=False
        ),
    )
    yield "names", lambda: pl.DataFrame({"é😀 \"'.`\\\n": [2], "n" * 10_000: [3], "A": [4], "a": [5]})
    yield "NUL in a name", lambda: pl.DataFrame({"a\0b": [1]})
    yield "NUL in the name of a field", lambda: pl.DataFrame({"s": [{"a\0b": 1}]})
    yield "no columns", lambda: pl.DataFrame()


CASES = dict(_columns())


def own(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """The frame after polars' own way through Arrow IPC."""
    file = io.BytesIO()
    frame.lazy().collect().write_ipc_stream(file)
    file.seek(0)
    return pl.read_ipc_stream(file)


def difference(table: pa.Table, expected: pl.DataFrame) -> str:
    """What is other in the table's frame; nothing where it is the same."""
    found = pl.from_arrow(table)
    if found.schema != expected.schema:
        return f"{found.schema} instead of {expected.schema}"
    if any(found[name].sort().to_list() != expected[name].sort().to_list() for name in _sortable(expected)):
        return "the order of the values"
    return "" if found.equals(expected) else f"{found} instead of {expected}"


def _sortable(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Enum | pl.Categorical)]


def verdict(name: str) -> tuple[str, Any]:
    """Whether polars itself keeps the case, and what it makes of it."""
    try:
        return "kept", own(CASES[name]())
    except BaseException as error:
        return "refused", f"{type(error).__name__}: {error}"


def wide() -> pl.DataFrame:
    """One frame of all columns that pyarrow can hold, cut to their first two rows."""
    frames = {name: make() for name, make in _columns() if "Object" not in name and "nt128" not in name}
    series = {name: frame["c"] for name, frame in frames.items() if "row" in frame.collect_schema()}
    return pl.DataFrame([column.head(2).alias(name) for name, column in series.items()])

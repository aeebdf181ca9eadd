"""Filters mean what SQL means: the rows kept are those DuckDB keeps."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zerrow.worker.expression import columns_of, keep_rows
from zerrow.worker.failures import WorkerFailure

Tree = dict[str, Any]


def column(name: str) -> Tree:
    return {"column": name}


def literal(value: Any, kind: str) -> Tree:
    return {"literal": value, "type": kind}


def op(name: str, *args: Tree) -> Tree:
    return {"op": name, "args": list(args)}


DAYS = [datetime.date(1995, 1, 1) + datetime.timedelta(days=i) for i in range(6)]
STAMPS = [datetime.datetime(1995, 1, 1, 12, 30) + datetime.timedelta(hours=9 * i) for i in range(6)]
CENTS = [decimal.Decimal(i) / 100 for i in (0, 5, 6, 7, 100, 123)]
TEXTS = ["", "a", "ab", "b%", "long enough to be outside a view", "ü"]

TABLE = pa.table(
    {
        "i": pa.array([*range(6), None], pa.int32()),
        "f": pa.array([0.0, 0.5, -1.5, 2.0, 1e9, 0.05, None]),
        "d": pa.array([*CENTS, None], pa.decimal128(15, 2)),
        "s": pa.array([*TEXTS, None]),
        "v": pa.array([*TEXTS, None], pa.string_view()),
        "k": pa.array([*TEXTS, None]).dictionary_encode(),
        "t": pa.array([*DAYS, None]),
        "m": pa.array([*STAMPS, None], pa.timestamp("us")),
        "z": pa.array([*STAMPS, None], pa.timestamp("ns", "UTC")),
        "b": pa.array([True, False, True, None, False, True, None]),
    }
).append_column("row", pa.array(range(7)))


def kept(tree: Tree, table: pa.Table = TABLE) -> list[int]:
    return keep_rows(table, tree, "t")["row"].to_pylist()


SYMBOLS = {
    "int": lambda v: str(v),
    "float": lambda v: f"{v!r}::double",
    "decimal": lambda v: str(v),
    "string": lambda v: "'" + v.replace("'", "''") + "'",
    "date": lambda v: f"date '{v}'",
    "timestamp": lambda v: f"timestamp '{v}'",
    "bool": lambda v: str(v),
    "null": lambda v: "null",
}


def sql(tree: Tree) -> str:
    if "column" in tree:
        return tree["column"]
    if "literal" in tree:
        return SYMBOLS[tree["type"]](tree["literal"])
    name, args = tree["op"], [sql(part) for part in tree["args"]]
    match name:
        case "not":
            return f"(not {args[0]})"
        case "is_null":
            return f"({args[0]} is null)"
        case "in":
            return f"({args[0]} in ({', '.join(args[1:])}))"
        case "cast":
            return f"cast({args[0]} as {tree['type']})"
    return "(" + f" {name} ".join(args) + ")"


def duckdb_rows(tree: Tree) -> list[int]:
    with duckdb.connect() as connection:
        connection.sql("set timezone = 'UTC'")
        connection.register("t", TABLE)
        return [row for (row,) in connection.sql(f"select row from t where {sql(tree)} order by row").fetchall()]


ORDER = ("=", "!=", "<", "<=", ">", ">=")
integers = st.integers(-2, 7).map(lambda v: literal(v, "int"))
decimals = st.sampled_from(["0.05", "0.055", "1", "-3.25", "1.23", "123456789.125"]).map(
    lambda v: literal(v, "decimal")
)
floats = st.sampled_from([0.5, -1.5, 2.0, 1.25]).map(lambda v: literal(v, "float"))
texts = st.sampled_from([*TEXTS, "zz"]).map(lambda v: literal(v, "string"))
dates = st.sampled_from(DAYS).map(lambda v: literal(v.isoformat(), "date"))
stamps = st.sampled_from(STAMPS).map(lambda v: literal(v.isoformat(), "timestamp"))
FAMILIES = [
    (["i"], st.one_of(integers, floats, decimals)),
    (["d"], st.one_of(integers, decimals)),
    (["f"], st.one_of(integers, floats)),
    (["s", "v", "k"], texts),
    (["t", "m"], st.one_of(dates, stamps)),
]


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    names, literals = draw(st.sampled_from(FAMILIES))
    name = column(draw(st.sampled_from(names)))
    kind = draw(st.sampled_from(["compare", "compare", "flip", "in", "null", "bool"]))
    match kind:
        case "compare":
            return op(draw(st.sampled_from(ORDER)), name, draw(literals))
        case "flip":
            return op(draw(st.sampled_from(ORDER)), draw(literals), name)
        case "in":
            members = draw(st.lists(literals, min_size=1, max_size=3))
            return op("in", name, *members, *draw(st.sampled_from([[], [literal(None, "null")]])))
        case "null":
            return op("is_null", name)
    return column("b")


trees = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(lambda a: op("not", a), inner),
        st.builds(
            lambda o, parts: op(o, *parts), st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_any_filter_keeps_the_rows_that_duckdb_keeps(tree: Tree) -> None:
    assert kept(tree) == duckdb_rows(tree), sql(tree)


@pytest.mark.parametrize(
    ("tree", "rows"),
    [
        (op("like", column("s"), literal("a%", "string")), [1, 2]),
        (op("like", column("v"), literal("%u%", "string")), [4]),
        (op("ilike", column("k"), literal("A%", "string")), [1, 2]),
        (op("like", column("s"), literal("b\\%", "string")), []),
        (op("like", column("s"), literal("_\\_%", "string")), []),
        (op("not", op("like", column("s"), literal("a%", "string"))), [0, 3, 4, 5]),
        (op(">", op("+", column("i"), literal(1, "int")), literal(4, "int")), [4, 5]),
        (op(">", op("*", column("d"), literal(100, "int")), literal(6, "int")), [3, 4, 5]),
        (op(">=", column("z"), literal("1995-01-02", "date")), [2, 3, 4, 5]),
        (op(">=", column("m"), literal("1995-01-02", "string")), [2, 3, 4, 5]),
        (op("<", column("t"), literal("1995-01-02", "string")), [0]),
        (op("<", column("t"), literal("1995-01-02T00:00:01", "timestamp")), [0, 1]),
        (op(">", column("m"), literal("1995-01-02T06:30:00+00:00", "timestamp")), [3, 4, 5]),
        (op("=", {"op": "cast", "args": [column("d")], "type": "float"}, literal(1.23, "float")), [5]),
        (op("=", {"op": "cast", "args": [column("i")], "type": "string"}, literal("3", "string")), [3]),
        (op("and", column("b"), op("not", op("is_null", column("s")))), [0, 2, 5]),
        (op("=", column("i"), literal(2**40, "int")), []),
        (op("<", column("i"), literal(2**70, "int")), [0, 1, 2, 3, 4, 5]),
        (op("=", column("i"), literal(None, "null")), []),
    ],
    ids=lambda value: sql(value)[:50] if isinstance(value, dict) else None,
)
def test_filters_on_every_type(tree: Tree, rows: list[int]) -> None:
    assert kept(tree) == rows


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (op("=", column("ii"), literal(1, "int")), "did you mean 'i'"),
        (op("=", column("i"), literal("x", "string")), "'i' is int32"),
        (op("=", column("s"), literal(1, "int")), "'s' is string"),
        (op("<", column("t"), literal("soon", "string")), "1995-12-31"),
        (op("like", column("i"), literal("a%", "string")), "LIKE needs a string"),
        (op("frobnicate", column("i")), "'frobnicate'"),
        ({"op": "cast", "args": [column("i")], "type": "geometry"}, "'geometry'"),
    ],
)
def test_a_filter_that_does_not_fit_is_refused_by_name(tree: Tree, words: str) -> None:
    with pytest.raises(WorkerFailure) as caught:
        kept(tree)
    assert caught.value.kind == "input" and words in str(caught.value)


def test_the_columns_of_a_filter() -> None:
    tree = op("and", op("<", column("b"), column("a")), op("in", column("b"), literal(1, "int")))
    assert columns_of(tree) == ["b", "a"]

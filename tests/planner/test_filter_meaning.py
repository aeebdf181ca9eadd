"""A filter keeps the rows that SQL keeps: what a worker does with the planner's EXPR against what DuckDB does."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zerrow.plan import plan_project
from zerrow.plan.filter_expression import parse_filter
from zerrow.worker.expression import compile_filter
from zerrow.worker.tasks import execute, prepare_arguments

SCHEMA = pa.schema(
    {
        "row": pa.int32(),
        "i": pa.int64(),
        "j": pa.int32(),
        "n": pa.decimal128(9, 2),
        "m": pa.decimal128(15, 4),
        "f": pa.float64(),
        "s": pa.string(),
        "d": pa.date32(),
        "t": pa.timestamp("us"),
        "b": pa.bool_(),
    }
)
KINDS = {
    "row": "int",
    "i": "int",
    "j": "int",
    "n": "decimal",
    "m": "decimal",
    "f": "float",
    "s": "string",
    "d": "date",
    "t": "timestamp",
    "b": "bool",
}

CONNECTION = duckdb.connect(config={"threads": 1})

ints = st.integers(-3, 3)
cents = st.integers(-300, 300).map(lambda value: decimal.Decimal(value) / 100)
dates = st.dates(datetime.date(2024, 2, 27), datetime.date(2024, 3, 2))
moments = st.datetimes(datetime.datetime(2024, 2, 28), datetime.datetime(2024, 3, 1))
words = st.text("ab%_'", max_size=3)
floats = st.integers(-8, 8).map(lambda value: value / 4)


def rows() -> st.SearchStrategy[list[dict[str, Any]]]:
    values = {"i": ints, "j": ints, "n": cents, "m": cents, "f": floats, "s": words, "d": dates, "t": moments}
    columns = {name: st.none() | strategy for name, strategy in values.items()}
    return st.lists(st.fixed_dictionaries({**columns, "b": st.none() | st.booleans()}), max_size=12)


def quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


number_columns = st.sampled_from(["i", "j", "n", "m", "f"])
int_literals = ints.map(str)
decimal_literals = cents.map(lambda value: format(value, "f"))
number_literals = (
    int_literals | decimal_literals | floats.map(lambda value: f"{value!r}e0") | st.just("1 + 0.25") | st.just("2 * -1")
)
date_literals = (
    dates.map(quoted) | dates.map(lambda day: f"date {quoted(day)}") | st.just("date '2024-01-31' + interval '1' month")
)
literals = {"s": words.map(quoted), "d": date_literals, "t": moments.map(quoted) | dates.map(quoted)}
literals |= dict.fromkeys(("i", "j", "n", "m", "f"), number_literals)
comparisons = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])


@st.composite
def conditions(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from(sorted(literals)))
    literal = literals[column]
    form = draw(st.sampled_from(["compare", "reverse", "between", "in", "null", "like", "columns", "bool", "sum"]))
    match form:
        case "compare":
            return f"{column} {draw(comparisons)} {draw(literal)}"
        case "reverse":
            return f"{draw(literal)} {draw(comparisons)} {column}"
        case "between":
            return f"{column} {draw(st.sampled_from(['', 'not ']))}between {draw(literal)} and {draw(literal)}"
        case "in":
            members = draw(st.lists(literal | st.just("null"), min_size=1, max_size=4))
            return f"{column} {draw(st.sampled_from(['', 'not ']))}in ({', '.join(members)})"
        case "null":
            return f"{column} is {draw(st.sampled_from(['', 'not ']))}null"
        case "like":
            like = draw(st.sampled_from(["like", "not like", "ilike"]))
            return f"s {like} {draw(words.map(quoted))}"
        case "columns":
            return f"{draw(number_columns)} {draw(comparisons)} {draw(number_columns)}"
        case "sum":
            return (
                f"{draw(st.sampled_from('ij'))} {draw(st.sampled_from('+-*'))} {draw(st.integers(1, 3))} > {draw(ints)}"
            )
        case _:
            return draw(st.sampled_from(["b", "not b", "b = true", "b <> false"]))


predicates = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda part: f"not ({part})"),
    ),
    max_leaves=5,
)


def table_of(values: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{"row": number, **row} for number, row in enumerate(values)], SCHEMA)


@settings(max_examples=200, deadline=None)
@given(values=rows(), text=predicates)
def test_a_filter_keeps_what_duckdb_keeps(values: list[dict[str, Any]], text: str) -> None:
    table = table_of(values)
    CONNECTION.register("x", table)
    wanted = [row for (row,) in CONNECTION.sql(f"select row from x where {text} order by row").fetchall()]
    for kinds in (KINDS, None):  # the columns of a source are known to the planner, those of a Python model aren't
        expression = parse_filter(text, {}, kinds, "x")
        kept = table.filter(compile_filter(expression, table.schema, "x"))["row"].to_pylist()
        assert kept == wanted, (text, expression)


@settings(max_examples=30, deadline=None)
@given(values=rows(), text=predicates, engine=st.sampled_from(["datafusion", "duckdb"]))
def test_a_condition_pushed_into_a_scan_changes_no_result(
    values: list[dict[str, Any]], text: str, engine: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("pushed")
    table = table_of(values)
    pq.write_table(table, folder / "x.parquet")
    (folder / "zerrow_project.yml").write_text("sources: {x: x.parquet}\n")
    query = f"select row from x where d is not null and ({text}) and i > -3"
    (folder / "q.sql").write_text(f"-- zerrow: engine = {engine}\n{query}\n")
    scan, model = plan_project(folder)["models"]
    assert scan["task"]["filter"] is not None
    scanned = execute(scan["task"], {})
    pushed = execute(model["task"], prepare_arguments(model["task"], [scanned]), [scanned])
    plain = execute(model["task"], prepare_arguments(model["task"], [table]), [table])
    assert sorted(pushed["row"].to_pylist()) == sorted(plain["row"].to_pylist())

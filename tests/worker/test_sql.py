"""SQL models in one process: what both engines must do alike."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import rows_only, to_table
from zerrow.worker.sql import error_line, run_sql

TABLE = pa.table({"Number": range(1000), "text": [f"t{i % 10}" for i in range(1000)]})
ENGINES = pytest.mark.parametrize("engine", ["datafusion", "duckdb"])


def run(sql: str, engine: str, **arguments: object) -> pa.Table:
    return run_sql({"sql": sql, "engine": engine}, arguments, 2)


@ENGINES
def test_names_with_capitals_and_odd_characters_are_found(engine: str) -> None:
    assert run("select Number from Trips where Number = 5", engine, Trips=TABLE).to_pydict() == {"Number": [5]}
    assert run('select count(*) as n from "odd-name"', engine, **{"odd-name": TABLE})["n"].to_pylist() == [1000]


@ENGINES
def test_parameters_are_values_never_text(engine: str) -> None:
    sql = "select $word as word, $number as number, $flag as flag, $part as part from t limit 1"
    values = {"word": "'; drop table t; --", "number": 7, "flag": True, "part": 0.5}
    assert run(sql, engine, t=TABLE, **values).to_pylist() == [values]
    assert (
        run("select Number from t where text = $word and Number < $n", engine, t=TABLE, word="t3", n=20).num_rows == 2
    )


@ENGINES
def test_two_inputs_join(engine: str) -> None:
    sql = "select a.Number from a join b on a.Number = b.Number order by a.Number"
    assert run(sql, engine, a=TABLE, b=TABLE.slice(990))["Number"].to_pylist() == list(range(990, 1000))


@ENGINES
def test_no_result_has_views(engine: str) -> None:
    sql = (
        "select upper(text) as u, cast(Number as varchar) as c, concat(text, 'x') as x, substr(text, 1, 1) as s from t"
    )
    assert not any("view" in str(kind) for kind in run(sql, engine, t=TABLE).schema.types)


@ENGINES
def test_a_chunked_and_an_empty_input_work(engine: str) -> None:
    chunked = pa.concat_tables([TABLE.slice(i * 100, 100) for i in range(10)])
    assert run("select sum(Number) as s from t", engine, t=chunked)["s"].to_pylist() == [499500]
    empty = pa.Table.from_batches([], schema=TABLE.schema)
    assert run("select Number, text from t", engine, t=empty).schema.names == ["Number", "text"]


@ENGINES
def test_rows_without_columns_are_counted(engine: str) -> None:
    assert run("select count(*) as n from t", engine, t=rows_only(7)).to_pylist() == [{"n": 7}]


def test_a_selection_keeps_rows_in_order_and_buffers_in_place_with_datafusion() -> None:
    big = pa.table({"a": pa.array(range(400_000)), "s": [f"text {i}" for i in range(400_000)]})
    result = run("select s, a from t", "datafusion", t=big)
    assert result["a"].to_pylist() == big["a"].to_pylist()
    for name in ("a", "s"):
        (mine,) = (chunk.buffers()[-1] for chunk in big[name].chunks)
        for chunk in result[name].chunks:
            theirs = chunk.buffers()[-1]
            assert mine.address <= theirs.address and theirs.address + theirs.size <= mine.address + mine.size


def test_duckdb_does_not_see_the_variables_of_the_worker() -> None:
    with pytest.raises(Exception, match="tables"):
        run("select * from tables", "duckdb", t=TABLE)


@ENGINES
@pytest.mark.parametrize(
    "sql", ["create table x (a int)", "-- nothing", "select 1; select 2", "copy t to '/tmp/x'", "set x = 1"]
)
def test_only_a_single_query_is_run(sql: str, engine: str) -> None:
    with pytest.raises((WorkerFailure, ValueError), match=r"one query|not supported|No SQL|single SQL|Unsupported"):
        run(sql, engine, t=TABLE)
    assert run("select 1 as a;", engine).to_pydict() == {"a": [1]}


def test_lines_in_messages_count_from_where_the_statement_starts() -> None:
    assert error_line("ParserError: Expected: x at Line: 2, Column: 8", 10) == 11
    assert error_line("Parser Error: syntax\n\nLINE 3: from", 1) == 3
    assert error_line("nothing said", 4) == 4


def test_a_result_of_datafusion_keeps_what_pandas_noted_of_columns_that_are_there_still() -> None:
    frame = pd.DataFrame({"id": pd.array([2**53 + 1, None, 3], "Int64"), "kind": ["a", "b", "a"]}, index=[5, 6, 8])
    frame.attrs["unit"] = "EUR"
    table = to_table(frame)
    kept = run("select id, kind from t where id > 3", "datafusion", t=table).to_pandas()
    assert kept["id"].tolist() == [2**53 + 1] and kept["id"].dtype == "Int64" and kept.attrs == {}
    all_of_it = run('select * from t order by "__index_level_0__" desc', "datafusion", t=table).to_pandas()
    assert all_of_it["__index_level_0__"].tolist() == [8, 6, 5] and all_of_it.index.tolist() == [0, 1, 2]
    texts = run("select cast(id as varchar) as id from t", "datafusion", t=table).to_pandas()
    assert texts["id"].tolist()[2] == "3"


ODD_NAMES = [
    "",
    "é😀",
    '"',
    "'",
    "a.b",
    ".",
    "`",
    "\\",
    "a b",
    "select",
    "$x",
    "n" * 5000,
    "__index_level_0__",
    "A",
    "a",
]


@ENGINES
def test_columns_of_any_name_are_passed_on_or_refused_by_name(engine: str) -> None:
    names = ODD_NAMES if engine == "datafusion" else ODD_NAMES[1:-1]
    table = pa.table({name: [number, 2 * number] for number, name in enumerate(names)})
    assert run("select * from t", engine, t=table).to_pydict() == table.to_pydict()
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        assert run(f"select {quoted} from t where {quoted} >= 0", engine, t=table).to_pydict() == {
            name: table[name].to_pylist()
        }


def test_duckdb_is_not_given_names_that_it_would_change() -> None:
    with pytest.raises(WorkerFailure, match=r"'t'.*'a'.*'A'.*datafusion"):
        run("select * from t", "duckdb", t=pa.table({"a": [1], "A": [2]}))
    with pytest.raises(WorkerFailure, match=r"'t'.*''.*datafusion"):
        run("select * from t", "duckdb", t=pa.table({"": [1]}))


def test_duckdb_is_not_given_what_ends_its_process() -> None:
    with pytest.raises(WorkerFailure, match="'c' of the table 't' has lists of no items"):
        run("select * from t", "duckdb", t=pa.table({"c": pa.array([[], None], pa.list_(pa.int8(), 0))}))


@ENGINES
def test_an_empty_table_of_any_type_can_be_asked(engine: str) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    table = pa.table({"n": [1], "u": union, "l": pa.array([[1]], pa.list_view(pa.int8()))}).slice(0, 0)
    for empty in (table, pa.Table.from_batches([], schema=table.schema)):
        assert run("select count(*) as n from t", engine, t=empty)["n"].to_pylist() == [0]


def test_an_order_and_the_categories_of_polars_stay_only_while_they_are_true() -> None:
    sizes, colours = ["S", "M", "L"], ["red", "blue"]
    one = to_table(pl.DataFrame({"c": ["L", "S"]}, schema={"c": pl.Enum(sizes)}))
    two = to_table(pl.DataFrame({"c": ["red"]}, schema={"c": pl.Enum(colours)}))
    plain = pa.table({"c": pa.array(["x"], pa.large_string()).cast(pa.dictionary(pa.uint8(), pa.large_string()))})
    same = to_table(run("select c from a union all select c from a where c = 'L'", "datafusion", a=one))
    assert pl.from_arrow(same).schema["c"] == pl.Enum(sizes)
    for other in (two, plain):
        both = to_table(run("select c from a union all select c from b", "datafusion", a=one, b=other))
        expected = [*one["c"].to_pylist(), *other["c"].to_pylist()]
        assert sorted(both["c"].to_pylist()) == sorted(pl.from_arrow(both)["c"].to_list()) == sorted(expected)
        assert pl.from_arrow(to_table(pa.concat_tables([one, two])))["c"].to_list() == ["L", "S", "red"]

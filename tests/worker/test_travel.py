"""Tables through real workers: what they contain, and how their bytes travel."""

from __future__ import annotations

import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filters import filter_of
from small_engine import Engine, Table, open_table

ROWS = 200_000
SOURCE = f"""
import pyarrow as pa
def model():
    rows = {ROWS}
    return pa.table({{
        "number": pa.array(range(rows), pa.int64()),
        "half": pa.array([i / 2 for i in range(rows)]),
        "text": pa.array([f"the text of row {{i}}" for i in range(rows)]),
        "kind": pa.array([f"k{{i % 5}}" for i in range(rows)]).dictionary_encode(),
    }}).replace_schema_metadata({{"origin": "test"}})
"""


@pytest.fixture(scope="module")
def source(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("source")
    (folder / "models.py").write_text(SOURCE)
    task = {"kind": "python", "folder": str(folder), "file": "models.py", "line": 1, "function": "model"}
    outcome = engine.run({**task, "arguments": []})
    assert outcome.error is None, outcome.error
    return outcome.table


def bytes_of(table: pa.Table) -> int:
    """The bytes of all buffers, shared ones once, as publishing counts them: what the slices need."""
    return table.get_total_buffer_size()


def run(engine: Engine, project, source: Table, body: str, **argument: object) -> Table:
    arguments = [{"name": "t", "input": 0, **argument}]
    outcome = engine.run(project(f"import pyarrow as pa\nimport pyarrow.compute as pc\n{body}", arguments), [source])
    assert outcome.error is None, outcome.error
    return outcome.table


def test_a_published_table_is_the_models_own_with_its_metadata(source: Table) -> None:
    table = open_table(source)
    table.validate(full=True)
    assert table.schema.metadata == {b"origin": b"test"}
    assert table["number"].to_pylist() == list(range(ROWS))
    assert table["text"][7].as_py() == "the text of row 7" and table["kind"][7].as_py() == "k2"
    counts = dict(source.counts)
    assert counts["reshared_bytes"] == 0
    assert sum(counts.values()) == bytes_of(table)


@pytest.mark.parametrize(
    "body",
    [
        "def model(t): return t",
        "def model(t): return t.select(['text', 'kind', 'number', 'half'])",
        "def model(t): return t.rename_columns(['a', 'b', 'c', 'd'])",
        "def model(t): return t.to_batches()[0]",
        "def model(t): return t.to_reader()",
        "def model(t): return pa.concat_tables([t.slice(0, 5000), t.slice(5000)])",
    ],
)
def test_what_passes_through_is_reshared_to_the_last_byte(engine: Engine, project, source: Table, body: str) -> None:
    table = run(engine, project, source, body)
    assert table.counts.pop("reshared_bytes") >= bytes_of(open_table(source))
    assert set(table.counts.values()) == {0}
    assert open_table(table)[0].length() == ROWS
    assert 0 not in table.ids and set(table.ids) <= set(source.ids)


def test_a_selected_column_is_its_inputs_buffers_only(engine: Engine, project, source: Table) -> None:
    table = run(engine, project, source, "def model(t): return t.select(['number'])")
    assert table.counts["reshared_bytes"] == 8 * ROWS == sum(table.counts.values())


def test_a_slice_is_a_part_of_its_inputs_buffers(engine: Engine, project, source: Table) -> None:
    table = run(engine, project, source, "def model(t): return t.select(['number', 'half']).slice(1000, 500)")
    assert table.rows == 500
    assert table.counts["reshared_bytes"] == sum(table.counts.values()) == 2 * 8 * 500
    assert open_table(table)["number"].to_pylist() == list(range(1000, 1500))


def test_an_appended_column_is_all_that_is_new(engine: Engine, project, source: Table) -> None:
    body = "def model(t): return t.append_column('more', pc.add(t['number'], 1))"
    table = run(engine, project, source, body)
    assert table.counts["reshared_bytes"] == bytes_of(open_table(source))
    assert sum(table.counts.values()) - table.counts["reshared_bytes"] == 8 * ROWS
    assert open_table(table)["more"][0].as_py() == 1


def test_polars_reshares_what_it_leaves_alone(engine: Engine, project, source: Table) -> None:
    body = "import polars as pl\ndef model(t): return pl.from_arrow(t).select('number', 'text', x=pl.col('half') * 2)"
    table = run(engine, project, source, body)
    kept = bytes_of(open_table(source).select(["number", "text"]))
    assert table.counts["reshared_bytes"] == kept
    assert sum(table.counts.values()) == kept + 8 * ROWS
    assert open_table(table)["text"].type == pa.string()


def test_sharing_goes_through_two_models(engine: Engine, project, source: Table) -> None:
    first = run(engine, project, source, "def model(t): return t.append_column('more', pc.add(t['number'], 1))")
    second = run(engine, project, first, "def model(t): return t.select(['text', 'more'])")
    assert set(second.ids) == set(first.ids)
    assert second.counts["reshared_bytes"] == sum(second.counts.values())
    assert open_table(second)["more"][5].as_py() == 6


def test_columns_and_filter_of_an_argument_are_applied(engine: Engine, project, source: Table) -> None:
    filter_ = filter_of(f"number >= {ROWS - 3}")
    body = "def model(t):\n    assert t.column_names == ['text']\n    return t"
    table = run(engine, project, source, body, columns=["text"], filter=filter_)
    assert open_table(table)["text"].to_pylist() == [f"the text of row {i}" for i in range(ROWS - 3, ROWS)]


def test_values_and_several_inputs_reach_the_function_by_name(engine: Engine, project, source: Table) -> None:
    arguments = [
        {"name": "b", "input": 1},
        {"name": "rate", "value": 0.5},
        {"name": "a", "input": 0, "columns": ["half"]},
    ]
    text = "def model(a, b, rate):\n    return {'a': [a.num_columns], 'b': [b.num_rows], 'rate': [rate]}"
    outcome = engine.run(project(text, arguments), [source, source])
    assert open_table(outcome.table).to_pylist() == [{"a": 1, "b": ROWS, "rate": 0.5}]


@pytest.mark.parametrize("sql_engine", ["datafusion", "duckdb"])
def test_sql_runs_over_its_inputs(engine: Engine, source: Table, sql_engine: str) -> None:
    sql = "select kind, sum(half) as total from t where number < $limit group by kind order by kind"
    arguments = [{"name": "t", "input": 0}, {"name": "limit", "value": 10}, {"name": "unused", "value": "x"}]
    task = {"kind": "sql", "model": "q", "file": "q.sql", "line": 1, "sql": sql, "engine": sql_engine}
    outcome = engine.run({**task, "arguments": arguments}, [source])
    assert outcome.error is None, outcome.error
    assert open_table(outcome.table)["total"].to_pylist() == [2.5, 3.5, 4.5, 5.5, 6.5]


def test_datafusion_reshares_selected_columns(engine: Engine, source: Table) -> None:
    task = {"kind": "sql", "model": "q", "file": "q.sql", "line": 1, "sql": "select text, number from t"}
    outcome = engine.run({**task, "engine": "datafusion", "arguments": [{"name": "t", "input": 0}]}, [source])
    assert outcome.table.counts["reshared_bytes"] == sum(outcome.table.counts.values())
    assert open_table(outcome.table).equals(open_table(source).select(["text", "number"]).replace_schema_metadata())


@pytest.mark.parametrize("sql_engine", ["datafusion", "duckdb"])
def test_an_empty_sql_result_has_its_schema(engine: Engine, source: Table, sql_engine: str) -> None:
    sql = "select number, half * 2 as x from t where false"
    task = {"kind": "sql", "model": "q", "file": "q.sql", "line": 1, "sql": sql, "engine": sql_engine}
    outcome = engine.run({**task, "arguments": [{"name": "t", "input": 0}]}, [source])
    empty = open_table(outcome.table)
    assert empty.num_rows == 0 and empty.schema.names == ["number", "x"] and empty.schema.types[1] == pa.float64()
    again = engine.run(
        {**task, "sql": "select count(*) as n from t", "arguments": [{"name": "t", "input": 0}]}, [outcome.table]
    )
    assert open_table(again.table).to_pylist() == [{"n": 0}]


def test_a_scan_reads_the_columns_and_rows_asked_for(engine: Engine, tmp_path) -> None:
    path = str(tmp_path / "t.parquet")
    duckdb.sql(
        f"copy (select range as a, range % 7 as b, 'x' || range as c from range(100000)) to '{path}' (format parquet)"
    )
    filter_ = filter_of("b = 3", b="int")
    task = {"kind": "scan", "table": "t", "files": [path], "columns": ["c", "a"], "filter": filter_, "dictionary": []}
    outcome = engine.run(task)
    expected = pq.read_table(path, columns=["c", "a"], filters=[("b", "=", 3)])
    assert open_table(outcome.table).to_pylist() == expected.to_pylist()


def test_rows_without_columns_travel_and_can_be_counted(engine: Engine, tmp_path) -> None:
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"a": range(1000)}), path)
    task = {"kind": "scan", "table": "t", "files": [path, path], "columns": [], "filter": None, "dictionary": []}
    filter_ = filter_of("a < 10", a="int")
    assert open_table(engine.run({**task, "filter": filter_}).table).num_rows == 20
    scanned = engine.run(task).table
    assert scanned.rows == 2000 and open_table(scanned).num_rows == 2000
    query = {"kind": "sql", "model": "q", "file": "q.sql", "line": 1, "sql": "select count(*) as n from t"}
    counted = engine.run({**query, "engine": "datafusion", "arguments": [{"name": "t", "input": 0}]}, [scanned])
    assert open_table(counted.table).to_pylist() == [{"n": 2000}]


def test_a_preview_answers_with_text(engine: Engine, source: Table) -> None:
    outcome = engine.run({"kind": "preview", "rows": 2, "width": 60}, [source])
    lines = outcome.text.splitlines()
    assert lines[0].split() == ["number", "half", "text", "kind"] and lines[-1].startswith("200,000 rows")
    assert outcome.exited["status"] == 0


def test_an_empty_table_travels(engine: Engine, project) -> None:
    text = "import pyarrow as pa\ndef model(): return pa.Table.from_batches([], schema=pa.schema([('a', pa.int8())]))"
    first = engine.run(project(text)).table
    second = engine.run(project("def model(t): return t", [{"name": "t", "input": 0}]), [first]).table
    assert open_table(second).schema == pa.schema([("a", pa.int8())]) and second.rows == 0


def test_files_that_were_changed_after_the_plan_are_told(engine: Engine, project) -> None:
    task = project("import help\n\ndef model():\n    import late\n    return {'a': [help.x]}\n")
    for name in ("help", "late", "never"):
        (project.folder / f"{name}.py").write_text("x = 1\n")
    later = time.time_ns() + 10**9
    assert engine.run({**task, "planned_ns": later}).table.changed == []
    assert engine.run({**task, "planned_ns": later - 60 * 10**9}).table.changed == ["help.py", "late.py", "models.py"]
    assert engine.run(task).table.changed is None

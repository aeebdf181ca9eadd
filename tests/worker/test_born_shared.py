"""With the arena preloaded, what a model makes is born in its output segment, whatever library makes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_engine import Engine, Table, built, open_table

ROWS = 300_000
PACKED_BYTES_MAX = 64 * 1024
"""Buffers under this size are packed; a result has a few."""


@pytest.fixture(scope="module")
def arena() -> Iterator[Engine]:
    engine = Engine(preload=built("libzerrow_arena.so")).wait_ready()
    yield engine
    assert engine.close() == ""


@pytest.fixture(scope="module")
def source(arena: Engine, tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("born") / "t.parquet"
    table = pa.table(
        {
            "a": pa.array(range(ROWS), pa.int64()),
            "f": pa.array([i / 3 for i in range(ROWS)]),
            "s": pa.array([f"a text that is no short one: {i}" for i in range(ROWS)]),
        }
    )
    pq.write_table(table, path)
    task = {"kind": "scan", "table": "t", "files": [str(path)], "columns": None, "filter": None, "dictionary": []}
    outcome = arena.run(task)
    assert outcome.error is None, outcome.error
    assert_born(outcome.table, 1)
    return outcome.table


def assert_born(table: Table, share: float) -> None:
    counts = table.counts
    assert counts["copied_bytes"] == 0 and counts["packed_bytes"] <= 8 * PACKED_BYTES_MAX
    assert counts["born_shared_bytes"] + counts["packed_bytes"] >= share * sum(counts.values())


MODELS = {
    "pyarrow compute": "import pyarrow.compute as pc\ndef model(t): return t.filter(pc.less(pc.field('a'), 250_000))",
    "pyarrow sort": "def model(t): return t.sort_by([('f', 'descending')])",
    "pyarrow group": "def model(t): return t.group_by('a').aggregate([('f', 'sum')])",
    "numpy": "import numpy as np\ndef model(t): return {'x': t['a'].to_numpy() * 2.5}",
    "pandas": "def model(t):\n    f = t.to_pandas()\n    f['u'] = f['s'].str.upper()\n    return f[f.a % 2 == 0]",
    "polars": "import polars as pl\ndef model(t): return pl.from_arrow(t).filter(pl.col('a') % 2 == 0)",
    "polars lazy": "import polars as pl\ndef model(t): return pl.from_arrow(t).lazy().sort('f', descending=True)",
    "duckdb": "import duckdb\ndef model(t): return duckdb.sql('select s, a * 2 as b from t')",
    "rows": "def model(t): return [{'x': i, 's': 'some text'} for i in range(50_000)]",
}


@pytest.mark.parametrize("body", MODELS.values(), ids=MODELS.keys())
def test_no_result_of_any_library_is_copied(arena: Engine, project, source: Table, body: str) -> None:
    outcome = arena.run(project(body, [{"name": "t", "input": 0}]), [source])
    assert outcome.error is None, outcome.error
    assert_born(outcome.table, 0.9)
    open_table(outcome.table).validate(full=True)


@pytest.mark.parametrize("sql_engine", ["datafusion", "duckdb"])
def test_no_result_of_sql_is_copied(arena: Engine, source: Table, sql_engine: str) -> None:
    task: dict[str, Any] = {"kind": "sql", "model": "q", "file": "q.sql", "line": 1, "engine": sql_engine}
    task |= {"sql": "select a, f * 2 as g, s from t where a % 2 = 0", "arguments": [{"name": "t", "input": 0}]}
    outcome = arena.run(task, [source])
    assert outcome.error is None, outcome.error
    assert_born(outcome.table, 0.9)
    assert open_table(outcome.table)["a"].to_pylist() == list(range(0, ROWS, 2))


def test_a_model_that_needs_more_than_its_arena_fails_for_memory(arena: Engine, project) -> None:
    worker = arena.fork()
    text = "import pyarrow as pa, numpy as np\ndef model(): return {'x': np.zeros(1 << 24)}"
    output = arena.give(worker, project(text), [], arena_file_bytes=64 << 20, arena_bytes_max=32 << 20)
    error = arena.finish(worker, output).error
    assert error is not None and error["kind"] == "memory", error


def test_child_processes_of_a_model_work_and_its_result_is_right(arena: Engine, project) -> None:
    text = (
        "import multiprocessing\ndef square(x): return [x * x] * 50_000\n"
        "def model():\n    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        parts = pool.map(square, range(4))\n    return {'x': [v for part in parts for v in part]}"
    )
    outcome = arena.run(project(text))
    assert outcome.error is None, outcome.error
    assert open_table(outcome.table)["x"].to_pylist() == [x * x for x in range(4) for _ in range(50_000)]

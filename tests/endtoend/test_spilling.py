"""SQL models whose memory is short: their engines spill to a folder of the worker's own, and nothing stays in it."""

import os
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Project, Result

MIB = 1 << 20
ROWS = 4_000_000
SEED = 7

# Each takes several times the memory that it is given, and is the same in any order of its rows.
QUERIES = {
    "sort": "select k, s from events order by s, k",
    "aggregate": "select s, k, count(*) as n from events group by s, k",
    "join": "select e.k, e.s from events e join events f on e.k = f.k and e.s = f.s",
}
TOTAL = "select count(*) as rows, sum(k) as keys, min(s) as first, max(s) as last from {name}"
LIMIT = "384MiB"
PREFIX = ".zerrow-scratch-"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 4 million different rows, 130 MB."""
    random = np.random.default_rng(SEED)
    keys = random.permutation(ROWS)
    words = pa.array(np.char.mod("event number %07d", random.permutation(ROWS)))
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    pq.write_table(pa.table({"k": pa.array(keys, pa.int64()), "s": words}), path)
    return path


@pytest.fixture
def spill(any_project: Project, tmp_path: Path) -> Path:
    """A folder to spill to, the caller's."""
    folder = tmp_path / "spill"
    folder.mkdir()
    os.chown(folder, any_project.caller.uid, -1)
    return folder


def fill(project: Project, events: Path, engine: str, **queries: str) -> None:
    """Sources and one SQL model for each query."""
    os.link(events, project.folder / "data" / "events.parquet")
    (project.folder / "data" / "events.parquet").chmod(0o644)
    project.write(
        "zerrow_project.yml",
        """
        project:
          name: spilling
        sources:
          events: data/events.parquet
        """,
    )
    for name, query in queries.items():
        project.write(f"{name}.sql", f"-- zerrow: engine = {engine}\n{query}\n")


def run(project: Project, spill: Path, *more: str) -> Result:
    """Run with little memory, which the engine's heap counts against where the kernel keeps limits."""
    return project.run("--memory", LIMIT, "--spill-dir", str(spill), "--jobs", "1", *more)


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
@pytest.mark.parametrize("query", QUERIES)
def test_an_answer_that_needs_more_than_there_is_is_spilled_and_right(
    any_project: Project, events: Path, spill: Path, tmp_path: Path, engine: str, query: str
):
    fill(
        any_project,
        events,
        engine,
        answer=f"select count(*) as rows, sum(k) as keys, min(s) as first, max(s) as last from ({QUERIES[query]}) t",
    )
    out = tmp_path / "out"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    result = run(any_project, spill, "--export", str(out))
    assert result.code == 0, result.err
    with pa.OSFile(str(out / "answer.arrows")) as file:
        found = pa.ipc.open_stream(file).read_all().to_pylist()
    expected = duckdb.sql(
        f"select count(*) as rows, sum(k) as keys, min(s) as first, max(s) as last from '{events}'"
    ).fetchone()
    assert tuple(found[0].values()) == expected
    assert result.model("answer")["spilled_bytes"] is not None
    assert os.listdir(spill) == []

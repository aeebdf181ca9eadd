"""SQL models whose memory is short: their engines spill to a folder of the worker's own, and nothing stays in it."""

import os
import signal
import subprocess
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import IS_ROOT, Project, Result, wait_until
from processes import Processes

MIB = 1 << 20
ROWS = 4_000_000
SEED = 7

# Each takes more memory than it is given. An order is what a window needs: that of a subquery is left out.
QUERIES = {
    "sort": "select lag(k) over (order by s, k) as k, s from events",
    "aggregate": "select s, k, count(*) as n from events group by s, k",
    "join": "select e.k, e.s from events e join events f on e.k = f.k and e.s = f.s",
}
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


def summed(query: str) -> str:
    """One row that stands for all rows of a query."""
    return f"select count(*) as n, sum(k) as keys, min(s) as first, max(s) as last from ({query}) as t"


def without_limit(query: str, events: Path) -> tuple:
    """The row that DuckDB has for a query, with all the memory there is."""
    connection = duckdb.connect()
    connection.execute(f"create view events as select * from '{events}'")
    return connection.execute(query).fetchone()


def exported(folder: Path, name: str) -> tuple:
    """The one row of a final table that a run has written."""
    with pa.OSFile(str(folder / f"{name}.arrows")) as file:
        (row,) = pa.ipc.open_stream(file).read_all().to_pylist()
    return tuple(row.values())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for exports, everybody's."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
@pytest.mark.parametrize("query", QUERIES)
def test_what_needs_more_memory_than_there_is_is_spilled_and_right(
    any_project: Project, events: Path, spill: Path, out: Path, engine: str, query: str
):
    fill(any_project, events, engine, answer=summed(QUERIES[query]))
    result = run(any_project, spill, "--format", "arrow", "--export", str(out))
    assert result.code == 0, result.err
    # DuckDB without a limit says what is right.
    expected = without_limit(summed(QUERIES[query]), events)
    assert exported(out, "answer") == expected
    answer = result.model("answer")
    assert answer["spilled_bytes"] > 4 * MIB, answer
    assert os.listdir(spill) == []


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
def test_what_is_sorted_on_a_disk_is_in_its_order(
    any_project: Project, events: Path, spill: Path, out: Path, engine: str
):
    query = "select k, lag(k) over (order by s, k) as before from {source}"
    total = f"select count(*) as n, sum(k * before) as product from ({query}) as t"
    fill(any_project, events, engine, answer=total.format(source="events"))
    result = run(any_project, spill, "--format", "arrow", "--export", str(out))
    assert result.code == 0, result.err
    expected = duckdb.execute(total.format(source=f"'{events}'")).fetchone()
    assert [int(value) % 2**64 for value in exported(out, "answer")] == [int(value) % 2**64 for value in expected]
    assert os.listdir(spill) == []


@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
def test_what_fits_spills_nothing(any_project: Project, spill: Path, engine: str):
    any_project.write("doubled.sql", f"-- zerrow: engine = {engine}\nselect a * 2 as a from numbers order by s")
    result = run(any_project, spill)
    assert result.code == 0, result.err
    assert result.model("doubled")["spilled_bytes"] == 0
    assert os.listdir(spill) == []


def test_nothing_is_left_when_a_model_fails(any_project: Project, events: Path, spill: Path):
    fill(any_project, events, "duckdb", answer=f"select cast(s as bigint) as n from ({QUERIES['sort']}) as t")
    result = run(any_project, spill)
    assert result.code == 1
    assert "Could not convert string" in result.err
    assert os.listdir(spill) == []


def test_two_models_spill_at_once(any_project: Project, events: Path, spill: Path, out: Path):
    fill(any_project, events, "duckdb", one=summed(QUERIES["join"]), two=summed(QUERIES["aggregate"]))
    arguments = (
        "--memory",
        "700MiB",
        "--spill-dir",
        str(spill),
        "--jobs",
        "2",
        "--format",
        "arrow",
        "--export",
        str(out),
    )
    result = any_project.run(*arguments)
    assert result.code == 0, result.err
    expected = without_limit(summed("select k, s from events"), events)
    assert exported(out, "one") == exported(out, "two") == expected
    assert os.listdir(spill) == []


@pytest.mark.skipif(not IS_ROOT, reason="mounting takes root")
@pytest.mark.parametrize("engine", ["duckdb", "datafusion"])
def test_a_full_disk_is_an_error_that_names_model_and_folder(
    any_project: Project, events: Path, tmp_path: Path, engine: str
):
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(24 * MIB)
    if subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True).returncode:
        pytest.skip("no file system can be made here")
    if subprocess.run(["mount", "-o", "loop", str(image), str(disk)], capture_output=True).returncode:
        pytest.skip("no file can be mounted here")
    try:
        os.chown(disk, any_project.caller.uid, -1)
        # Where rows are sorted, so much is held when the disk is full that the kernel may be the first to end it.
        fill(any_project, events, engine, answer=summed(QUERIES["aggregate" if engine == "datafusion" else "sort"]))
        result = run(any_project, disk)
        assert result.code == 1
        failure = result.report["error"]
        assert failure["model"] == "answer", result.err
        for words in (str(disk), "there is no more room", "--spill-dir"):
            assert words in failure["message"]
        assert [name for name in os.listdir(disk) if name.startswith(PREFIX)] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("killed", ["worker", "zygote", "engine", "everything"])
def test_nothing_is_left_of_what_is_killed(any_project: Project, events: Path, spill: Path, killed: str):
    fill(any_project, events, "duckdb", answer=summed(QUERIES["sort"]))
    arguments = ("--memory", LIMIT, "--spill-dir", str(spill), "--jobs", "1", "--output", "json")
    process = any_project.start(*arguments)
    try:
        wait_until(
            lambda: any(path.is_file() for path in spill.glob(f"{PREFIX}*/*/*")),
            seconds=120,
            what="an engine that spills",
        )
        processes = Processes(process.pid)
        victims = {
            "worker": processes.workers,
            "zygote": processes.zygotes,
            "engine": [process.pid],
            "everything": [*processes.janitors, process.pid],
        }[killed]
        assert victims
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    if killed == "everything":
        # Nobody was left to remove it: the next run that spills there does.
        assert os.listdir(spill) != []
        any_project.write("answer.sql", "-- zerrow: engine = duckdb\nselect count(*) as n from events")
        assert run(any_project, spill).code == 0
    wait_until(lambda: os.listdir(spill) == [], seconds=30, what="an empty folder")


def test_a_query_reads_nothing_beside_its_folder_and_writes_nothing(any_project: Project, spill: Path):
    secret = spill / "secret.csv"
    secret.write_text("a\n1\n")
    secret.chmod(0o644)
    for query in (
        f"select * from read_csv('{secret}')",
        "select * from read_csv('/tmp/scratch/../../secret.csv')",
        "select * from read_csv('/tmp/scratch/../secret.csv')",
        "copy (select 1 as a) to '/tmp/scratch/mine.csv'",
        "select * from glob('/tmp/scratch/../*/secret.csv')",
    ):
        any_project.write("answer.sql", f"-- zerrow: engine = duckdb\n{query}\n")
        result = run(any_project, spill)
        assert result.code == 1 or result.model("answer")["output"]["rows"] == 0, query
    assert os.listdir(spill) == ["secret.csv"]

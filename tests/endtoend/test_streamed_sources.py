"""SQL models that read the files of their sources by themselves, in their sandbox."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from command import Project

ENGINES = ("datafusion", "duckdb")
SQL = "select s, count(*) as c, sum(n) as n from t where n >= 500 group by s order by s"


@pytest.fixture
def streaming(project: Project, tmp_path: Path) -> Project:
    """A project with a source of several files that nobody but their owner may read."""
    lake = tmp_path / "lake"
    lake.mkdir()
    for number in range(12):
        table = pa.table({"n": range(1000 * number, 1000 * number + 1000), "s": [f"s{n % 5}" for n in range(1000)]})
        pq.write_table(table, lake / f"{number:02}.parquet", row_group_size=300)
        (lake / f"{number:02}.parquet").chmod(0o600)
    project.write("zerrow_project.yml", f"project: {{name: streaming}}\nsources: {{t: {lake}}}\n")
    return project


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sole_reader_gets_the_files_and_gives_the_same(streaming: Project, tmp_path: Path, engine: str) -> None:
    streaming.write("q.sql", f"-- zerrow: engine = {engine}\n{SQL}")
    tables = {}
    for way in ([], ["--no-stream"], ["--no-arena"]):
        out = tmp_path / f"out{len(tables)}"
        result = streaming.run("--no-serve", "--no-cache", "--format", "arrow", "--export", str(out), *way)
        assert result.code == 0, result.err
        streamed = [(each["table"], each["files"]) for each in result.model("q")["streamed"]]
        assert streamed == ([] if way else [("t", 12)])
        assert [model["name"] for model in result.report["models"]] == (["t", "q"] if way else ["q"])
        with pa.ipc.open_stream(out / "q.arrows") as reader:
            tables[str(way)] = reader.read_all()
    expected = tables.pop("[]")
    assert expected["c"].to_pylist() == [2300] * 5
    assert all(table.equals(expected) for table in tables.values())


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_come_in_the_order_of_the_files(streaming: Project, tmp_path: Path, engine: str) -> None:
    streaming.write("q.sql", f"-- zerrow: engine = {engine}\nselect n from t where n % 7 < 5")
    result = streaming.run("--no-serve", "--no-cache", "--format", "arrow", "--export", str(tmp_path / "out"))
    assert result.code == 0 and result.model("q")["streamed"], result.err
    with pa.ipc.open_stream(tmp_path / "out" / "q.arrows") as reader:
        assert reader.read_all()["n"].to_pylist() == [n for n in range(12000) if n % 7 < 5]


def test_a_plan_says_what_is_streamed(streaming: Project) -> None:
    streaming.write("q.sql", SQL)
    assert "streams t" in plan(streaming)
    shown = json.loads(plan(streaming, "--output", "json"))
    assert [model["streamed"][0]["table"] for model in shown["models"]] == ["t"]
    assert "streams" not in plan(streaming, "--no-stream")


def plan(project: Project, *words: str) -> str:
    """What `zerrow plan` says."""
    command = [*project.caller.words, "plan", "-p", str(project.folder), *words]
    return subprocess.run(command, env=project.environment(), capture_output=True, text=True, check=True).stdout

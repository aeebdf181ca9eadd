"""Tables out: `--export` in each format, and the rows of a query. Other people's readers say what a file holds."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Caller, Project

ROWS = 70_000
MODELS = """
    import pyarrow as pa
    import zerrow


    @zerrow.model()
    def wide(numbers=zerrow.Model("numbers")):
        return numbers


    @zerrow.model()
    def passed(wide=zerrow.Model("wide")):
        return wide


    @zerrow.model()
    def short(wide=zerrow.Model("wide")):
        return wide.slice(0, 3)
"""


def numbers() -> pa.Table:
    """A table with nulls, texts that need quotes, and a list."""
    return pa.table(
        {
            "n": range(ROWS),
            "part": [None if i % 7 == 0 else i / 4 for i in range(ROWS)],
            "words": [None if i % 5 == 0 else f'{i}, "so"' for i in range(ROWS)],
            "list": [[i, None] for i in range(ROWS)],
        }
    )


def fill(project: Project, models: str = MODELS) -> Path:
    """Write the project; the folder that its tables are to be in, which is the caller's."""
    project.write("zerrow_project.yml", "project: {name: export}\nsources: {numbers: data/numbers.parquet}\n")
    project.write("models.py", models)
    project.table("numbers", numbers())
    folder = project.folder.parent / "tables"
    folder.mkdir()
    os.chown(folder, project.caller.uid, -1)
    return folder


def rows_of_csv(path: Path) -> list:
    """The rows of a CSV file, by Python's reader."""
    with path.open(newline="") as file:
        read = [list(row.values()) for row in csv.DictReader(file, strict=True)]
    return [
        [int(n), float(part) if part else None, words or None, json.loads(numbers)] for n, part, words, numbers in read
    ]


READERS = {
    "parquet": [
        lambda path: pq.read_table(path).to_pylist(),
        lambda path: pl.read_parquet(path).to_dicts(),
        lambda path: duckdb.read_parquet(str(path)).to_arrow_table().to_pylist(),
    ],
    "feather": [
        lambda path: pa.ipc.open_file(pa.memory_map(str(path))).read_all().to_pylist(),
        lambda path: pl.read_ipc(path).to_dicts(),
        lambda path: pa.Table.from_pandas(pd.read_feather(path)[["n"]]).to_pylist(),
    ],
    "json": [
        lambda path: [json.loads(line) for line in path.read_text().splitlines()],
        lambda path: pl.read_ndjson(path).to_dicts(),
        lambda path: duckdb.read_json(str(path)).to_arrow_table().to_pylist(),
    ],
    "arrow": [lambda path: pa.ipc.open_stream(path.read_bytes()).read_all().to_pylist()],
}
SUFFIXES = {"parquet": "parquet", "csv": "csv", "json": "jsonl", "feather": "feather", "arrow": "arrows"}


@pytest.mark.parametrize("kind", [None, "parquet", "csv", "json", "feather", "arrow"])
def test_final_tables_are_files_that_others_read(any_project: Project, kind: str | None):
    out = fill(any_project)
    result = any_project.run("--export", str(out), *([] if kind is None else ["--format", kind]))
    assert result.code == 0, result.err
    suffix = SUFFIXES[kind or "parquet"]
    assert sorted(path.name for path in out.iterdir()) == [f"passed.{suffix}", f"short.{suffix}"]
    path, expected = out / f"passed.{suffix}", numbers().to_pylist()
    assert f"passed → {path}" in result.err
    if kind == "csv":
        assert rows_of_csv(path) == [list(row.values()) for row in expected]
        assert pd.read_csv(path)["n"].tolist() == list(range(ROWS))
        return
    for read in READERS[kind or "parquet"]:
        rows = read(path)
        assert rows == [{name: row[name] for name in rows[0]} for row in expected]


def test_a_file_is_replaced_when_the_new_one_is_whole(project: Project):
    out = fill(project)
    (out / "short.csv").write_text("mine")
    reader = (out / "short.csv").open()
    assert project.run("--export", str(out), "--format", "csv").code == 0
    assert reader.read() == "mine"
    assert (out / "short.csv").read_text().startswith("n,part,words,list\n0,,")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_nothing_is_left_of_a_table_that_fails(project: Project, kind: str):
    out = fill(project, MODELS.replace("return wide.slice(0, 3)", "raise ValueError('no')"))
    result = project.run("--export", str(out), "--format", kind, "--keep-going")
    assert result.code == 1
    assert [path.name for path in out.iterdir()] == [f"passed.{kind}"]


def test_what_a_format_cannot_hold_is_told_with_its_column(project: Project):
    interval = "return pa.table({'ok': [1], 'odd': pa.array([(1, 2, 3)], pa.month_day_nano_interval())})"
    out = fill(project, MODELS.replace("return wide.slice(0, 3)", interval))
    result = project.run("--export", str(out))
    assert result.code == 1
    message = result.report["error"]["message"]
    assert "short can't be written as" in message and "'odd' of type month_day_nano_interval" in message, message
    assert project.run("--export", str(out), "--format", "feather").code == 0


def test_an_engine_that_serves_writes_them_and_makes_no_model_again(project: Project, serve):
    out = fill(project)
    server = serve(project.caller)
    assert project.run("--export", str(out), env=server.environment).code == 0
    again = project.run("--export", str(out), "--format", "csv", env=server.environment)
    assert again.code == 0, again.err
    assert again.model("wide")["status"] == "cached"
    assert sorted(path.name for path in out.iterdir()) == [
        "passed.csv", "passed.parquet", "short.csv", "short.parquet",
    ]  # fmt: skip


def test_no_place_to_write_to_is_told(project: Project):
    fill(project)
    blocked = project.folder.parent / "file"
    blocked.write_text("")
    result = project.run("--export", str(blocked))
    assert result.code in (1, 2)
    assert str(blocked) in result.err


@pytest.mark.parametrize("source", ["data", "data/*.parquet", "data/**", "data/short.parquet"])
def test_a_source_never_reads_what_a_run_has_exported(project: Project, source: str):
    fill(project)
    project.write("zerrow_project.yml", f"project: {{name: export}}\nsources: {{numbers: '{source}'}}\n")
    if source.endswith("short.parquet"):
        project.table("short", numbers())
    before = sorted((project.folder / "data").iterdir())
    result = project.run("--export", str(project.folder / "data"))
    assert result.code == 1
    assert "the source 'numbers'" in result.report["error"]["message"]
    assert sorted((project.folder / "data").iterdir()) == before
    assert project.run("--export", str(project.folder / "out")).code == 0
    assert project.run("--export", str(project.folder / "out")).code == 0


def query(project: Project, *words: str, out=subprocess.PIPE) -> subprocess.CompletedProcess:
    """One call of the command."""
    return subprocess.run(
        [*project.caller.words, "query", "-p", str(project.folder), *words],
        stdout=out,
        stderr=subprocess.PIPE,
        timeout=120,
        env=project.environment(),
    )


STATEMENT = "select n, part, words, list from numbers order by n"


def test_all_rows_of_a_query_come_as_csv_as_lines_and_in_the_report(any_project: Project):
    fill(any_project)
    expected = numbers().to_pylist()
    done = query(any_project, STATEMENT, "-O", "csv")
    assert done.returncode == 0, done.stderr
    read = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert [int(row["n"]) for row in read] == list(range(ROWS))
    assert [row["words"] for row in read] == [row["words"] or "" for row in expected]
    done = query(any_project, STATEMENT, "-O", "jsonl")
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    done = query(any_project, STATEMENT, "-O", "json")
    report = json.loads(done.stdout)
    assert report["rows"] == expected
    assert report["status"] == "success"


def test_rows_are_as_many_as_were_asked_for(project: Project):
    fill(project)
    assert query(project, STATEMENT, "-O", "csv", "--rows", "2").stdout.count(b"\n") == 3
    assert query(project, STATEMENT, "-O", "jsonl", "--rows", "0").stdout == b""
    assert json.loads(query(project, STATEMENT, "-O", "json", "--rows", "3").stdout)["rows"] == (
        numbers().slice(0, 3).to_pylist()
    )
    assert "rows" not in json.loads(query(project, STATEMENT, "-O", "json", "--rows", "0").stdout)
    assert json.loads(query(project, f"{STATEMENT} limit 0", "-O", "json").stdout)["rows"] == []
    assert b"70,000 rows, the first 2 shown" in query(project, STATEMENT, "-O", "table", "--rows", "2").stdout


@pytest.mark.parametrize("name", ["a file.csv", "b.JSONL", "c.json", "d.txt"])
def test_the_name_of_the_file_says_how_rows_are_written(project: Project, name: str):
    fill(project)
    path = project.folder.parent / name
    with path.open("wb") as out:
        assert query(project, f"{STATEMENT} limit 50", out=out).returncode == 0
    text = path.read_text()
    match path.suffix:
        case ".csv":
            assert len(list(csv.reader(io.StringIO(text)))) == 51
        case ".JSONL":
            assert [json.loads(line)["n"] for line in text.splitlines()] == list(range(50))
        case ".json":
            assert len(json.loads(text)["rows"]) == 50
        case _:
            assert "50 rows, the first 40 shown" in text


def test_a_reader_that_has_enough_ends_the_query_quietly(project: Project):
    fill(project)
    words = [*project.caller.words, "query", "-p", str(project.folder), STATEMENT, "-O", "csv"]
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -n 2; exit ${PIPESTATUS[0]}', "bash", *words],
        capture_output=True, timeout=120, env=project.environment(),
    )  # fmt: skip
    assert done.stdout.count(b"\n") == 2
    assert done.returncode == 128 + 13
    assert done.stderr == b""


def test_events_come_as_lines_while_a_run_lasts(project: Project):
    fill(project, MODELS.replace("return wide.slice(0, 3)", "print('hello')\n        return wide.slice(0, 3)"))
    words = [*project.caller.words, "run", "-p", str(project.folder), "-O", "jsonl"]
    done = subprocess.run(words, capture_output=True, timeout=120, env=project.environment())
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "planned"
    assert set(events[0]["models"]) >= {"wide", "passed", "short"}
    assert events[-1]["event"] == "report"
    assert events[-1]["report"]["status"] == "success"
    ended = [each["model"] for each in events if each["event"] == "ended"]
    assert [each["model"] for each in events if each["event"] == "started" and each["model"] in ended] != []
    assert {"wide", "passed", "short"} <= set(ended)
    assert any(each["event"] == "printed" and each["lines"] == ["hello"] for each in events)


def test_events_tell_of_a_failure(project: Project):
    fill(project, MODELS.replace("return wide.slice(0, 3)", "raise ValueError('no')"))
    words = [*project.caller.words, "run", "-p", str(project.folder), "-O", "jsonl"]
    done = subprocess.run(words, capture_output=True, timeout=120, env=project.environment())
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    failed = next(each for each in events if each["event"] == "ended" and each["result"]["status"] == "failed")
    assert failed["model"] == "short"
    assert "ValueError: no" in failed["failure"]
    assert events[-1]["report"]["status"] == "failed"


@pytest.mark.parametrize(
    "words", [["run", "--format", "xml"], ["run", "-d", "-O", "jsonl"], ["query", "select 1", "-O", "xml"]]
)
def test_wrong_words_are_told(ordinary: Caller, words: list[str]):
    done = subprocess.run([*ordinary.words, *words], capture_output=True, timeout=60)
    assert done.returncode == 2

"""Which rows of final tables are shown, by `run --preview` and `query`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pyarrow as pa
import pytest
from command import Project


def call(project: Project, *words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*project.caller.words, *words],
        capture_output=True,
        text=True,
        timeout=300,
        env=project.environment(),
        **options,
    )


def run(project: Project, *words: str) -> str:
    done = call(project, "run", "-p", str(project.folder), *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def query(project: Project, *words: str) -> list[str]:
    done = call(project, "query", "-p", str(project.folder), *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "rows", "footer"),
    [
        ((), range(10), "1,000 rows, the first 10 shown"),
        (("--preview", "on", "--rows", "2"), range(2), "1,000 rows, the first 2 shown"),
        (("--preview", "head", "--rows", "3"), range(3), "1,000 rows, the first 3 shown"),
        (("--preview", "tail", "--rows", "3"), range(997, 1000), "1,000 rows, the last 3 shown"),
    ],
)
def test_a_runs_preview_shows_the_rows_it_says(project: Project, words: tuple, rows: range, footer: str) -> None:
    project.write("last.sql", "select a from numbers")
    lines = run(project, *words).splitlines()
    start = lines.index("last") + 3
    assert [int(line) for line in lines[start:-1]] == list(rows)
    assert lines[-1] == footer


def test_a_preview_that_is_off_shows_no_rows(project: Project) -> None:
    project.write("last.sql", "select a from numbers")
    assert "rows, the" not in run(project, "--preview", "off", "--rows", "5")
    assert call(project, "run", "-p", str(project.folder), "--preview", "some").returncode == 2


def test_all_rows_are_shown_whole_however_many_and_long(any_project: Project) -> None:
    texts = [f"{row} " + "ä" * 200 for row in range(20_000)]
    any_project.table("long", pa.table({"row": range(20_000), "text": texts}), row_group_size=1000)
    any_project.write(
        "zerrow_project.yml",
        "project: {name: test}\nsources: {long: data/long.parquet, numbers: data/numbers.parquet}\n",
    )
    any_project.write("unused.sql", "select a from numbers")
    lines = query(any_project, "--all-rows", "--no-trunc", "select row, text from long order by row")
    assert lines[-1] == "20,000 rows" and len(lines) == 20_003
    assert [line.split(None, 1)[1].strip() for line in lines[2:-1]] == texts
    cut = query(any_project, "--max-rows", "500", "select row, text from long order by row")
    assert len(cut) == 503 and cut[-1] == "20,000 rows, the first 500 shown"
    assert all(line.endswith("…") for line in cut[2:-1])


def test_a_slow_reader_gets_all_rows_and_nothing_stays_on_the_disk(project: Project, tmp_path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        [*project.caller.words, "query", "-p", str(project.folder), "--all-rows",
         "select x.a as a, y.a as b from numbers x, numbers y where y.a < 100"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=project.environment({"TMPDIR": str(folder)}),
    )  # fmt: skip
    count = 0
    while piece := os.read(process.stdout.fileno(), 1 << 15):
        count += piece.count(b"\n")
        time.sleep(0.005)
    assert process.wait(60) == 0 and count == 100_003
    assert list(folder.iterdir()) == []


def test_ctrl_c_ends_a_query_whose_reader_does_not_read(project: Project, tmp_path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        [*project.caller.words, "query", "-p", str(project.folder), "--all-rows",
         "select x.a as a, y.a as b from numbers x, numbers y"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=project.environment({"TMPDIR": str(folder)}),
    )  # fmt: skip
    os.read(process.stdout.fileno(), 100)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    assert list(folder.iterdir()) == []


def test_a_query_is_exported_as_a_stream(project: Project, tmp_path) -> None:
    folder = tmp_path / "out"
    done = call(
        project, "query", "-p", str(project.folder), "--format", "arrow", "--export", str(folder), "-O", "json",
        "-- a comment first\nselect a, s from numbers where a < 3",
    )  # fmt: skip
    assert json.loads(done.stdout)["status"] == "success", done.stderr
    with pa.ipc.open_stream(folder / "query.arrows") as reader:
        assert reader.read_all().to_pydict() == {"a": [0, 1, 2], "s": ["row 0", "row 1", "row 2"]}


@pytest.mark.parametrize(
    "statement", ["-- top\nselect a from numbers limit 1", "--top of it\nselect a from numbers limit 1"]
)
def test_a_statement_may_begin_with_a_comment(project: Project, statement: str) -> None:
    *_, row, count = query(project, statement)
    assert row.strip().isdecimal() and count == "1 row"
    assert query(project, "--max-rows", "5", statement, "--no-cache")[-1] == "1 row"


def test_errors_are_one_object_of_json_too(project: Project) -> None:
    done = call(project, "query", "-p", str(project.folder), "-O", "json", "select nothing from numbers")
    assert done.returncode == 1 and json.loads(done.stdout)["status"] == "failed" and "nothing" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--ref", "dev"), ("--priority", "0"), ("--priority", "11"), ("--priority", "5", "--batch"), ("-a", "x"),
        ("--client-timeout", "soon"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_errors_of_usage(project: Project, words: tuple) -> None:
    done = call(project, "run", "-p", str(project.folder), *words)
    assert done.returncode == 2 and done.stderr.startswith("error: "), done.stderr


def test_old_spellings_of_options_are_understood(project: Project) -> None:
    project.write("last.sql", "select a from numbers")
    for words in [("--strict", "on"), ("--strict", "off"), ("--strict=on",), ("--cache", "off"), ("--cache=on",)]:
        assert "last" in run(project, *words, "-r", "main", "--arg", "x=1", "-v", "-P", "me")

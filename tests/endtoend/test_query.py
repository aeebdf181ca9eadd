"""`zerrow query`: where the statement comes from. What it means is DuckDB's to say."""

import json
import subprocess

import duckdb
import pytest
from command import Project

STATEMENT = "-- how many, and how much\nselect count(*) as n, sum(b) as total\nfrom numbers\nwhere s like '%7%'\n"


def query(project: Project, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
    """One call of the command."""
    return subprocess.run(
        [*project.caller.words, "query", "-p", str(project.folder), *words],
        capture_output=True,
        timeout=120,
        input=stdin,
        env=project.environment(),
    )


def expected(project: Project) -> tuple:
    """The row of the statement."""
    numbers = str(project.folder / "data" / "numbers.parquet")
    return duckdb.sql(STATEMENT.replace("numbers", f"'{numbers}'")).fetchall()[0]


@pytest.mark.parametrize("way", ["argument", "-f", "--file", "standard input"])
def test_a_statement_comes_from_the_command_line_a_file_or_standard_input(project: Project, way: str):
    file = project.folder.parent / "a query.sql"
    file.write_text(STATEMENT)
    words = {"argument": [STATEMENT.split("\n", 1)[1]], "standard input": ["--file", "-"]}.get(way, [way, str(file)])
    done = query(project, *words, stdin=STATEMENT.encode())
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[2].split() == [str(value) for value in expected(project)]


def test_a_statement_is_needed_once(project: Project):
    (project.folder / "one.sql").write_text(STATEMENT)
    for words in ([], ["select 1", "-f", str(project.folder / "one.sql")]):
        done = query(project, *words)
        assert done.returncode == 2
        assert b"give one statement" in done.stderr


@pytest.mark.parametrize("kind", ["missing", "folder", "large", "latin-1"])
def test_a_file_that_holds_no_statement_is_named(project: Project, kind: str):
    file = project.folder.parent / "statement.sql"
    if kind == "folder":
        file.mkdir()
    elif kind == "large":
        file.write_text("select 1 --" + "x" * (1 << 20))
    elif kind == "latin-1":
        file.write_bytes("select 'ä'".encode("latin-1"))
    done = query(project, "-f", str(file))
    assert done.returncode == 2
    assert str(file).encode() in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("option", ["--rows", "--max-rows"])
def test_so_many_rows_are_shown(project: Project, option: str):
    done = query(project, option, "3", "select a from numbers order by a")
    assert done.returncode == 0, done.stderr
    assert [line.strip() for line in done.stdout.decode().splitlines()[2:5]] == ["0", "1", "2"]
    report = json.loads(query(project, "-O", "json", option, "3", "select a from numbers").stdout)
    assert report["status"] == "success"


def test_a_statement_needs_no_table(project: Project):
    statement = "select 6 * 7 as answer, 'x' as letter"
    done = query(project, statement)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[2].split() == [str(each) for each in duckdb.sql(statement).fetchall()[0]]

"""What the engine, and with it the user, is told when a task fails."""

from __future__ import annotations

import json

import pytest
from filters import filter_of
from small_engine import Engine, Outcome, Table
from zerrow.worker.failures import REPORT_BYTES_MAX, report


def fail(engine: Engine, project, text: str, arguments: list | None = None, inputs: list[Table] = ()) -> Outcome:
    outcome = engine.run(project(text, arguments), list(inputs))
    assert outcome.table is None
    assert outcome.exited["status"] == 1 and outcome.exited["signal"] is None
    return outcome


@pytest.fixture(scope="module")
def small(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("small")
    (folder / "m.py").write_text("def f(): return {'amount': [1, 2], 'name': ['x', 'y']}")
    task = {"kind": "python", "folder": str(folder), "file": "m.py", "line": 1, "function": "f", "arguments": []}
    return engine.run(task).table


def test_an_exception_shows_the_users_own_frames(engine: Engine, project) -> None:
    (project.folder / "steps.py").write_text("import pyarrow as pa\n\ndef divide(a, b):\n    return a / b\n")
    error = fail(engine, project, "import steps\ndef model():\n    return steps.divide(1, 0)\n").error
    assert error["kind"] == "user" and error["message"] == "ZeroDivisionError: division by zero"
    assert (error["file"], error["line"]) == ("steps.py", 4)
    assert 'File "models.py", line 3, in model' in error["traceback"]
    assert "return steps.divide(1, 0)" in error["traceback"] and "zerrow" not in error["traceback"]


def test_frames_of_libraries_are_left_out(engine: Engine, project) -> None:
    error = fail(engine, project, "import pandas as pd\ndef model():\n    return pd.DataFrame({'a': [1]})['b']\n").error
    assert (error["file"], error["line"]) == ("models.py", 3)
    assert "site-packages" not in error["traceback"] and "KeyError: 'b'" in error["message"]


def test_chained_exceptions_are_shown(engine: Engine, project) -> None:
    text = (
        "def model():\n    try:\n        {}['k']\n    except KeyError as e:\n        raise ValueError('outer') from e\n"
    )
    error = fail(engine, project, text).error
    assert "KeyError: 'k'" in error["traceback"] and "direct cause" in error["traceback"]
    assert error["line"] == 5


@pytest.mark.parametrize(
    ("text", "kind", "words", "line"),
    [
        ("def model():\n  import sys\n  sys.exit(3)", "user", "sys.exit(3)", 3),
        ("def model():\n  raise KeyboardInterrupt", "user", "interrupted", 2),
        ("def model():\n  raise MemoryError", "memory", "out of memory", 2),
        ("def model():\n  import pyarrow as pa; pa.allocate_buffer(1 << 50)", "memory", "out of memory", 2),
        ("import no_such_package\ndef model(): pass", "user", "'no_such_package'", 1),
        ("def model(:\n  pass", "user", "SyntaxError", 1),
        ("def model():\n  return 5", "result", "int", None),
        ("def other(): pass", "user", "no function 'model'", None),
        ("def model(missing): pass", "user", "missing", None),
        ("raise RuntimeError('at import')", "user", "at import", 1),
        (
            "def model():\n  class Odd(Exception):\n    def __str__(self): raise ValueError\n  raise Odd",
            "user",
            "Odd",
            4,
        ),
        ("import polars as pl\ndef model():\n  return pl.LazyFrame({'a': [1]}).select('b')", "user", "b", None),
        ("def model():\n  raise SystemError('x' * 1_000_000)", "user", "characters left out", 2),
        ("class Stop(BaseException): pass\ndef model():\n  raise Stop('early')", "user", "early", 3),
    ],
)
def test_each_kind_of_failure_is_told(
    engine: Engine, project, text: str, kind: str, words: str, line: int | None
) -> None:
    error = fail(engine, project, text).error
    assert error["kind"] == kind and words in error["message"], error
    assert line is None or error["line"] == line


def test_what_a_model_printed_before_it_failed_is_not_lost(engine: Engine, project) -> None:
    text = (
        "import ctypes, sys\ndef model():\n  print('from python', end='')\n  sys.stderr.write('|from stderr|')\n"
        "  ctypes.CDLL(None).printf(b'from c|')\n  import subprocess; subprocess.run(['echo', 'from a child'])\n  1 / 0"
    )
    printed = fail(engine, project, text).worker.text()
    for words in ("from python", "|from stderr|", "from c|", "from a child\n"):
        assert words in printed


def test_a_missing_column_and_a_wrong_filter_are_the_inputs_fault(engine: Engine, project, small: Table) -> None:
    text = "def model(t): return t"
    error = fail(engine, project, text, [{"name": "t", "input": 0, "columns": ["amuont"]}], [small]).error
    assert error["kind"] == "input" and "'amuont'" in error["message"] and "'amount'" in error["message"]
    filter_ = filter_of("amount < 'x'")
    error = fail(engine, project, text, [{"name": "t", "input": 0, "filter": filter_}], [small]).error
    assert error["kind"] == "input" and """the filter "amount < 'x'" on 't'""" in error["message"]


def test_declared_columns_must_be_there_and_others_are_told(engine: Engine, project) -> None:
    text = "def model(): return {'a': [1], 'b': [2]}"
    outcome = engine.run({**project(text), "columns": ["a", "c"]})
    assert outcome.error["kind"] == "result" and "'c'" in outcome.error["message"]
    outcome = engine.run({**project(text), "columns": ["a"]})
    assert outcome.error is None and "does not declare: b" in outcome.worker.text()
    assert engine.run({**project(text), "columns": ["*"]}).worker.text() == ""


@pytest.mark.parametrize("sql_engine", ["datafusion", "duckdb"])
def test_sql_errors_name_the_file_and_the_line(engine: Engine, small: Table, sql_engine: str) -> None:
    task = {
        "kind": "sql",
        "model": "q",
        "file": "q.sql",
        "line": 4,
        "engine": sql_engine,
        "arguments": [{"name": "t", "input": 0}],
    }
    for sql in ("select amount,\n  frm t where", "select nothing from t", "select * from nowhere"):
        error = engine.run({**task, "sql": sql}, [small]).error
        assert error["kind"] == "user" and error["file"] == "q.sql" and error["line"] in (4, 5), error
    assert "nowhere" in error["message"]


def test_a_scan_that_cannot_read_names_the_file(engine: Engine, tmp_path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 this is no parquet PAR1")
    task = {"kind": "scan", "table": "t", "columns": None, "filter": None, "dictionary": []}
    for path in (broken, tmp_path / "absent.parquet"):
        error = engine.run({**task, "files": [str(path)]}).error
        assert error["kind"] == "input" and str(path) in error["message"], error


def test_an_unknown_task_is_an_internal_error(engine: Engine) -> None:
    error = engine.run({"kind": "dance"}).error
    assert error["kind"] == "internal" and "dance" in error["message"]


def test_a_descriptor_that_is_no_table_is_the_inputs_fault(engine: Engine, project, small: Table) -> None:
    broken = Table(small.descriptor[:100] + b"\xff" * 8 + small.descriptor[108:], small.segments, 2, {}, {})
    error = fail(engine, project, "def model(t): return t", [{"name": "t", "input": 0}], [broken]).error
    assert error["kind"] == "input"


def test_a_report_always_fits_a_datagram() -> None:
    try:
        raise ValueError("ö\x00" * 500_000)
    except ValueError as error:
        assert len(json.dumps(report(error, "user", "/"))) <= REPORT_BYTES_MAX


def test_a_result_that_does_not_fit_the_arena_is_a_memory_error(engine: Engine, project) -> None:
    worker = engine.fork()
    text = "import pyarrow as pa\ndef model(): return pa.table({'a': pa.array(range(1_000_000))})"
    output = engine.give(worker, project(text), [], arena_file_bytes=4 << 20, arena_bytes_max=4 << 20)
    error = engine.finish(worker, output).error
    assert error["kind"] == "memory", error

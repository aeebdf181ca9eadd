"""The values of secrets in a worker: models get them, and nobody else sees them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from zerrow.worker.secrets import hide_in_report, secrets_of
from zerrow.worker.tasks import execute

TASK = {"arguments": [{"name": "t", "value": "open sesame", "secret": True}, {"name": "n", "value": "plain"}]}


def test_a_tasks_secrets_are_those_that_it_marks() -> None:
    assert secrets_of({**TASK, "secrets": {"s": "open sesame!", "none": None}}) == ["open sesame!", "open sesame"]


def test_a_report_has_none() -> None:
    report = {"kind": "user", "message": "no open sesame here", "traceback": "open sesame\nplain", "line": 3}
    assert hide_in_report(report, secrets_of(TASK)) == {
        "kind": "user", "message": "no *** here", "traceback": "***\nplain", "line": 3,
    }  # fmt: skip


def test_prints_have_none_whatever_stream_they_go_to() -> None:
    code = (
        "import sys\nfrom zerrow.worker.secrets import hide_in_streams\nhide_in_streams(['open sesame'])\n"
        "print('say', 'open sesame', 'loud')\nprint('open sesame é', file=sys.stderr)\n"
        "sys.__stdout__.write('open sesame\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("say *** loud\n***\n", "*** é\n")


@pytest.mark.parametrize("engine", ["datafusion", "duckdb"])
def test_a_query_gets_a_secret_as_a_value(engine: str) -> None:
    sql = "select a, $word as word from t where b = $word"
    task: dict[str, Any] = {"kind": "sql", "sql": sql, "engine": engine, "secrets": {"word": "it's", "unused": "x"}}
    found = execute(task, {"t": pa.table({"a": [1, 2], "b": ["it's", "no"]})})
    assert found.to_pylist() == [{"a": 1, "word": "it's"}]


@pytest.mark.parametrize("engine", ["datafusion", "duckdb"])
def test_a_query_reads_tables_with_namespaces(engine: str) -> None:
    sql = (
        "select x.A, Trips.B, lake.Trips.B as c, o.A as d "
        "from lake.Trips join x on x.A = Trips.A join pond.Trips o on true"
    )
    table = pa.table({"A": [1], "B": [2]})
    found = execute(
        {"kind": "sql", "sql": sql, "engine": engine}, {"lake.Trips": table, "x": table, "pond.Trips": table}
    )
    assert found.to_pylist() == [{"A": 1, "B": 2, "c": 2, "d": 1}]

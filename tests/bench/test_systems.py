"""The benchmarks that let systems take turns: each at tiny size, its answers right, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

HOME = Path(__file__).resolve().parents[2]
ZERROW = Path(os.environ.get("ZERROW_COMMAND", HOME / "zerrow"))
sys.path.insert(0, str(HOME / "bench"))

from accounting import Account, tree_cpu_seconds  # noqa: E402
from paper.janitor import Janitor  # noqa: E402
from tpch import answers, data  # noqa: E402

SCALE = ["--scale", "0.01", "--rounds", "1"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Calls a benchmark; its tables are this module's own."""
    cache = tmp_path_factory.mktemp("cache")

    def call(*words: str) -> dict:
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "ZERROW_SOCKET": "/nonexistent/socket"}
        done = subprocess.run(
            [ZERROW, "bench", *words, "--output", "json"], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert not list(cache.glob("zerrow/bench/work-*"))
        result = json.loads(done.stdout)
        for case in result["cases"]:
            assert case["wall_ms"] > 0 and case["cpu_ms"] > 0 and case["memory_bytes_max"] >= 0, case
        return result

    return call


def by_case(result: dict) -> dict[str, list[str]]:
    """The systems of each case."""
    found: dict[str, list[str]] = {}
    for case in result["cases"]:
        found.setdefault(case["case"], []).append(case["system"])
    return found


def test_models_measures_chains_and_shapes_per_model(bench):
    result = bench(
        "models", "--rounds", "1", "--count", "4", "--many", "6", "--sizes", "1,80",
        "--systems", "zerrow,in-process,multiprocessing",
    )  # fmt: skip
    chain = ["zerrow", "in-process", "multiprocessing"]
    shapes = {"one-file, 6 models": ["zerrow"], "own-files, 6 models": ["zerrow"], "fan-in, 4 models": ["zerrow"]}
    assert by_case(result) == {"chain, 1 KB": chain, "chain, 80 KB": chain, **shapes}
    for case in result["cases"]:
        assert case["wall_ms_per_model"] == pytest.approx(case["wall_ms"] / case["models"], abs=0.001)


def test_sql_gives_every_query_everywhere_with_the_same_answers(bench):
    result = bench("sql", *SCALE, "--queries", "q06,q11,q13", "--memory", "1GiB")
    systems = ["zerrow-duckdb", "duckdb", "zerrow-datafusion", "datafusion"]
    found = by_case(result)
    assert list(found) == ["q06", "q11", "q13", "sum of all", "in one run"]
    assert all(sorted(names) == sorted(systems) for names in found.values())
    assert result["wrong_answers"] == []


def test_scan_reads_the_same_rows_everywhere(bench):
    found = by_case(bench("scan", *SCALE))
    assert found["all"] == ["zerrow-python", "pyarrow"]
    assert found["rows"] == ["zerrow-python", "zerrow-duckdb", "duckdb", "zerrow-datafusion", "datafusion"]
    assert list(found) == ["all", "rows", "column", "count"]


def test_start_measures_all_ways_to_the_same_answer(bench):
    assert by_case(bench("start", *SCALE)) == {"one model": ["cold", "served", "cached", "script"]}


def test_pipeline_counts_all_processes(bench, tmp_path):
    # Workers of root are other users, who need be let into the project's folder; pytest's is its user's own.
    project = tmp_path / "project"
    project.mkdir()
    (project / "zerrow_project.yml").write_text("project: {name: one}\nsources:\n  seed: seed.parquet\n")
    pa.parquet.write_table(pa.table({"seed": [7]}), project / "seed.parquet")
    burn = "    end = time.process_time() + 0.3\n    while time.process_time() < end:\n        pass\n"
    model = f"@zerrow.model()\ndef one(seed=zerrow.Model('seed')):\n{burn}    return seed\n"
    (project / "models.py").write_text(f"import time\nimport zerrow\n\n\n{model}")
    result = bench("pipeline", "--rounds", "1", "-p", str(project))
    assert by_case(result) == {"pipeline": ["zerrow", "in-process", "ipc-files"]}
    assert all(case["cpu_ms"] >= 290 for case in result["cases"])


def test_an_account_counts_processes_that_have_ended_below_another():
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    once = f"subprocess.run([sys.executable, '-c', {burn!r}]); print('[]', flush=True)"
    middle = f"import subprocess, sys\nfor _ in sys.stdin:\n {once}"
    with Janitor() as janitor:
        account = Account(janitor, f"test-{time.monotonic_ns()}")
        try:
            process = account.start([sys.executable, "-c", middle])
            before = tree_cpu_seconds([process.process.pid])
            figures, told = account.measure(process.round)
            assert told == [] and figures["cpu_ms"] >= 195
            # The other way to count, for machines without control groups, sees it too: to a tick.
            assert tree_cpu_seconds([process.process.pid]) - before >= 0.18
        finally:
            account.close()


def test_an_account_sees_memory_that_is_held_for_a_moment():
    held = "import sys\nfor _ in sys.stdin:\n x = bytearray(b'x' * (200 << 20)); del x; print('[]', flush=True)"
    with Janitor() as janitor:
        account = Account(janitor, f"test-{time.monotonic_ns()}")
        try:
            process = account.start([sys.executable, "-c", held])
            for _ in range(3):
                figures, _ = account.measure(process.round)
                assert figures["memory_bytes_max"] >= 190 << 20
        finally:
            account.close()


def test_answers_that_differ_are_told_apart():
    table = pa.table({"a": ["x", "y"], "b": [1.0, 2.0]})
    assert answers.difference(table, table.take([1, 0])) is None
    assert answers.difference(table, pa.table({"a": ["x", "y"], "b": [1.0, 2.0 + 1e-9]})) is None
    assert "rows" in answers.difference(table, pa.table({"a": ["x", "y"], "b": [1.0, 2.1]}))
    assert "1 rows" in answers.difference(table, table.slice(0, 1))
    assert "columns" in answers.difference(table, table.select(["a"]))
    assert answers.difference(table, pa.table({"a": ["x", None], "b": [1.0, 2.0]}))


def test_query_11_has_the_scale_factor_in_it():
    assert len(data.NAMES) == 22
    assert "* 0.000100000000" in data.query("q11", 1) and "* 0.000010000000" in data.query("q11", 10)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["models", "--shapes", "ring"], "there is no 'ring': chain, one-file, own-files, fan-in"),
        (["models", "--sizes", "x"], "not a number of 1 or more"),
        (["sql", "--memory", "much"], "'much' is not a size, as 2GiB"),
        (["sql", "--queries", "q23"], "there is no 'q23'"),
        (["scan", "--systems", "spark"], "there is no 'spark'"),
        (["start", "--rounds", "0"], "not a number of 1 or more"),
        (["none"], "there is no benchmark 'none': handoff, models, sql, scan, start, pipeline or paper"),
    ],
)
def test_what_there_is_not_is_named(words, complaint):
    done = subprocess.run([ZERROW, "bench", *words], capture_output=True, text=True)
    assert done.returncode != 0
    assert complaint in done.stderr

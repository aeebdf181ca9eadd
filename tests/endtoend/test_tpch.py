"""The example copies nothing on the way; test_tpch_answers.py has what it answers."""

import json
import subprocess

import pytest
from command import HOME, ZERROW

EXAMPLE = HOME / "examples" / "tpch"


@pytest.fixture(scope="module")
def report():
    command = [ZERROW, "run", "-p", EXAMPLE, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_copied_but_small_buffers(report):
    assert len(report["models"]) >= 10
    for model in report["models"]:
        output = model["output"]
        assert output["copied_bytes"] == 0, model
        parts = ("reshared", "born_shared", "deanonymized", "packed", "copied")
        assert output["bytes"] == sum(output[f"{part}_bytes"] for part in parts), model
    total = sum(model["output"]["bytes"] for model in report["models"])
    assert sum(model["output"]["packed_bytes"] for model in report["models"]) < total / 1000


def test_small_sql_results_are_not_overwritten_after_publishing(tmp_path):
    """Allocators write into what is freed; a published table's memory must not be freed before its worker is gone."""
    for _ in range(3):
        done = subprocess.run(
            [ZERROW, "query", "-p", EXAMPLE, "select n_name, count(*) as n from nation group by 1 order by 1 limit 3"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert [line.split() for line in done.stdout.splitlines()[2:5]] == [
            ["ALGERIA", "1"],
            ["ARGENTINA", "1"],
            ["BRAZIL", "1"],
        ], done.stdout

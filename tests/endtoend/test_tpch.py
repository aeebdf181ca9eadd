"""The example answers TPC-H queries as DuckDB does straight from the same files, and copies nothing on the way."""

import importlib.util
import json
import subprocess

import pyarrow as pa
import pytest
from command import HOME, ZERROW

EXAMPLE = HOME / "examples" / "tpch"


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    command = [ZERROW, "run", "-p", EXAMPLE, "--format", "arrow", "--export", folder, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_answers_are_duckdbs(run):
    folder, _ = run
    answers = module(EXAMPLE / "answers.py")
    assert len(answers.ANSWERS) >= 3
    for model in answers.ANSWERS:
        with pa.ipc.open_stream(folder / f"{model}.arrows") as reader:
            actual = reader.read_all()
        actual.validate(full=True)
        assert answers.differences(actual, answers.expected(model)) == [], model


def test_nothing_is_copied_but_small_buffers(run):
    _, report = run
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

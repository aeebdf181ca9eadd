"""With the module KernelZero, and without the arena, a run copies nothing but the edges of buffers and small ones.

The first tests run everywhere; the others where the module is loaded: in the virtual machine of kernel/tests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from command import HOME, ZERROW, Project, Result

DEVICE = Path("/dev/kernelzero")
loaded = pytest.mark.skipif(not DEVICE.exists(), reason="KernelZero is not loaded: see kernel/tests")
EXAMPLE = HOME / "examples" / "tpch"
PAGE = 4096
WAYS = ("reshared", "born_shared", "deanonymized", "packed", "copied")

LIBRARIES = """
    import duckdb
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc
    import zerrow

    ROWS = 300_000

    @zerrow.model()
    def arrow(numbers=zerrow.Model("numbers")):
        n = pa.array(np.arange(ROWS))
        even = pc.equal(pc.bit_wise_and(n, 1), 0)
        return pa.table({"n": pc.multiply(n, 3), "s": pc.cast(n, pa.utf8()), "even": even})

    @zerrow.model()
    def pandas(table=zerrow.Model("arrow")):
        frame = pd.DataFrame({"n": table["n"].to_numpy() % 1000, "f": np.sqrt(np.arange(ROWS))})
        return frame.groupby("n").cumsum().assign(n=frame["n"] + 1)

    @zerrow.model()
    def polars(table=zerrow.Model("arrow")):
        return pl.from_arrow(table).with_columns((pl.col("n") * 2).alias("twice"), pl.col("s") + "!").sort("s")

    @zerrow.model()
    def duck(table=zerrow.Model("arrow")):
        return duckdb.from_arrow(table).project("n + 1 as n, s || '?' as s, n / 7.0 as f").order("n desc")

    @zerrow.model()
    def counted(
        arrow=zerrow.Model("arrow"), pandas=zerrow.Model("pandas"), polars=zerrow.Model("polars"),
        duck=zerrow.Model("duck"),
    ):
        tables = (arrow, pandas, polars, duck)
        for table in tables:
            table.validate(full=True)
        assert pc.sum(duck["n"]).as_py() == pc.sum(arrow["n"]).as_py() + ROWS
        assert pc.sum(polars["twice"]).as_py() == 2 * pc.sum(arrow["n"]).as_py()
        assert polars["s"].to_pylist()[:2] == ["0!", "1!"]
        return {"rows": [table.num_rows for table in tables]}
"""


def moves(result: Result, model: str) -> dict:
    """How a model's pages went; they are all accounted for, and what was copied was parts of pages."""
    output = result.model(model)["output"]
    found = output["kernelzero"]
    assert found["refused_ranges"] == 0 and found["refusal"] is None, (model, found)
    for reason in ("shared", "pinned", "other"):
        assert found[f"copied_{reason}_pages"] == 0, (model, found)
    assert found["copied_edge_pages"] <= 2 * found["ranges"], (model, found)
    assert output["copied_bytes"] <= found["copied_edge_pages"] * PAGE, (model, output)
    assert output["bytes"] == sum(value for key, value in output.items() if key.endswith("_bytes")), (model, output)
    return found


def test_the_doctor_says_whether_the_module_is_there():
    done = subprocess.run([ZERROW, "doctor", "--output", "json"], capture_output=True, text=True)
    check = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "KernelZero")
    if DEVICE.exists():
        assert check["status"] == "present" and check["detail"].startswith("version "), check
    else:
        assert "not loaded" in check["detail"] and "make -C kernel" in check["remedy"], check


def test_without_the_module_a_run_says_nothing_of_it(project: Project):
    text = "import zerrow\n@zerrow.model()\ndef m(numbers=zerrow.Model('numbers')):\n    return numbers\n"
    project.write("models.py", text)
    result = project.run("--no-kernelzero")
    assert result.code == 0, result.err
    output = result.model("m")["output"]
    assert output["deanonymized_bytes"] == 0 and "kernelzero" not in output
    assert "KernelZero" not in result.err


@loaded
def test_plain_results_of_all_libraries_move(any_project: Project):
    any_project.write("models.py", LIBRARIES)
    result = any_project.run("--no-arena", timeout=1800)
    assert result.code == 0, result.err
    for model in ("arrow", "pandas", "polars", "duck"):
        found = moves(result, model)
        output = result.model(model)["output"]
        assert output["deanonymized_bytes"] > 0.95 * (output["bytes"] - output["reshared_bytes"]), output
        print(model, json.dumps(output), file=sys.stderr)
        assert found["moved_pages"] + found["moved_huge_pages"] > 900


@loaded
def test_the_example_copies_nothing_but_edges_and_small_buffers(tmp_path: Path):
    folder = tmp_path / "tpch"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", ".data-*", "__pycache__"))
    python = os.environ.get("ZERROW_PYTHON", sys.executable)
    subprocess.run([python, folder / "make_data.py", "0.05"], check=True)
    command = [ZERROW, "run", "-p", folder, "--format", "arrow", "--export", tmp_path, "--output", "json", "--no-arena"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr + done.stdout
    result = Result(0, done.stdout, done.stderr, json.loads(done.stdout))
    for model in result.report["models"]:
        moves(result, model["name"])
        print(model["name"], json.dumps(model["output"]), file=sys.stderr)
    total = {way: sum(model["output"][f"{way}_bytes"] for model in result.report["models"]) for way in WAYS}
    print(json.dumps(total), file=sys.stderr)
    assert total["born_shared"] == 0 and total["copied"] < total["deanonymized"] / 50
    check_answers(folder, tmp_path)


def check_answers(folder: Path, export: Path) -> None:
    """The answers are DuckDB's from the same files."""
    spec = importlib.util.spec_from_file_location("answers", folder / "answers.py")
    answers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(answers)
    for model in answers.ANSWERS:
        with pa.ipc.open_stream(export / f"{model}.arrows") as reader:
            assert answers.differences(reader.read_all(), answers.expected(model)) == [], model

"""The example is planned as it should be, and its models, run in one process, answer TPC-H queries as DuckDB does."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from shop_project import INTERPRETER
from zerrow.plan import plan_project

HOME = Path(__file__).resolve().parents[2]
EXAMPLE = HOME / "examples" / "tpch"
GOLDEN = Path(__file__).with_name("tpch_plan.json")
SCALE_FACTOR = "0.01"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, with little data made by its own script."""
    folder = tmp_path_factory.mktemp("example") / "tpch"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    subprocess.run([sys.executable, folder / "make_data.py", SCALE_FACTOR], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def tables(example: Path) -> dict[str, pa.Table]:
    """The tables nobody reads, of one run in this process."""
    bench = load(HOME / "bench" / "in_process.py")
    pipeline = bench.InProcess(plan_project(example), jobs=1, cpus=1)
    pipeline.round()
    return pipeline.tables


def test_the_plan_is_the_golden_one(example: Path) -> None:
    """After a change that is meant, copy what this test prints into tpch_plan.json."""
    plan = plan_project(example)
    for model in plan["models"]:
        # These are of this machine, this moment and these packages; test_keys.py is about them.
        for varying in ("code", "key", "because", "repeatable", "expected_bytes"):
            del model[varying]
        for varying in ("identities", "planned_ns", "schema", "watched"):
            model["task"].pop(varying, None)
    text = json.dumps(plan, indent=1).replace(str(example), "PROJECT").replace(INTERPRETER, "PYTHON")
    assert json.loads(text) == json.loads(GOLDEN.read_text()), text


def test_the_data_is_made_once_and_nothing_else_is_left(example: Path) -> None:
    plan = plan_project(example)
    assert plan["prepare"] is None
    assert [path.name for path in example.iterdir() if path.name.startswith(".data-")] == []


def test_a_fresh_copy_asks_for_its_data(tmp_path: Path) -> None:
    folder = tmp_path / "tpch"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    prepare = plan_project(folder)["prepare"]
    assert prepare["command"] == [INTERPRETER, "make_data.py"]
    assert prepare["missing"] == ["lineitem", "orders", "customer", "supplier", "nation", "region", "part"]


@pytest.mark.parametrize("model", load(EXAMPLE / "answers.py").ANSWERS)
def test_answers_as_duckdb_does_from_the_files(example: Path, tables: dict[str, pa.Table], model: str) -> None:
    answers = load(example / "answers.py")
    wanted = answers.expected(model, example / "data")
    assert wanted.num_rows > 0
    assert answers.differences(tables[model], wanted) == []


def test_a_wrong_answer_would_be_noticed(example: Path, tables: dict[str, pa.Table]) -> None:
    answers = load(example / "answers.py")
    wanted = answers.expected("pricing_summary", example / "data")
    column = wanted.column_names.index("sum_charge")
    wrong = wanted.set_column(column, "sum_charge", pa.array([value.as_py() + 1 for value in wanted["sum_charge"]]))
    assert len(answers.differences(tables["pricing_summary"], wrong)) == wanted.num_rows


def test_has_the_shapes_a_pipeline_has(example: Path) -> None:
    models: dict[str, Any] = {model["name"]: model for model in plan_project(example)["models"]}
    own = {name: model for name, model in models.items() if model["kind"] != "scan"}
    assert len(own) >= 10
    chain = ["priced_lines", "order_lines", "order_revenue", "ranked_orders", "top_orders", "top_customers"]
    assert all(first in own[second]["inputs"] for first, second in itertools.pairwise(chain))
    assert {"top_orders", "revenue_bands"} <= set(own["top_customers"]["inputs"])
    assert sum("order_lines" in model["inputs"] for model in own.values()) >= 3
    assert {model["task"].get("engine", "python") for model in own.values()} == {"python", "datafusion", "duckdb"}

"""The TPC-H example, run by the engine, gives the answers that DuckDB computes straight from the same Parquet files.

The answers are compared inside the run: DuckDB's go into the project as source tables, and one more model for each
reads both and fails where they differ. So what is compared has come the whole way through segments and sandboxes.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
from command import HOME, Project

EXAMPLE = HOME / "examples" / "tpch"
SCALE_FACTOR = "0.05"

VERIFY = """
import pyarrow as pa
from answers import differences

import zerrow
"""

MODEL = """

@zerrow.model()
def verified_{name}(actual=zerrow.Model("{name}"), wanted=zerrow.Model("wanted_{name}")):
    found = differences(actual, wanted)
    if found:
        raise ValueError("; ".join(found[:5]))
    return pa.table({{"rows": [actual.num_rows]}})
"""


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy_with_wanted_answers(project: Project, wrong: str | None = None) -> list[str]:
    """Fills the project with the example, its data, DuckDB's answers and models that compare; the answers' names."""
    shutil.rmtree(project.folder / "data")
    shutil.copytree(EXAMPLE, project.folder, ignore=shutil.ignore_patterns("data", "__pycache__"), dirs_exist_ok=True)
    subprocess.run([sys.executable, project.folder / "make_data.py", SCALE_FACTOR], check=True, capture_output=True)
    answers = load(project.folder / "answers.py")
    sources, models = "", VERIFY
    for name in answers.ANSWERS:
        wanted = answers.expected(name, project.folder / "data")
        assert wanted.num_rows > 0
        if name == wrong:
            wanted = pa.concat_tables([wanted, wanted.slice(0, 1)])
        pq.write_table(wanted, project.folder / "data" / f"wanted_{name}.parquet")
        sources += f"  wanted_{name}: data/wanted_{name}.parquet\n"
        models += MODEL.format(name=name)
    project_file = project.folder / "zerrow_project.yml"
    project_file.write_text(project_file.read_text().replace("sources:\n", "sources:\n" + sources))
    (project.folder / "verify.py").write_text(models)
    return list(answers.ANSWERS)


def test_the_example_answers_tpch_queries_as_duckdb_does_and_copies_nothing(project: Project) -> None:
    names = copy_with_wanted_answers(project)
    result = project.run()
    assert result.code == 0, result.err
    for name in names:
        assert result.model(f"verified_{name}")["status"] == "success"
    for model in result.report["models"]:
        assert model["output"]["copied_bytes"] == 0, (model["name"], model["output"])


def test_a_wrong_answer_fails_the_run(project: Project) -> None:
    copy_with_wanted_answers(project, wrong="forecast_revenue")
    result = project.run()
    assert result.code == 1
    assert result.model("verified_forecast_revenue")["status"] == "failed"
    assert "rows: 1 and not 2" in result.report["error"]["message"]

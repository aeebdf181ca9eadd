"""Models of several Pythons in one run, in their sandboxes: old libraries, a marimo notebook as a helper, children,
temporary files, and a filter on another model's table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "endtoend"))

from command import Project, open_to_others

NOTEBOOK = """
    import marimo

    app = marimo.App()

    with app.setup:
        import pandas as pd

    @app.function
    def double(x):
        return pd.Series(x).mul(2).tolist()

    @app.cell
    def _():
        raise SystemExit("a cell is not run by an import")

    if __name__ == "__main__":
        app.run()
"""

MODELS = """
    import bauplan


    @bauplan.model()
    @bauplan.python("3.10", pip={"pandas": "1.5.3", "numpy": "1.23.2", "pyarrow": "15.0.0"})
    def base(t=bauplan.Model("zones")):
        import sys, numpy, pandas, pyarrow

        found = [sys.version_info[:2], numpy.__version__, pandas.__version__, pyarrow.__version__]
        assert found == [(3, 10), "1.23.2", "1.5.3", "15.0.0"], found
        return t.to_pandas().assign(s=lambda frame: "text " + frame.a.astype(str))


    @bauplan.model()
    @bauplan.python("3.12", pip={"marimo": "0.20.4", "pandas": "2.2.2"})
    def noted(b=bauplan.Model("base", columns=["a"], filter="a < 3")):
        from notebook import double

        return {"x": double(b["a"].to_pylist())}


    @bauplan.model()
    @bauplan.python("3.13", pip={})
    def children(b=bauplan.Model("base", columns=["a"], filter="a < 3")):
        import multiprocessing, os, pathlib, subprocess, sys, tempfile

        with tempfile.TemporaryDirectory() as folder:
            told = os.path.join(folder, "told")
            subprocess.run([sys.executable, "-c", f"open({told!r}, 'w').write('41')"], check=True)
            found = [int(open(told).read())]
        pathlib.Path(os.environ["HOME"], "settings").write_text("kept for this model alone")
        for method in ("fork", "spawn", "forkserver"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                found += pool.map(abs, [-1, -2])
        return {"x": found}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    open_to_others(tmp_path)
    project = Project(tmp_path)
    project.write("zerrow_project.yml", "project: {name: several}\nsources: {zones: data/zones.parquet}")
    project.table("zones", pa.table({"a": range(100_000)}))
    project.write("notebook.py", NOTEBOOK)
    return project


def run(project: Project, *arguments: str) -> Any:
    """A run that has succeeded; skipped where packages can't be had."""
    result = project.run(*arguments)
    if "can't be reached" in result.err or "is not here" in result.err:
        pytest.skip(result.err[-300:])
    assert result.code == 0, result.err
    return result


def exported(folder: Path, name: str) -> pa.Table:
    return pa.ipc.open_stream((folder / "out" / f"{name}.arrows").read_bytes()).read_all()


def test_models_of_several_pythons_pass_tables_to_each_other(project: Project, tmp_path: Path) -> None:
    project.write("models.py", MODELS)
    result = run(project, "--format", "arrow", "--export", str(tmp_path / "out"))
    assert exported(tmp_path, "noted")["x"].to_pylist() == [0, 2, 4]
    assert exported(tmp_path, "children")["x"].to_pylist() == [41, 1, 2, 1, 2, 1, 2]
    base = result.model("base")["output"]
    assert base["copied_bytes"] == 0 and base["born_shared_bytes"] > 2_000_000
    # One filter for both readers, in zerrow's own environment, with the one column that they take.
    filtered = result.model("base#filter")["output"]
    assert filtered["rows"] == 3 and filtered["bytes"] == 24


def test_a_missing_module_is_told_with_the_line_to_add(project: Project) -> None:
    project.write(
        "models.py",
        """
    import bauplan


    @bauplan.model()
    @bauplan.python("3.13", pip={"tabulate": "0.9.0"})
    def m(t=bauplan.Model("zones")):
        from sklearn.linear_model import LinearRegression
    """,
    )
    result = project.run()
    line = "@bauplan.python('3.13', pip={'tabulate': '0.9.0', 'scikit-learn': '*'})"
    expected = f"model 'm': No module named 'sklearn': add 'scikit-learn' to its packages (models.py:5): {line}"
    if "can't be reached" in result.err:
        pytest.skip(result.err[-300:])
    assert result.code == 1 and f"models.py:7: {expected}" in result.report["error"]["message"]

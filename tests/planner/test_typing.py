"""What a type checker knows of models and runs: mypy's own answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]

TEXT = """
import bauplan
import pyarrow as pa
import zerrow
from zerrow.testing import run_model

run = zerrow.run("p", select="x")
reveal_type(run)
reveal_type(run.ok)
reveal_type(run.states["a"].rows)
reveal_type(run.tables["a"])
reveal_type(zerrow.query("select 1"))
reveal_type(run_model("p", "m", {"t": {"a": [1]}}))
reveal_type(zerrow.Model("numbers", columns=["a"], filter="a > 1"))
reveal_type(bauplan.Model("numbers"))
reveal_type(zerrow.Model("numbers", stream=True))


@zerrow.model()
@zerrow.python("3.11", pip={"pandas": "2.0"})
def n(
    data: pa.Table = zerrow.Model("numbers"),
    most: int = zerrow.Parameter("most"),
    least: float = zerrow.Parameter.least,
) -> pa.Table:
    return data.select(["a"])


reveal_type(n)
zerrow.run(3)
zerrow.Model(3)
"""


def test_mypy_knows_what_arrives(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "models.py").write_text(TEXT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), "models.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(HOME / "python")},
    )
    revealed = re.findall(r'note: Revealed type is "(.*)"', done.stdout)
    short = [re.sub(r"pyarrow\.\w+\.\w+\.(\w+)", r"pa.\1", each) for each in revealed]
    assert short == [
        "zerrow.client.run.Run",
        "bool",
        "int | None",
        *["pa.Table"] * 5,
        "pa.RecordBatchReader",
        "def (data: pa.Table =, most: int =, least: float =) -> pa.Table",
    ], done.stdout
    errors = re.findall(r"error: (.*?)  \[", done.stdout)
    assert len(errors) == 2 and 'Argument 1 to "run"' in errors[0] and "Model" in errors[1], done.stdout

"""What tests of `bauplan.Client` share: scripts, each in a process of its own, beside the projects that they use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from command import HOME, ZERROW, Project

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
SECRET = "hunter-22-hunter"

SLOW = """
import pathlib, time, bauplan

@bauplan.model(cache_strategy="NONE")
def slow(t=bauplan.Model("numbers")):
    print("slow begins", flush=True)
    time.sleep(600)
    return t
"""


class Scripts:
    """Runs scripts that lie beside the projects they use."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.folder.parent

    def start(
        self, text: str, python: str = sys.executable, folder: Path | None = None, **variables: str
    ) -> subprocess.Popen:
        """Start a script, with no variables of the tests' own."""
        path = self.folder / "script.py"
        path.write_text(textwrap.dedent(text))
        environment = self.project.environment({"PYTHONPATH": str(HOME / "python"), "ZERROW_COMMAND": str(ZERROW)})
        environment |= {"ZERROW_JOBS": str(self.folder / "jobs"), "PYTHONDONTWRITEBYTECODE": "1", **variables}
        return subprocess.Popen(
            [python, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder or self.folder,
            env=environment,
        )

    def fails(self, text: str, **options) -> tuple[int, str, str]:
        """How a script ends."""
        process = self.start(text, **options)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def __call__(self, text: str, **options) -> object:
        """What a script that succeeds prints, as JSON."""
        code, out, err = self.fails(text, **options)
        assert code == 0, err
        return json.loads(out.strip().splitlines()[-1]) if out.strip() else None


@pytest.fixture
def script(project: Project) -> Scripts:
    project.write("bauplan_project.yml", "project: {id: 00000000-0000-4000-8000-00000000000b, name: shop}\n")
    project.write("zerrow_project.yml", "sources: {numbers: data/numbers.parquet, lake.rides: data/rides.parquet}\n")
    kinds = ["bus", "tram", None]
    rides = {"line": [kinds[i % 3] for i in range(90)], "fare": [i / 4 for i in range(90)], "began": range(90)}
    project.table("rides", pa.table(rides | {"began": pa.array(rides["began"], pa.timestamp("us", "UTC"))}))
    project.write(
        "models.py",
        """
        import bauplan

        @bauplan.model(materialization_strategy="REPLACE")
        def small(data=bauplan.Model("numbers", columns=["a"], filter="a < $most"), most=bauplan.Parameter("most")):
            print(f"most is {most!r}")
            return data

        @bauplan.model(columns=["a"])
        def twice(data=bauplan.Model("small")):
            return data.select(["a"]).append_column("c", data["a"])

        @bauplan.expectation()
        def is_small(data=bauplan.Model("small")):
            return data.num_rows < 500
        """,
    )
    project.write(
        "bauplan_project.yml",
        """
        project: {id: 00000000-0000-4000-8000-00000000000b, name: shop}
        parameters:
          most: {type: int, default: 100}
          rate: {type: float, default: 0.5}
          note: {type: str, default: x}
          flag: {type: bool, default: true}
          token: {type: secret}
        """,
    )
    return Scripts(project)


def rides(script: Scripts) -> str:
    return f"'{script.project.folder / 'data' / 'rides.parquet'}'"

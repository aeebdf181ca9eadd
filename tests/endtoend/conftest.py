"""End-to-end tests drive the command only: what a user can do, and what a user can see."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HOME = Path(__file__).resolve().parents[2]
ZERROW = HOME / "zerrow"


@dataclass
class Result:
    """What one call of the command left behind."""

    code: int
    out: str
    err: str
    report: dict = field(default_factory=dict)

    def model(self, name: str) -> dict:
        """The report of one model."""
        return next(model for model in self.report["models"] if model["name"] == name)


@dataclass
class Project:
    """A project folder that a test fills and runs."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project; the text may be indented."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    def table(self, name: str, table: pa.Table, **options) -> None:
        """Make a Parquet source."""
        path = self.folder / "data" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, **options)

    def command(self, *arguments: str) -> list[str]:
        """The command line of a run of this project."""
        return [str(ZERROW), "run", "-p", str(self.folder), *arguments]

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        """Start a run and return at once."""
        return subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )

    def run(self, *arguments: str, timeout: float = 300, env: dict | None = None) -> Result:
        """Run to the end with `--output json`."""
        done = subprocess.run(
            self.command("--output", "json", *arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
        report = json.loads(done.stdout) if done.stdout.strip() else {}
        return Result(done.returncode, done.stdout, done.stderr, report)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with one small source, `numbers` (a, b int64, s string; 1000 rows)."""
    # Workers of an engine that is root have uids of their own: they must be able to enter the folder.
    for folder in [tmp_path, *tmp_path.parents]:
        if folder == Path("/tmp") or folder == Path("/"):
            break
        folder.chmod(folder.stat().st_mode | 0o055)
    made = Project(tmp_path / "project")
    made.folder.mkdir()
    rows = 1000
    made.table(
        "numbers",
        pa.table(
            {
                "a": pa.array(range(rows), pa.int64()),
                "b": pa.array([i * 2 for i in range(rows)], pa.int64()),
                "s": pa.array([f"row {i}" for i in range(rows)]),
            }
        ),
    )
    made.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        sources:
          numbers: data/numbers.parquet
        """,
    )
    return made


def wait_until(condition, seconds: float = 20, what: str = "it") -> None:
    """Wait for something that must come; a bound against hanging, not a measurement."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")

"""Environments of other Pythons and other libraries than zerrow's own, made by uv and kept below .zerrow for the next
time.

`ZERROW_TEST_ENVIRONMENTS` names another folder for them. What can't be made here, for want of an interpreter or of the
index of packages, is skipped, and says so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("ZERROW_TEST_ENVIRONMENTS", ROOT / ".zerrow" / "test-environments"))

ENVIRONMENTS = {
    "3.10 pyarrow 15, pandas 1.5": ("3.10", ["pyarrow==15.0.0", "numpy==1.23.2", "pandas==1.5.3"]),
    "3.10 pyarrow 17": ("3.10", ["pyarrow==17.0.0"]),
    "3.11 pyarrow 16, pandas 2.0": ("3.11", ["pyarrow==16.1.0", "numpy<2", "pandas==2.0.3"]),
    "3.11 pyarrow 18 alone": ("3.11", ["pyarrow==18.1.0"]),
    "3.11 pyarrow 16, duckdb 0.10": ("3.11", ["pyarrow==16.1.0", "duckdb==0.10.3", "numpy<2"]),
    "3.11 pyarrow 23, duckdb 1.0": ("3.11", ["pyarrow==23.0.1", "duckdb==1.0.0", "pandas==2.2.2"]),
    "3.12 pyarrow 25, pandas 2.1": ("3.12", ["pyarrow==25.0.1", "numpy<2", "pandas==2.1.1"]),
    "3.12 pyarrow 20, pandas 2.2.0, duckdb 1.2": (
        "3.12",
        ["pyarrow==20.0.0", "numpy<2", "pandas==2.2.0", "duckdb==1.2.0"],
    ),
    "3.12 polars 1.15": ("3.12", ["polars==1.15.0", "pyarrow==22.0.0"]),
    "3.12 polars 1.37": ("3.12", ["polars==1.37.*", "pyarrow==26.0.1"]),
    "3.13 newest": ("3.13", ["pyarrow", "numpy", "pandas", "polars", "duckdb"]),
}
"""Python and packages by a name for people."""

FEW = (
    "3.10 pyarrow 15, pandas 1.5",
    "3.11 pyarrow 16, duckdb 0.10",
    "3.12 pyarrow 20, pandas 2.2.0, duckdb 1.2",
    "3.13 newest",
)
"""Those that are tried where `ZERROW_TEST_ENVIRONMENTS` names no folder: the oldest, the newest, and two between."""


def tried() -> list[str]:
    """The names of the environments that are tried: all where a folder for them is named, which then keeps them."""
    return list(ENVIRONMENTS if "ZERROW_TEST_ENVIRONMENTS" in os.environ else FEW)


def uv() -> str:
    """The program; the test is skipped without it."""
    found = shutil.which("uv") or str(ROOT / ".zerrow" / "uv" / "bin" / "uv")
    if not os.access(found, os.X_OK):
        pytest.skip("uv is not here")
    return found


def environment(name: str) -> Path:
    """The interpreter of an environment."""
    python, requirements = ENVIRONMENTS[name]
    return made(python, requirements)


def made(python: str, requirements: list[str]) -> Path:
    """The interpreter of an environment with these packages."""
    key = hashlib.sha256(repr((python, requirements)).encode()).hexdigest()[:16]
    folder = FOLDER / key
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run("venv", "--python", _interpreter(python), str(folder))
        _run("pip", "install", "--only-binary", ":all:", "--python", str(interpreter), *requirements)
        (folder / "complete").touch()
    return interpreter


def resolved(python: str, requirements: list[str], constraints: str | None, folder: Path) -> dict[str, str]:
    """What uv resolves requirements to: versions by name."""
    (folder / "in.txt").write_text("\n".join(requirements))
    (folder / "constraints.txt").write_text(constraints or "")
    plain = ("--no-header", "--no-annotate", "--only-binary", ":all:", "--python-version", python)
    text = _run("pip", "compile", *plain, "-c", str(folder / "constraints.txt"), str(folder / "in.txt"))
    return dict(line.split("==") for line in text.splitlines() if "==" in line)


def libraries(interpreter: Path) -> set[str]:
    """The modules of an environment's packages."""
    (packages,) = interpreter.parent.parent.glob("lib/python3.*/site-packages")
    return {path.name for path in packages.iterdir()}


def _interpreter(version: str) -> str:
    """One that is here already: a test fetches none."""
    finding = subprocess.run(
        [uv(), "python", "find", "--no-python-downloads", version], capture_output=True, text=True, check=False
    )
    if finding.returncode == 0:
        return finding.stdout.strip()
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        return str(path)
    pytest.skip(f"Python {version} is not here")


def _run(*arguments: str) -> str:
    done = subprocess.run([uv(), *arguments, "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    if "connect" in done.stderr or "network" in done.stderr or "dns" in done.stderr:
        pytest.skip(f"uv can't reach the index of packages: {done.stderr[-300:]}")
    pytest.fail(f"uv {' '.join(arguments)}: {done.stderr}")

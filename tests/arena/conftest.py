"""Builds the preload library and the C programs into a temporary folder, and runs things with the library preloaded."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ARENA = HERE.parents[1] / "Sources" / "Arena"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preload library, built from source."""
    out = tmp_path_factory.mktemp("arena") / "libzerrow_arena.so"
    subprocess.run([ARENA / "build", out], check=True)
    return out


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile a C program of this folder by name."""
    folder = tmp_path_factory.mktemp("programs")
    compiler = os.environ.get("CC") or shutil.which("cc") or "clang"

    def build(name: str) -> Path:
        out = folder / name
        if not out.exists():
            flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-D_GNU_SOURCE", f"-I{ARENA / 'include'}"]
            subprocess.run([compiler, *flags, HERE / f"{name}.c", "-o", out, "-pthread", "-ldl"], check=True)
        return out

    return build


@pytest.fixture
def preloaded(library: Path) -> Run:
    """Run a command with the library preloaded; fails when the command does, unless check=False."""

    def run(*command: str | Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(HERE), **variables}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        if check:
            assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def script(preloaded: Run) -> Run:
    """Run Python source with the library preloaded; `arena_client` can be imported."""

    def run(source: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        return preloaded(sys.executable, "-c", source, check=check, **variables)

    return run

"""The wheel that `pip wheel .` builds, installed into an environment that knows nothing of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command import HOME, IS_ROOT, NOBODY, open_to_others

UV = shutil.which("uv") or str(HOME / ".zerrow" / "uv" / "bin" / "uv")
BASE = shutil.which("python3", path="/usr/bin") or sys.executable

pytestmark = pytest.mark.skipif(shutil.which("swift") is None, reason="the engine is built by Swift")


def uv(*words: str, **options) -> subprocess.CompletedProcess:
    """Call uv: from its cache where that has all."""
    for offline in (["--offline"], []):
        done = subprocess.run([UV, *words, *offline], capture_output=True, text=True, **options)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution, by the same `.build` as the launcher's."""
    folder = tmp_path_factory.mktemp("dist")
    open_to_others(folder)
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    words = ["build", "--wheel", "--sdist", "--no-build-isolation", "--python", sys.executable, "-o", str(folder)]
    uv(*words, str(HOME), env=environment, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


class Installed:
    """An environment with the wheel alone, and an ordinary user who calls its command."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "venv" / "bin"
        self.home = folder / "home"
        self.projects = folder / "projects"
        for each in (self.home, self.projects):
            each.mkdir()
            if IS_ROOT:
                os.chown(each, NOBODY, NOBODY)
        self.words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if IS_ROOT else []

    def __call__(self, *words: str, path: str | None = None, code: int = 0) -> str:
        """What a program of the environment prints; nothing of this process's variables is there."""
        path = f"{self.bin}:/usr/bin:/bin" if path is None else path
        environment = {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8"}
        done = subprocess.run(
            [*self.words, str(self.bin / words[0]), *words[1:]],
            capture_output=True, text=True, env=environment, cwd=self.projects, timeout=300,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    open_to_others(folder)
    uv("venv", "--quiet", "--python", BASE, str(folder / "venv"))
    constraints = str(HOME / "python" / "requirements.txt")
    python = str(folder / "venv" / "bin" / "python")
    uv("pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-c", constraints, str(wheel))
    return Installed(folder)


def test_the_command_runs_projects_without_the_repository(installed: Installed):
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", installed("zerrow", "--version"))
    installed("zerrow", "init", "shop")
    report = json.loads(installed("zerrow", "run", "-p", "shop", "-O", "json"))
    assert report["status"] == "success"
    assert {model["name"] for model in report["models"]} == {"orders", "priced_orders", "revenue"}
    assert "10000" in installed("zerrow", "query", "-p", "shop", "select count(*) from orders")
    # The environment of models is the one that it is installed in, and the project's own are made by the uv beside it.
    doctor = installed("zerrow", "doctor", path="/usr/bin:/bin")
    assert f"{installed.bin.parent}/lib/" in doctor
    assert f"{installed.bin}/uv makes them in {installed.home}" in doctor
    assert "USAGE: bauplan run" in installed("bauplan", "run", "--help")
    assert "the benchmarks are in the repository" in installed("zerrow", "bench", "handoff", code=1)
    # What is installed was not changed, and nothing else was written to but the user's own folders.
    assert {path.name for path in installed.projects.iterdir()} == {"shop"}


def test_the_package_runs_projects_and_reads_their_tables(installed: Installed):
    installed("zerrow", "init", "lake")
    text = """
        import bauplan, json, sys, zerrow
        run = zerrow.run("lake", select=["priced_orders", "revenue"])
        maps = open("/proc/self/maps").read()
        rows = [zerrow.query("select count(*) as n from orders", "lake")["n"][0].as_py()]
        print(json.dumps([sorted(run.tables), run.tables["revenue"].num_rows, "memfd:zerrow-" in maps, rows,
                          zerrow.__file__.startswith(sys.prefix)]))
    """
    code = "\n".join(line[8:] for line in text.splitlines())
    # Not found by its name on the PATH, but as a part of the package.
    found = json.loads(installed("python", "-c", code, path="/usr/bin:/bin"))
    assert found == [["priced_orders", "revenue"], 100, True, [10000], True]


def test_what_a_wheel_says_of_the_machines_that_it_is_for(wheel: Path):
    machine = os.uname().machine
    found = re.fullmatch(rf"zerrow-[\d.]+-py3-none-(manylinux_2_(\d+)|linux)_{machine}\.whl", wheel.name)
    assert found
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        engine = content.getinfo("zerrow/_engine/bin/zerrow")
        assert engine.external_attr >> 16 & 0o111 == 0o111
        needed = content.read("zerrow/_engine/bin/zerrow") + content.read("zerrow/_engine/bin/libzerrow_worker.so")
    # No Swift is there: its runtime is in the programs.
    assert b"libswiftCore.so" not in needed
    if found[2]:
        assert max(map(int, re.findall(rb"GLIBC_2\.(\d+)", needed))) <= int(found[2])
    assert not [name for name in names if name.endswith(".pyc")]
    for package in ("zerrow", "bauplan", "bpln_sdk"):
        for path in (HOME / "python" / package).rglob("*.py*"):
            if "__pycache__" not in path.parts:
                inside = str(path.relative_to(HOME / "python"))
                assert inside in names and f"zerrow/_engine/python/{inside}" in names


def test_the_source_distribution_has_all_that_is_built(built: Path):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "-C", str(HOME), "ls-files", "--", "Sources", "Tests", "python", "kernel/uapi", "Package.swift"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    assert [name for name in tracked if name and name not in names] == []


def test_building_without_swift_says_what_is_missing(tmp_path: Path):
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "PATH": f"{Path(sys.executable).parent}:/bin"}
    assert shutil.which("swift", path=environment["PATH"]) is None
    words = [
        UV,
        "build",
        "--wheel",
        "--no-build-isolation",
        "--offline",
        "--python",
        sys.executable,
        "-o",
        str(tmp_path),
    ]
    done = subprocess.run([*words, str(HOME)], capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "building zerrow needs Swift 6.3, and there is no 'swift' on the PATH" in done.stdout + done.stderr


def test_uv_installs_it_as_a_tool(wheel: Path, tmp_path: Path):
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    constraints = str(HOME / "python" / "requirements.txt")
    uv("tool", "install", "--quiet", "--python", BASE, "-c", constraints, str(wheel), env={**os.environ, **places})
    # A user's own variables name no engine; this project's tests do.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZERROW_", "PYTHON"))}
    project = tmp_path / "shop"
    zerrow = str(tmp_path / "bin" / "zerrow")
    subprocess.run([zerrow, "init", str(project)], check=True, capture_output=True, env=environment)
    done = subprocess.run(
        [zerrow, "run", "-p", str(project), "--no-serve", "-O", "json"], capture_output=True, text=True,
        env={**environment, "ZERROW_HISTORY": "", "ZERROW_JOBS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # uv compiles nothing: the command has compiled what workers load.
    (copy,) = (tmp_path / "tools").glob("zerrow/lib/python*/site-packages/zerrow/_engine/python/zerrow")
    assert (copy / "__pycache__").exists()

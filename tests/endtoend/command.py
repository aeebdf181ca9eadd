"""Driving the command: projects, the users who call it, and what a call leaves behind.

Tests use the launcher. Where nothing can be written (the kernel tests' virtual machine), ZERROW_COMMAND names the built
command, which then finds its parts through ZERROW_HOME and ZERROW_PYTHON.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HOME = Path(__file__).resolve().parents[2]
ZERROW = Path(os.environ.get("ZERROW_COMMAND", HOME / "zerrow"))
NOBODY = 65534
IS_ROOT = os.geteuid() == 0


@dataclass
class Caller:
    """Who calls the command: the words before `run`, and the environment."""

    words: list[str] = field(default_factory=lambda: [str(ZERROW)])
    environment: dict[str, str] = field(default_factory=dict)
    uid: int = os.geteuid()


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
    caller: Caller = field(default_factory=Caller)

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
        return [*self.caller.words, "run", "-p", str(self.folder), *arguments]

    def environment(self, more: dict | None = None) -> dict[str, str]:
        """The environment of a call of the command; nothing of somebody else's is used: no server, no history."""
        alone = {
            "ZERROW_SOCKET": "/nonexistent/socket",
            "ZERROW_HISTORY": "",
            "ZERROW_JOBS": "",
            "ZERROW_ENVIRONMENTS": environments(self.caller.uid),
        }
        return {**os.environ, **alone, **self.caller.environment, **(more or {})}

    def call(self, *words: str) -> subprocess.CompletedProcess:
        """One call of the command in the project's folder."""
        return subprocess.run(
            [*self.caller.words, *words],
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment(),
            cwd=self.folder,
        )

    def start(self, *arguments: str, env: dict | None = None, **options) -> subprocess.Popen:
        """Start a run and return at once."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(env),
            **options,
        )

    def run(self, *arguments: str, timeout: float = 300, env: dict | None = None) -> Result:
        """Run to the end with `--output json`."""
        done = subprocess.run(
            self.command("--output", "json", *arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(env),
        )
        report = json.loads(done.stdout) if done.stdout.strip() else {}
        return Result(done.returncode, done.stdout, done.stderr, report)


@functools.cache
def environments(uid: int) -> str:
    """The folder of a user's environments that all tests share, which is removed when they are over."""
    folder = tempfile.mkdtemp(prefix="zerrow-environments-")
    os.chown(folder, uid, -1)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def open_to_others(folder: Path) -> None:
    """Let every user enter a folder of pytest's, which makes its own private."""
    for parent in [folder, *folder.parents]:
        if parent in (Path("/tmp"), Path("/")):
            break
        parent.chmod(parent.stat().st_mode | 0o055)


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A caller without privilege, with a copy of what the launcher built, in a folder that everybody may read."""
    if not IS_ROOT:
        return Caller()
    subprocess.run([ZERROW, "--version"], check=True, capture_output=True)
    home = tmp_path_factory.mktemp("installation")
    open_to_others(home)
    release = home / ".build" / "release"
    release.mkdir(parents=True)
    for name in ("zerrow", "libzerrow_worker.so", "libzerrow_arena.so"):
        shutil.copy(HOME / ".build" / "release" / name, release)
    shutil.copytree(HOME / "python", home / "python", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "home").mkdir(mode=0o755)
    os.chown(home / "home", NOBODY, NOBODY)
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    python = environment_for_others(home)
    environment = {"ZERROW_HOME": str(home), "ZERROW_PYTHON": str(python), "HOME": str(home / "home")}
    return Caller([*words, str(release / "zerrow")], environment, NOBODY)


def environment_for_others(home: Path) -> Path:
    """The interpreter of the launcher's environment if everybody may run it, else that of a copy."""
    python = Path(os.environ.get("ZERROW_PYTHON", HOME / ".zerrow" / "env" / "bin" / "python"))
    environment = python.parent.parent
    real = Path(os.path.realpath(python))
    places = [real, *real.parents, *environment.resolve().parents]
    if all(place.stat().st_mode & 0o005 == 0o005 for place in places):
        return python
    base = Path("/usr/bin") / real.name
    if not base.exists():
        shutil.copytree(real.parent.parent, home / "python-base", symlinks=True, copy_function=link_or_copy)
        base = home / "python-base" / "bin" / real.name
    shutil.copytree(environment, home / "env", symlinks=True, copy_function=link_or_copy)
    copy = home / "env" / "bin" / "python"
    copy.unlink()
    copy.symlink_to(base)
    settings = home / "env" / "pyvenv.cfg"
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("home")]
    settings.unlink()
    settings.write_text("\n".join([f"home = {base.parent}", *lines]) + "\n")
    return copy


def link_or_copy(source: str, target: str) -> None:
    """A second name for a file where that is possible: it takes no space."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with one small source, `numbers` (a, b int64, s string; 1000 rows)."""
    return make_project(tmp_path)


@pytest.fixture(params=["root", "ordinary"] if IS_ROOT else ["ordinary"])
def any_project(request: pytest.FixtureRequest, tmp_path: Path, ordinary: Caller) -> Project:
    """The same, once for each kind of user: root's engine gives workers users of their own, any other's seals."""
    made = make_project(tmp_path)
    if request.param == "ordinary":
        made.caller = ordinary
    return made


def make_project(folder: Path) -> Project:
    """A project folder with the source `numbers`, readable for everybody."""
    open_to_others(folder)
    made = Project(folder / "project")
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


class Server:
    """`zerrow serve`, run by the same user as a project's runs; what it says is in `log`."""

    def __init__(self, caller: Caller, folder: Path, *arguments: str) -> None:
        self.socket = folder / "engine.sock"
        self.environment = {"ZERROW_SOCKET": str(self.socket)}
        self.log = folder / "serve.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*caller.words, "serve", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "ZERROW_HISTORY": "", "ZERROW_JOBS": "", **caller.environment, **self.environment},
            )
        # The socket's name is there a moment before anybody listens.
        wait_until(lambda: self.says("serving at"), seconds=120, what="an engine that listens")

    def says(self, text: str) -> bool:
        """Whether it has said so."""
        return text in self.log.read_text()

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory):
    """Starts servers; those that a test leaves are killed. Each gets a folder of its own, which is its user's alone."""
    servers: list[Server] = []

    def start(caller: Caller, *arguments: str, folder: Path | None = None) -> Server:
        if folder is None:
            folder = tmp_path_factory.mktemp("serve")
            open_to_others(folder.parent)
            folder.chmod(0o700)
            os.chown(folder, caller.uid, -1)
        server = Server(caller, folder, *arguments)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


def accept_call(listening: socket.socket) -> tuple[socket.socket, bytes, list[int]]:
    """The connection of a client that calls for a run, and its call; it gets nothing else that it asks for."""
    while True:
        peer, _ = listening.accept()
        message, descriptors, _, _ = socket.recv_fds(peer, 1 << 18, 10)
        if message.startswith(b'{"') and b'"op":"run"' in message:
            return peer, message, descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        peer.close()


def wait_for_line(process: subprocess.Popen, text: str) -> None:
    """Read what a run says up to a line that has the text."""
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the run ended before {text!r}")


def wait_until(condition, seconds: float = 20, what: str = "it", pause: float = 0.02) -> None:
    """Wait for something that must come; a bound against hanging, not a measurement."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(pause)
    raise AssertionError(f"{what} did not happen within {seconds} s")

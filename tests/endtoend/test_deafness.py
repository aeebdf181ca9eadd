"""The engine's thread never waits: while something of one run is slow, or hostile, other runs are served as ever.

The slow thing is held by a test's hand (`ZERROW_HOLD`, Sources/System/HoldPoint.swift) for as long as other runs are
timed: an engine that waited for it would not answer at all. Beside the timed runs an echo process answers the same
questions as the engine: what the machine takes of everybody's time is in its figures too. No time here is absolute.
"""

from __future__ import annotations

import array
import os
import signal
import socket
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from command import IS_ROOT, Project, Server, make_project, wait_until
from processes import Processes, stop

TIMES = 3
"""So many runs are timed while something is slow, and as many while nothing is."""

FACTOR = 2
"""A run may take so many times its usual time."""

BUSY_FACTOR = 4
"""The same beside a model and its client that keep processors busy: that is shared, not waited for."""

SMALL = """
    import zerrow

    @zerrow.model()
    def small(numbers=zerrow.Model("numbers")):
        return numbers.select(["a"])
"""

WORK = """
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def large(numbers=zerrow.Model("numbers")):
        return pa.table({"x": pa.array(range(4 << 20), pa.int64())})

    @zerrow.model()
    def last(large=zerrow.Model("large")):
        return pa.table({"rows": [len(large)]})
"""

LOUD = """
    import os
    import zerrow

    @zerrow.model()
    def loud(numbers=zerrow.Model("numbers")):
        while True:
            os.write(1, b"\\n" * 65536)
"""

PATIENT = """
    import time
    import zerrow

    @zerrow.model()
    def patient(numbers=zerrow.Model("numbers")):
        print("patient is running", flush=True)
        time.sleep(600)
        return numbers
"""


@dataclass
class Slow:
    """Something of a run that can be held."""

    point: str
    """The point at which it is held."""
    serve: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    needs: bool = True
    """Whether there is such a thing here."""


def has_memory_groups() -> bool:
    """Whether an engine has control groups of its own here."""
    text = Path("/proc/self/cgroup").read_text()
    return IS_ROOT and ("memory" in text or Path("/sys/fs/cgroup/cgroup.controllers").exists())


SLOW = {
    "a disk that tables are exported to": Slow("export", run=["--format", "arrow", "--export", "{folder}/exports"]),
    "a disk that results are saved to": Slow("save", serve=["--cache-dir", "{folder}/cache"]),
    "a disk that saved results are read from": Slow("saved", serve=["--cache-dir", "{folder}/cache"]),
    "a disk that tables are spilled to": Slow(
        "spill", serve=["--memory", "300MiB", "--evict", "spill", "--spill-dir", "{folder}/spill"]
    ),
    "the decoding of a result": Slow("descriptor"),
    "the trimming of a result": Slow("trim"),
    "the zeroing of memory for later": Slow("clean", needs=IS_ROOT),
    "the freeing of memory": Slow("free"),
    "the disk that the history is on": Slow("history"),
    "the start of a zygote": Slow("spawn"),
    "a control group": Slow("cgroup", needs=has_memory_groups()),
}
"""Each holds one thread of the engine. Where a result is saved or kept, the run is one that uses caches."""

SPILLED = """
    import numpy as np
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers")):
        return pa.table({"x": np.arange(14 << 20)})

    @zerrow.model()
    def second(numbers=zerrow.Model("numbers"), first=zerrow.Model("first")):
        return pa.table({"y": np.arange(14 << 20)})

    @zerrow.model()
    def third(first=zerrow.Model("first"), second=zerrow.Model("second")):
        return pa.table({"z": [len(first) + len(second)]})
"""


class Pinger:
    """Asks somebody something that is answered at once, over and over; how long the answers take."""

    def __init__(self, path: Path) -> None:
        self._peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._peer.settimeout(120)
        self._peer.connect(str(path))
        self._file = os.memfd_create("call")
        os.write(self._file, b"{}")
        self._question = (
            b'{"op":"run","build":"none"}',
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self._file]))],
        )
        self._ends = False
        self.seconds: list[float] = []
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._ends:
            at = time.perf_counter()
            try:
                self._peer.sendmsg([self._question[0]], self._question[1])
                if not self._peer.recv(1 << 17):
                    return
            except OSError:
                return
            self.seconds.append(time.perf_counter() - at)
            time.sleep(0.003)

    def take(self) -> list[float]:
        """The times since the last call."""
        taken, self.seconds = self.seconds, []
        return taken or [0.0]

    def end(self) -> None:
        """Ask no more."""
        self._ends = True
        self._thread.join(5)
        self._peer.close()
        os.close(self._file)


@pytest.fixture
def echo(tmp_path: Path):
    """The address of a process that answers whatever it is asked."""
    path = tmp_path / "echo.sock"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(path))
    listening.listen()
    child = os.fork()
    if child == 0:
        while True:
            peer, _ = listening.accept()
            while data := peer.recv(1 << 17):
                peer.send(data)
            peer.close()
    yield path
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    listening.close()


class Stopwatch:
    """Times small runs of a server, and the answers of the server and of an echo process beside them."""

    def __init__(self, project: Project, server: Server, echo: Path) -> None:
        self._project = project
        self._server = server
        self._engine = Pinger(server.socket)
        self._echo = Pinger(echo)
        self.usual: list[float] = []
        self.beside: list[float] = []
        self._limit = 120.0
        # Its zygote is warm from now on.
        self._run()
        self.usual = [self._run() for _ in range(TIMES)]
        self._limit = max(30.0, 20 * max(self.usual))
        self.pauses = {"usual": self._take(), "beside": (0.0, 0.0)}

    def _take(self) -> tuple[float, float]:
        return max(self._engine.take()), max(self._echo.take())

    def _run(self) -> float:
        at = time.perf_counter()
        # Whoever gets no answer in many times the usual time will get none.
        result = self._project.run("--no-cache", env=self._server.environment, timeout=self._limit)
        assert result.code == 0, result.err
        return time.perf_counter() - at

    def time(self) -> None:
        """Time runs beside whatever is slow now."""
        self._take()
        self.beside = [self._run() for _ in range(TIMES)]
        self.pauses["beside"] = self._take()

    def check(self, factor: float = FACTOR) -> None:
        """Compare: what the machine takes of everybody's time is what it takes of the echo process's."""
        (engine_before, echo_before), (engine, echo) = self.pauses["usual"], self.pauses["beside"]
        text = f"longest pauses: engine {engine_before * 1e3:.1f} then {engine * 1e3:.1f} ms, "
        text += f"echo {echo_before * 1e3:.1f} then {echo * 1e3:.1f} ms; runs: {self.usual} then {self.beside}"
        print(text)
        assert statistics.median(self.beside) <= factor * statistics.median(self.usual) + 2 * echo, text

    def end(self) -> None:
        """Ask no more."""
        self._engine.end()
        self._echo.end()


@pytest.fixture
def stopwatch(tmp_path_factory: pytest.TempPathFactory, serve, echo: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts a server with a folder of hold points, and a stopwatch on it."""
    watches: list[Stopwatch] = []

    def start(*arguments: str, history: Path | str = "") -> tuple[Server, Stopwatch, Path]:
        folder = tmp_path_factory.mktemp("holds")
        monkeypatch.setenv("ZERROW_HOLD", str(folder))
        other = make_project(tmp_path_factory.mktemp("small"))
        other.write("models.py", SMALL)
        other.caller = replace(other.caller, environment={"ZERROW_HISTORY": str(history)})
        server = serve(other.caller, "--jobs", "4", *arguments)
        watch = Stopwatch(other, server, echo)
        watches.append(watch)
        return server, watch, folder

    yield start
    for watch in watches:
        watch.end()


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_thing_of_one_run_keeps_no_other_waiting(
    project: Project, stopwatch, tmp_path: Path, monkeypatch, name: str
):
    slow = SLOW[name]
    if not slow.needs:
        pytest.skip("there is no such thing here")
    project.write("models.py", SPILLED if slow.point == "spill" else WORK)
    for folder in ("exports", "spill", "cache"):
        (tmp_path / folder).mkdir(mode=0o700)
    words = [word.format(folder=tmp_path) for word in slow.serve]
    if slow.point == "saved":
        assert project.run(*words, "--no-serve").code == 0
    server, watch, holds = stopwatch(*words, history=tmp_path / "history.sqlite" if slow.point == "history" else "")
    (holds / slow.point).touch()
    run = project.start(
        *(word.format(folder=tmp_path) for word in slow.run),
        *([] if slow.serve else ["--no-cache"]),
        env=server.environment,
        start_new_session=True,
    )
    held = holds / f"{slow.point}.held"
    wait_until(held.exists, seconds=120, what=f"work that is held at {slow.point}")
    watch.time()
    assert held.exists()
    held.unlink()
    _, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    watch.check()
    assert server.process.poll() is None


def start_printing(project: Project, server) -> subprocess.Popen:
    """The command of a run whose worker is there, and prints without end."""
    command = subprocess.Popen(
        project.command(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=project.environment(server.environment),
    )
    wait_until(lambda: len(Processes(server.process.pid).workers) >= 1, seconds=120, what="a worker")
    return command


def test_a_flood_of_empty_lines_keeps_no_other_run_waiting(project: Project, stopwatch):
    project.write("models.py", LOUD)
    server, watch, _ = stopwatch()
    loud = start_printing(project, server)
    watch.time()
    loud.send_signal(signal.SIGINT)
    loud.wait(120)
    watch.check(BUSY_FACTOR)


def test_a_client_that_is_stopped_keeps_no_other_run_waiting(project: Project, stopwatch):
    project.write("models.py", LOUD)
    server, watch, _ = stopwatch()
    loud = start_printing(project, server)
    stop(loud.pid)
    watch.time()
    loud.kill()
    loud.wait()
    watch.check(BUSY_FACTOR)
    wait_until(lambda: not Processes(server.process.pid).workers, what="the end of its worker", seconds=60)


@pytest.mark.parametrize("kind", ["worker", "zygote"])
def test_a_process_that_is_stopped_keeps_no_other_run_waiting(project: Project, stopwatch, kind: str):
    project.write("models.py", PATIENT)
    server, watch, _ = stopwatch()
    engine = Processes(server.process.pid)
    known = set(engine.zygotes)
    patient = project.start(env=server.environment)
    wait_until(lambda: len(engine.workers) >= 1, seconds=120, what="a worker")
    time.sleep(0.5)
    target = engine.workers[0] if kind == "worker" else (set(engine.zygotes) - known).pop()
    stop(target)
    watch.time()
    # Twice: the run ends whether its zygote answers or not, and nobody waits for that either.
    patient.send_signal(signal.SIGINT)
    time.sleep(0.2)
    patient.send_signal(signal.SIGINT)
    watch.time()
    patient.communicate(timeout=120)
    watch.check()
    wait_until(lambda: not engine.workers, what="the end of its worker", seconds=60)


def test_ctrl_c_stops_an_export_to_a_disk_that_does_not_answer(project: Project, stopwatch, tmp_path: Path):
    project.write("models.py", WORK)
    (tmp_path / "exports").mkdir(mode=0o755)
    server, _, holds = stopwatch()
    (holds / "export").touch()
    run = project.start(
        "--no-cache", "--format", "arrow", "--export", str(tmp_path / "exports"), env=server.environment
    )
    held = holds / "export.held"
    wait_until(held.exists, seconds=120, what="a held export")
    run.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert run.poll() is None, "it waits for the disk"
    held.unlink()
    _, err = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "last.arrows" in err and "cancelled" in err
    assert list((tmp_path / "exports").iterdir()) == []

"""The systems under test as processes that do a round when told to: zerrow alone, zerrow's server with clients, and the
baseline. All are warm before the first round, and all are timed from outside in the same way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import HOME, ZERROW, LineProcess

from .experiment import Bench, Case, Measurement, measure
from .janitor import remove_process


class System:
    """One or more processes that begin a round together. Ends with the benchmark, however that ends."""

    def __init__(self, bench: Bench, commands: list[list], environment: dict[str, str] | None = None) -> None:
        self._bench = bench
        self._log = bench.workspace.log()
        self._processes: list[tuple[LineProcess, str]] = []
        for command in commands:
            process = LineProcess(command, environment, errors=self._log)
            self._processes.append((process, bench.janitor.expect_process(process.process.pid)))

    def round(self) -> Measurement:
        """One round: until the last one has answered. Raises RuntimeError with what a model said when one failed."""
        began = time.monotonic()
        try:
            for process, _ in self._processes:
                process.begin()
            answers = [process.end() for process, _ in self._processes]
        except (OSError, RuntimeError, ValueError) as error:
            raise RuntimeError(f"{error}: {self._last_words()}") from None
        taken = (time.monotonic() - began) * 1000
        for answer in answers:
            if answer.get("status", "success") != "success":
                raise RuntimeError(f"the run failed: {(answer.get('error') or {}).get('message')}")
        self.answers = answers
        return taken, figures_of(answers)

    def close(self) -> None:
        """Ends the processes."""
        for process, value in self._processes:
            with contextlib.suppress(OSError):
                process.process.stdin.close()
            try:
                process.process.wait(10)
            except subprocess.TimeoutExpired:
                remove_process(value)
                process.process.wait()
            process.process.stdout.close()
            self._bench.janitor.remove("process", value)
        self._log.close()

    def _last_words(self) -> str:
        lines = [line for line in Path(self._log.name).read_text().splitlines() if line.strip()]
        return " | ".join(lines[-3:]) or "it said nothing"


def figures_of(answers: list[dict]) -> dict[str, float]:
    """What zerrow's reports, or the baseline's answer, tell beside the time."""
    figures: dict[str, float] = {}
    for answer in answers:
        if "cpu_ms" in answer:
            figures["cpu_ms"] = figures.get("cpu_ms", 0) + answer["cpu_ms"]
        for model in answer["models"] if isinstance(answer.get("models"), list) else ():
            timing, output = model.get("timing") or {}, model.get("output") or {}
            for name, value in (("cpu_ms", timing.get("cpu_ms")), ("copied_bytes", output.get("copied_bytes"))):
                figures[name] = figures.get(name, 0) + (value or 0)
    return figures


def zerrow_alone(bench: Bench, project: Path, *options: str) -> System:
    """An engine of its own, warm, that runs the project once per round. No result of an earlier round is used again."""
    words = [ZERROW, "run", "-p", project, "--no-serve", "--again-on-line", "--no-cache", "--output", "json", *options]
    return System(bench, [words])


def baseline(bench: Bench, project: Path, *options: object) -> System:
    """The baseline's runner (baseline.py), with a folder for its tables that goes when the benchmark goes."""
    folder = Path("/dev/shm") / f"zerrow-bench-{os.getpid()}"
    bench.janitor.expect("folder", folder)
    folder.mkdir(exist_ok=True)
    words = [sys.executable, HOME / "bench/paper/baseline.py", project, "--folder", folder, *options]
    return System(bench, [words])


@contextlib.contextmanager
def closing(systems: dict[str, System]) -> Iterator[dict[str, System]]:
    """Ends all systems at the end of the block."""
    try:
        yield systems
    finally:
        for system in systems.values():
            system.close()


def take_turns(bench: Bench, situation: str, systems: dict[str, System], before: Callable[[], None]) -> list[Case]:
    """The rounds of these systems in one situation; they are ended then."""
    with closing(systems):
        return measure(bench, situation, {name: system.round for name, system in systems.items()}, before)


class Server:
    """A `zerrow serve`: the environment with which clients find it."""

    def __init__(self, process: subprocess.Popen, environment: dict[str, str]) -> None:
        self.environment = environment
        self._process = process

    def forget(self) -> None:
        """Empty its caches."""
        self._process.send_signal(signal.SIGUSR1)


@contextlib.contextmanager
def served(bench: Bench, *options: str) -> Iterator[Server]:
    """A `zerrow serve` that ends with the block."""
    folder = bench.workspace.private_folder("serve")
    environment = {"ZERROW_SOCKET": str(folder / "engine.sock")}
    with bench.workspace.log() as log:
        process = subprocess.Popen(
            [ZERROW, "serve", "--jobs", str(bench.cpus), *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
    value = bench.janitor.expect_process(process.pid)
    try:
        end = time.monotonic() + 60
        while not (folder / "engine.sock").exists():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"zerrow serve did not start: {Path(log.name).read_text().strip()}")
            time.sleep(0.02)
        yield Server(process, environment)
    finally:
        # As Ctrl-C does: what it runs is cancelled.
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            remove_process(value)
            process.wait()
        bench.janitor.remove("process", value)


def clients(bench: Bench, project: Path, server: Server, dags: list[dict[str, str]], *options: str) -> System:
    """One client of the server per DAG, its plan read before the clock starts. `dags`: the parameters of each."""
    commands = []
    for parameters in dags:
        given = [word for name, value in parameters.items() for word in ("--param", f"{name}={value}")]
        commands.append(
            [ZERROW, "run", "-p", project, "--again-on-line", "--no-cache", "--output", "json", *options, *given]
        )
    return System(bench, commands, server.environment)

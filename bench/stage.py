"""Where a benchmark's systems live: accounts, a folder, and zerrow's servers. All ends with the benchmark."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from accounting import Account
from measure import ZERROW, LineProcess
from paper.data import Workspace
from paper.janitor import Janitor


class Stage:
    """The systems of one call of a benchmark."""

    def __init__(self, janitor: Janitor) -> None:
        self.janitor = janitor
        self.workspace = Workspace(janitor)
        self.cpus = len(os.sched_getaffinity(0))
        self.source = "none"
        self._ending = contextlib.ExitStack()

    def account(self, name: str) -> Account:
        """A new account; its processes end with the stage, or with `closing`."""
        account = Account(self.janitor, f"{name}-{time.monotonic_ns()}")
        self.source = account.source
        self._ending.callback(account.close)
        return account

    @contextlib.contextmanager
    def scene(self) -> Iterator[None]:
        """All that is made within ends with the block."""
        outer, self._ending = self._ending, contextlib.ExitStack()
        try:
            with self._ending:
                yield
        finally:
            self._ending = outer

    def server(self, name: str, *options: str) -> Server:
        """A warm engine in an account of its own."""
        account = self.account(name)
        server = Server(self, account, options)
        self._ending.callback(server.close)
        return server


class Server:
    """`zerrow serve` with its clients."""

    def __init__(self, stage: Stage, account: Account, options: tuple[str, ...]) -> None:
        self.account = account
        self._stage = stage
        folder = stage.workspace.private_folder("serve")
        self.environment = {**os.environ, "ZERROW_SOCKET": str(folder / "engine.sock")}
        self._log = stage.workspace.log()
        words = account.command([ZERROW, "serve", "--jobs", stage.cpus, *options])
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log, env=self.environment,
            start_new_session=True,
        )  # fmt: skip
        self._value = account.watch(self._process.pid)
        end = time.monotonic() + 60
        while not (folder / "engine.sock").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"zerrow serve did not start: {Path(self._log.name).read_text().strip()}")
            time.sleep(0.02)

    def client(self, project: Path, *options: str) -> Client:
        """A run of a project for each round, planned once, before the first."""
        words = [ZERROW, "run", "-p", project, "--again-on-line", "--output", "json", *options]
        return Client(self.account, self.account.start(words, self.environment, self._log, aside=True), self._log.name)

    def run(self, project: Path, *options: str, output: str = "json") -> str:
        """One run as a user calls it, planning included; its standard output."""
        words = [ZERROW, "run", "-p", project, "--output", output, *options]
        return run_once(self.account, words, self.environment)

    def close(self) -> None:
        """Ends it as Ctrl-C does."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._stage.janitor.remove("process", self._value)
        self._process.wait()
        self._log.close()


class Client:
    """Runs of one project in a server."""

    def __init__(self, account: Account, process: LineProcess, log: str) -> None:
        self._account = account
        self._process = process
        self._log = log
        self.report: dict = {}

    def round(self) -> dict[str, float]:
        """One run, from the line to the answer. Raises RuntimeError when it failed."""
        try:
            figures, self.report = self._account.measure(self._process.round)
        except (OSError, RuntimeError, ValueError) as error:
            said = [line for line in Path(self._log).read_text().splitlines() if line.strip()]
            raise RuntimeError(f"{error}: {' | '.join(said[-3:])}") from None
        if self.report.get("status") != "success":
            raise RuntimeError(f"the run failed: {(self.report.get('error') or {}).get('message')}")
        return figures

    def close(self) -> None:
        """Ends the client; the server goes on."""
        self._account.end(self._process)


def run_once(account: Account, words: list, environment: dict[str, str]) -> str:
    """Calls a command and gives its standard output. Raises RuntimeError with what it said when it fails."""
    done = subprocess.run(account.command(words), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Makes the stage, and clears it away."""
    # SIGTERM and SIGHUP leave as Ctrl-C does: through the blocks that clean up.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    with Janitor() as janitor:
        made = Stage(janitor)
        try:
            with made.scene():
                yield made
        finally:
            janitor.remove("folder", made.workspace.folder)

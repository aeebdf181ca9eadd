"""What the benchmarks share: medians, the machine's memory, and calls of the command."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

HOME = Path(os.environ.get("ZERROW_HOME", Path(__file__).resolve().parents[1]))
# Tests and installations that can't be written to name a built command, as the end-to-end tests do.
ZERROW = Path(os.environ.get("ZERROW_COMMAND", HOME / "zerrow"))


def log(text: str) -> None:
    """Progress goes to stderr; stdout is the result."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def result_on_stdout():
    """What is printed within is the result: it arrives whole, or the process ends as one whose output failed."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Its reader has what it wanted: the end is the one of any program then, and says nothing.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        # The interpreter would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(f"error: standard output did not take all of the result: {error.strerror}")


def used_bytes() -> int:
    """Memory that is not available to others, shared memory included."""
    values = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, rest = line.split(":")
        values[name] = int(rest.split()[0]) * 1024
    return values["MemTotal"] - values["MemFree"] - values["Buffers"] - values["Cached"] + values["Shmem"]


class PeakMemory:
    """Samples the whole machine's memory every 5 ms; `bytes_max` is the most it rose by since the block was entered."""

    def __enter__(self) -> PeakMemory:
        self.base = used_bytes()
        self.bytes_max = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._end.wait(0.005):
            self.bytes_max = max(self.bytes_max, used_bytes() - self.base)

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()


class LineProcess:
    """A process that does one round for each line on its standard input, and answers each with a line of JSON."""

    def __init__(self, command: list, environment: dict[str, str] | None = None, errors: IO | None = None) -> None:
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip

    def begin(self, line: str = "") -> None:
        """Starts a round; what the line says is between the benchmark and the process."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> dict:
        """Waits for the end of the round; what it answered. Raises RuntimeError when the process ended instead."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended with code {self.process.wait()}")
        return json.loads(line)

    def round(self, line: str = "") -> dict:
        """One round."""
        self.begin(line)
        return self.end()

    def close(self) -> None:
        """Ends the process after its last round."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def medians(rounds: list[dict]) -> dict:
    """The median of each figure."""
    return {key: round(statistics.median(one[key] for one in rounds), 3) for key in rounds[0]}


def zerrow(*arguments: str) -> tuple[dict, str]:
    """Call `zerrow run` with an engine of its own and `--output json`: the report, and what was printed to stderr."""
    command = [str(ZERROW), "run", "--no-serve", "--output", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout), done.stderr


def others_python() -> Path | None:
    """An interpreter that has Ray and Dagster, made on first use below .zerrow/; None where they can't be had."""
    folder = HOME / ".zerrow" / "bench-env"
    python, stamp = folder / "bin" / "python", folder / "stamp"
    requirements = HOME / "bench/requirements.txt"
    if not stamp.exists() or stamp.stat().st_mtime < requirements.stat().st_mtime:
        log("installing Ray and Dagster for the comparison into .zerrow/bench-env")
        uv = next((path for path in (HOME / ".zerrow/uv/bin/uv",) if path.exists()), "uv")
        base = HOME / ".zerrow/env/bin/python"
        try:
            subprocess.run([uv, "venv", "-q", "--allow-existing", "--python", base, folder], check=True)
            subprocess.run([uv, "pip", "install", "-q", "--python", python, "-r", requirements], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            log(f"Ray and Dagster can't be installed ({error}): their cases are left out")
            return None
        stamp.touch()
    return python

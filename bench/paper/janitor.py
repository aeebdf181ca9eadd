"""What a benchmark makes outside its own memory, and that it goes again, also when the benchmark is killed.

A janitor is a small process that outlives the benchmark. It learns of each thing before the thing is made, over a pipe
that nobody else holds, and removes in reverse order what is left when the pipe closes. Run as a script it is that
process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

# How long something may keep what is to be removed from being so: processes take a while to die, and a swap file to
# be read back.
PATIENCE_SECONDS = 120


def started_at(pid: int) -> str:
    """When a process started, in clock ticks; empty when it is gone or a zombie. Tells it from a later one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def remove_process(value: str) -> None:
    """Ends a process and the session that it leads; `value` is `PID STARTED_AT`."""
    pid, started = value.split()
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, PATIENCE_SECONDS)):
        end = time.monotonic() + seconds
        if started_at(int(pid)) != started:
            return
        with contextlib.suppress(OSError):
            os.killpg(int(pid), number)
        while started_at(int(pid)) == started and time.monotonic() < end:
            time.sleep(0.02)


def remove_folder(value: str) -> None:
    """Removes a folder with all that is in it."""
    shutil.rmtree(value, ignore_errors=True)


def remove_group(value: str) -> None:
    """Kills what is in a control group, and removes it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while os.path.isdir(value) and time.monotonic() < end:
        with contextlib.suppress(OSError):
            for pid in Path(value, "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        try:
            os.rmdir(value)
        except OSError:
            time.sleep(0.02)


def remove_swap(value: str) -> None:
    """Stops swapping to a file, and removes it."""
    subprocess.run(["swapoff", value], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=with_system_path())
    with contextlib.suppress(OSError):
        os.unlink(value)


def with_system_path() -> dict[str, str]:
    """The environment, with the folders of the system's own programs on the path."""
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


REMOVERS = {"process": remove_process, "folder": remove_folder, "group": remove_group, "swap": remove_swap}


class Janitor:
    """Holds the list of what has to go; leaving its block removes all of it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Janitor:
        # Its session is its own: a Ctrl-C, or a kill of the benchmark's group, is not for it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/", start_new_session=True, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()

    def expect(self, kind: str, value: object) -> None:
        """To be called before the thing is made (a process: right after)."""
        self._tell("+", kind, value)

    def remove(self, kind: str, value: object) -> None:
        """Removes it now."""
        REMOVERS[kind](str(value))
        self._tell("-", kind, value)

    def expect_process(self, pid: int) -> str:
        """Has a process's session ended with the benchmark; the value to remove it by."""
        value = f"{pid} {started_at(pid) or 0}"
        self.expect("process", value)
        return value

    def _tell(self, sign: str, kind: str, value: object) -> None:
        self._process.stdin.write(f"{sign}\t{kind}\t{value}\n")
        self._process.stdin.flush()


def main() -> None:
    """The janitor's life."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    expected: list[tuple[str, str]] = []
    for line in sys.stdin:
        # A line that was cut off belongs to something that has not been made.
        if not line.endswith("\n"):
            break
        sign, kind, value = line.rstrip("\n").split("\t", 2)
        if sign == "+":
            expected.append((kind, value))
        elif (kind, value) in expected:
            expected.remove((kind, value))
    for kind, value in reversed(expected):
        REMOVERS[kind](value)


if __name__ == "__main__":
    main()

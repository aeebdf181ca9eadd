"""What must not stay behind: this process adopts every orphan, and has mounts and a /dev/shm of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from processes import command_of, descendants, leftovers, mounts

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000
PR_SET_CHILD_SUBREAPER = 36


def live_alone() -> None:
    """Become the parent of every orphan below, and, where that is allowed, see a /dev/shm of one's own.

    In a process of its own: it can't be undone.
    """
    if LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.geteuid() == 0 and LIBC.unshare(CLONE_NEWNS) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/shm"], check=True)


def reap(known: set[int]) -> None:
    """Take the ends of orphans, which nobody else waits for."""
    for pid in descendants(os.getpid()):
        if pid in known:
            continue
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            continue


class Remains:
    """What was there before a round, and what is there after it that was not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounts = mounts()
        self.shared = set(os.listdir("/dev/shm"))

    def check(self, engines: list[int], known: set[int], seconds: float = 30) -> list[str]:
        """What stays after so many seconds, in words; what stays is ended, so that the next round is its own.

        `known` are the round's processes that are to live on, with all below them.
        """
        end = time.monotonic() + seconds
        while (found := self._look(engines, known)) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in self._processes(known):
            os.kill(pid, signal.SIGKILL)
        return found

    @staticmethod
    def _processes(known: set[int]) -> list[int]:
        reap(known)
        living = known | {below for pid in known for below in descendants(pid)}
        return [pid for pid in descendants(os.getpid()) if pid not in living]

    def _look(self, engines: list[int], known: set[int]) -> list[str]:
        found = [f"process {pid}: {command_of(pid)[:200] or 'a zombie'}" for pid in self._processes(known)]
        found += [f"control group {group}" for pid in engines if pid not in known for group in leftovers(pid)]
        if not known:
            found += [f"mount {mount}" for mount in mounts() - self.mounts]
            found += [f"/dev/shm/{name}" for name in set(os.listdir("/dev/shm")) - self.shared]
        return found

    def strange_files(self, allowed: dict[str, object]) -> list[str]:
        """Files of the folder's parts that have no business there: `allowed` says of each part whether a name has."""
        return [
            f"{part}/{path.relative_to(self.folder / part)}"
            for part, is_expected in allowed.items()
            for path in (self.folder / part).rglob("*")
            if not is_expected(str(path.relative_to(self.folder / part)))
        ]

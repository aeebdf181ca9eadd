"""Making a forked copy of the zygote a process of its own: its descriptors, streams, threads and random numbers.

Nothing here starts a thread: isolation holds for the thread that makes it. Two libraries do
not learn the number of threads granted, having fixed theirs when the zygote imported them: polars uses all processors,
and numpy's OpenBLAS one (telling it starts its threads, which spin for milliseconds in each worker).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import signal
import sys

import pyarrow as pa

CHANNEL_DESCRIPTOR = 3
FIRST_FREE_DESCRIPTOR = 4
DESCRIPTOR_MAX = 2**31 - 1

THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "NUMEXPR_MAX_THREADS",
)


def place_descriptors(channel: int, output: int, scratch: int | None = None) -> int | None:
    """Leave exactly these open: 0 reads nothing, 1 and 2 are `output`, CHANNEL_DESCRIPTOR is `channel`, and what is
    returned is `scratch`, if there is one.
    """
    # Out of the way first: either may have one of the numbers that are about to be taken.
    channel = fcntl.fcntl(channel, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR)
    output = fcntl.fcntl(output, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(channel, CHANNEL_DESCRIPTOR, inheritable=False)
    if scratch is None:
        os.closerange(FIRST_FREE_DESCRIPTOR, DESCRIPTOR_MAX)
        return None
    os.dup2(scratch, FIRST_FREE_DESCRIPTOR, inheritable=False)
    os.closerange(FIRST_FREE_DESCRIPTOR + 1, DESCRIPTOR_MAX)
    return FIRST_FREE_DESCRIPTOR


def open_streams() -> None:
    """New Python streams over descriptors 0 to 2: what a model prints is out at the end of each line."""
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


def settle(cpus: int) -> None:
    """Forget the zygote's signal handling, use `cpus` threads, and have random numbers unlike the other workers'."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in THREAD_SETTINGS:
        os.environ[name] = str(cpus)
    pa.set_cpu_count(cpus)
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


HARMLESS_THREADS = ("polars-ooc-clea",)
"""Threads, by the beginning of their names, that may be missing after a fork, and hold nothing while they sleep: that
of polars removes what it has written to disk, which it hasn't before a model runs."""


def thread_count() -> int:
    """The threads of this process that speak against a fork, the one that calls among them."""
    names = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm") as file:
            names.append(file.read())
    return sum(not name.startswith(HARMLESS_THREADS) for name in names)


def become_subreaper() -> None:
    """Make orphans of this process's descendants its children, so that it can wait for them. Raises OSError."""
    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")

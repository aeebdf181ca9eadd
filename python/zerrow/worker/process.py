"""Making a forked copy of the zygote a process of its own: its descriptors, streams, threads and random numbers.

Nothing here starts a thread: isolation holds for the thread that makes it. Two libraries do
not learn the number of threads granted, having fixed theirs when the zygote imported them: polars uses all processors,
and numpy's OpenBLAS one (telling it starts its threads, which spin for milliseconds in each worker).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sys
from typing import Any

import pyarrow as pa

CHANNEL_DESCRIPTOR = 3

THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "NUMEXPR_MAX_THREADS",
)


def open_streams() -> None:
    """New Python streams over descriptors 0 to 2: what a model prints is out at the end of each line.

    The zygote makes them for its workers, which have other files under these numbers.
    """
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


def use_threads(cpus: int) -> None:
    """Have libraries use `cpus` threads, in this process and those that it forks; none is started."""
    for name in THREAD_SETTINGS:
        os.environ[name] = str(cpus)
    pa.set_cpu_count(cpus)


_NUMPY_KEY_BYTES = 624 * 4
_numpy_generator: Any = None
_numpy_key: int | None = None
"""Where numpy's global generator, a Mersenne Twister, has its key; None where that isn't known for certain."""


def find_numpy_key() -> None:
    """In the zygote, once numpy is imported: have workers write numpy's numbers by themselves.

    Seeding by numpy's own function takes a worker as long as all of a small model.
    """
    global _numpy_generator, _numpy_key
    numpy_random = sys.modules["numpy.random"]
    numpy_random.seed()
    state = numpy_random.get_state(legacy=False)
    address = numpy_random.mtrand._rand._bit_generator.ctypes.state_address
    key, position = state["state"]["key"].tobytes(), state["state"]["pos"]
    # The key, and how much of it is used up: nearly all, once it is seeded.
    written = key + position.to_bytes(4, sys.byteorder)
    is_known = state["bit_generator"] == "MT19937" and len(key) == _NUMPY_KEY_BYTES and state["has_gauss"] == 0
    if is_known and position >= 623 and ctypes.string_at(address, len(written)) == written:
        _numpy_generator, _numpy_key = numpy_random.mtrand._rand._bit_generator, address


def numpy_numbers(numpy_random: Any) -> bytes | None:
    """What numpy's global generator is at, if that is still the one whose place is known."""
    generator = numpy_random.mtrand._rand._bit_generator
    if _numpy_key is None or generator is not _numpy_generator:
        return None
    return ctypes.string_at(_numpy_key, _NUMPY_KEY_BYTES + 4)


def draw_own_numbers() -> None:
    """Have random numbers unlike those of the zygote's other workers."""
    random.seed()
    if _numpy_key is not None:
        ctypes.memmove(_numpy_key, os.urandom(_NUMPY_KEY_BYTES), _NUMPY_KEY_BYTES)
    elif "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


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

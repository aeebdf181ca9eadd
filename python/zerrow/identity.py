"""The identity of a file, which tells its content from another one without reading it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

SETTLED_NS = 2_000_000_000
"""A file that was changed less than this before it was looked at may change again and keep its times."""

TICK_NS = 20_000_000
"""The same for the file systems of this machine, whose times follow its clock in steps of 10 ms at most."""

_FINE_TYPES = frozenset(
    {
        0xEF53,  # ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0x01021994,  # tmpfs
        0x794C7630,  # overlayfs
        0xF2F52010,  # F2FS
        0x2FC12FC1,  # ZFS
        0xCA451A4E,  # bcachefs
    }
)
"""File systems that note nanoseconds, by the clock of the machine that asks for them."""

NUMBER_MAX = 2**63 - 1  # larger ones don't travel through every JSON reader


def identity(path: str, file: int | str | None = None) -> dict[str, Any]:
    """The identity of the file at `path`, links followed, as docs/plan.md writes it; or of an open `file`.

    Raises OSError.
    """
    status = os.stat(path if file is None else file)
    return {
        "path": path,
        "device": status.st_dev & NUMBER_MAX,
        "inode": status.st_ino & NUMBER_MAX,
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }


def is_settled(
    identity: dict[str, Any],
    now_ns: int,
    file_system: int | None = None,
    opened: Callable[[], int] | None = None,
) -> bool:
    """Whether a file had been left alone, at a time before it was looked at, long enough to be known by its times.

    `file_system` is the kind of the one that it is on, or `opened` gives its descriptor, for who doesn't see its path.
    """
    if max(identity["mtime_ns"], identity["ctime_ns"]) < now_ns - SETTLED_NS:
        return True
    # Nobody can set the time of the last status change, and each change of the content sets it.
    return identity["ctime_ns"] < now_ns - TICK_NS and has_fine_times(identity, file_system, opened)


def settles(
    known: dict[str, Any],
    now_ns: int,
    file_system: int | None = None,
    look: Callable[[str], dict[str, Any]] = identity,
) -> bool:
    """The same, but waits for a tick of the clock where that makes a file known by its times that was just changed.

    `look` gives the identity of a file, and `file_system` is the kind of the one that it is on, for who doesn't see it.
    """
    if is_settled(known, now_ns, file_system):
        return True
    left_ns = known["ctime_ns"] + TICK_NS - time.time_ns()
    if left_ns > TICK_NS or not has_fine_times(known, file_system):
        return False
    time.sleep(max(0, left_ns + 1_000_000) / 1e9)
    try:
        return look(known["path"]) == known
    except OSError:
        return False


def has_fine_times(
    identity: dict[str, Any], file_system: int | None = None, opened: Callable[[], int] | None = None
) -> bool:
    """Whether the times of a file tell one change from another that comes a tick of the clock later."""
    # Some keep whole seconds only, whatever their kind.
    if identity["ctime_ns"] % 1_000_000 == 0:
        return False
    if file_system is not None:
        return file_system in _FINE_TYPES
    import ctypes  # it takes milliseconds, and files are old as a rule

    library, status = ctypes.CDLL(None), ctypes.create_string_buffer(512)
    failed = library.fstatfs(opened(), status) if opened else library.statfs(os.fsencode(identity["path"]), status)
    if failed:
        return False
    # A `struct statfs` begins with the kind, a long.
    return ctypes.c_long.from_buffer(status).value & 0xFFFFFFFF in _FINE_TYPES

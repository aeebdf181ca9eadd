"""Which file it was: what tells a file's content from another one without reading it."""

from __future__ import annotations

import os
from typing import Any

SETTLED_NS = 2_000_000_000
"""A file that was changed less than this before it was looked at may change again without its times telling."""

_NUMBER_MAX = 2**63 - 1  # larger ones don't travel through every JSON reader


def identity(path: str, file: int | str | None = None) -> dict[str, Any]:
    """The identity of the file at `path`, links followed, as docs/plan.md writes it; or of an open `file`.

    Raises OSError.
    """
    status = os.stat(path if file is None else file)
    return {
        "path": path,
        "device": status.st_dev & _NUMBER_MAX,
        "inode": status.st_ino & _NUMBER_MAX,
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }


def is_settled(identity: dict[str, Any], now_ns: int) -> bool:
    """Whether a file had been left alone, at a time before it was looked at, long enough to be known by its times."""
    return max(identity["mtime_ns"], identity["ctime_ns"]) < now_ns - SETTLED_NS

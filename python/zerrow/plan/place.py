"""Which file is being read: what is said of where reading a project got stuck, or was given up."""

from __future__ import annotations

import time
from collections.abc import Callable

_TELL_S = 0.05
"""So rarely it is told where short pieces of work come from many files in turn."""

_file: str | None = None
_told_s = 0.0
_tell: Callable[[str], None] | None = None


def tell_of_places(tell: Callable[[str], None] | None) -> None:
    """From now on somebody else is told of each file, too."""
    global _tell, _file
    _tell, _file = tell, None


def now_at(file: str) -> None:
    """That file is being read, or what it says is looked into."""
    global _file, _told_s
    if file != _file:
        _file = file
        if _tell is not None:
            _tell(file)
            _told_s = time.monotonic()


def was_at(file: str) -> None:
    """A piece of work for that file is done, one of so many that the clock decides which is told: what takes long."""
    global _told_s
    if time.monotonic() - _told_s <= _TELL_S:
        return
    now_at(file)
    # Also where it is the same file again: or the next short piece of another one would be told at once.
    _told_s = time.monotonic()


def place() -> str | None:
    """The file that is being read."""
    return _file

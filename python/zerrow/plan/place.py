"""Which file is being read: what is said of where reading a project got stuck, or was given up."""

from __future__ import annotations

from collections.abc import Callable

_file: str | None = None
_tell: Callable[[str], None] | None = None


def tell_of_places(tell: Callable[[str], None] | None) -> None:
    """From now on somebody else is told of each file, too."""
    global _tell, _file
    _tell, _file = tell, None


def now_at(file: str) -> None:
    """That file is being read, or what it says is looked into."""
    global _file
    if file != _file:
        _file = file
        if _tell is not None:
            _tell(file)


def place() -> str | None:
    """The file that is being read."""
    return _file

"""Reading a project's own files: regular files of a bounded size, and nothing that could make the reader wait."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Unreadable(Exception):
    """A file that is not read; the text says why, and `hint` what to do."""

    def __init__(self, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.hint = hint


def read_file(path: Path | str, bytes_max: int) -> bytes:
    """The bytes of a regular file, links followed. Raises Unreadable."""
    try:
        # A FIFO that nobody writes to would keep an open waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"it is {_kind(status.st_mode)}", "put a file in its place, or give it another name")
        if status.st_size > bytes_max:
            raise Unreadable(too_long(bytes_max))
        return _content(descriptor, bytes_max)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    finally:
        os.close(descriptor)


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path leads to something in a folder, which is a real path."""
    return folder in Path(os.path.realpath(path)).parents


def too_long(bytes_max: int) -> str:
    """Why a file is not read that is too long."""
    return f"it is larger than {bytes_max >> 20} MiB"


def _content(descriptor: int, bytes_max: int) -> bytes:
    """To the end: files of some file systems say that they are empty."""
    content = bytearray()
    while piece := os.read(descriptor, 1 << 20):
        content += piece
        if len(content) > bytes_max:
            raise Unreadable(too_long(bytes_max))
    return bytes(content)


def _kind(mode: int) -> str:
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return names.get(stat.S_IFMT(mode), "no file") + ", and no regular file"

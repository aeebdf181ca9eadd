"""Sources as they are on the host: the names in a folder, the place that a path leads to, the footer of a file.

The planner that the engine starts sees none of these itself and asks the engine, which answers and hands out no file
(docs/plan.md has the messages). Without an engine it looks for itself.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from zerrow.identity import NUMBER_MAX, identity
from zerrow.worker.parquet_tail import parquet_tail

_PIECE_BYTES = 64 << 10
_QUESTION_BYTES_MAX = 60_000
_STATUS = struct.Struct("<IIQQqqqQI")


class Entry(NamedTuple):
    """A name in a folder. A link to a folder is a folder that is a link."""

    name: str
    path: str
    is_folder: bool
    is_link: bool


class Status(NamedTuple):
    """The place that a path leads to, or why it leads nowhere (`problem`, an error number; the rest is nothing then).

    ENOENT says that nothing is there, ENOLINK that there is a link which leads nowhere.
    """

    problem: int = 0
    path: str = ""
    """The real path."""
    mode: int = 0
    is_readable: bool = False
    identity: dict[str, Any] = {}  # noqa: RUF012
    file_system: int | None = None
    """Its kind, as statfs(2) numbers them; None where nobody has asked."""

    @property
    def is_folder(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.mode)


class HostFiles(Protocol):
    """The way in which sources are looked for."""

    def entries(self, folder: str) -> list[Entry]:
        """The names in a folder. Raises OSError."""

    def status(self, paths: Iterable[str]) -> Iterator[Status]:
        """The place that each of some absolute paths leads to."""

    def tail(self, path: str) -> bytes:
        """The end of a Parquet file from its footer on. Raises OSError, or ValueError where it is no Parquet file's."""

    def catalog(self, place: str, names: Iterable[str]) -> dict[str, Any]:
        """What is in the catalog whose folder is `place`, if nobody names another; with the files of some tables.

        Raises ValueError for one that can't be read.
        """

    def environments(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What requests for environments are resolved to (docs/plan.md), or why they are not."""


class OwnFiles:
    """Looks for itself."""

    def entries(self, folder: str) -> list[Entry]:
        """The names in a folder. Raises OSError."""
        with os.scandir(folder) as found:
            return [Entry(each.name, each.path, _is_folder(each), each.is_symlink()) for each in found]

    def status(self, paths: Iterable[str]) -> Iterator[Status]:
        """The place that each of some absolute paths leads to."""
        folders: dict[str, str] = {}
        for path in paths:
            try:
                real = _real_path(path, folders)
                known = identity(real)
                yield Status(0, real, os.stat(real).st_mode, os.access(real, os.R_OK), known)
            except OSError as error:
                is_link = error.errno == errno.ENOENT and os.path.lexists(path)
                yield Status(errno.ENOLINK if is_link else error.errno or errno.EIO)

    def tail(self, path: str) -> bytes:
        """The end of a Parquet file from its footer on."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = os.fstat(descriptor).st_size
            return parquet_tail(size, lambda length: os.pread(descriptor, length, max(0, size - length)))
        finally:
            os.close(descriptor)

    def catalog(self, place: str, names: Iterable[str]) -> dict[str, Any]:
        """An empty catalog: only an engine reads one."""
        return {"warehouse": place, "version": 0, "tables": {}}

    def environments(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Resolves nothing: that is the engine's."""
        short = "this needs the engine, which 'zerrow plan' has"
        return [{"problem": "offline", "text": short, "short": short} for _ in requests]


class AskedFiles:
    """Asks the engine, at a socket of whole messages. Processes that were forked may ask, one at a time."""

    def __init__(self, descriptor: int) -> None:
        """The socket stays the caller's."""
        self._descriptor = descriptor
        self._count = 0

    def note(self, place: str) -> None:
        """Tell the engine what is being read, for its message when that is never done."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, b"N" + os.fsencode(place)[:300])

    def done(self, code: int) -> None:
        """Tell the engine that all is printed, and with which status this process is going to exit.

        It need not wait until the kernel has taken this process apart.
        """
        with contextlib.suppress(OSError):
            os.write(self._descriptor, b"D" + bytes([code]))

    def entries(self, folder: str) -> list[Entry]:
        """The names in a folder. Raises OSError."""
        answer = self._ask(b"L", [folder])
        _check(int.from_bytes(answer[:4], "little"), folder)
        start = folder if folder.endswith("/") else f"{folder}/"
        found = []
        for text in answer[4:].split(b"\0")[:-1]:
            name = os.fsdecode(text[1:])
            found.append(Entry(name, start + name, text[:1] in b"dD", text[:1] in b"DL"))
        return found

    def status(self, paths: Iterable[str]) -> Iterator[Status]:
        """The place that each of some absolute paths leads to."""
        batch: list[str] = []
        length = 0
        for path in paths:
            own = len(os.fsencode(path)) + 1
            if batch and length + own > _QUESTION_BYTES_MAX:
                yield from self._statuses(batch)
                batch, length = [], 0
            batch.append(path)
            length += own
        if batch:
            yield from self._statuses(batch)

    def _statuses(self, paths: list[str]) -> Iterator[Status]:
        answer = self._ask(b"S", paths)
        place = 0
        for _ in paths:
            problem = int.from_bytes(answer[place : place + 4], "little")
            place += 4
            if problem:
                yield Status(problem)
                continue
            mode, is_readable, device, inode, size, mtime, ctime, kind, length = _STATUS.unpack_from(answer, place)
            place += _STATUS.size
            path = os.fsdecode(answer[place : place + length])
            place += length
            known = {
                "path": path,
                "device": device & NUMBER_MAX,
                "inode": inode & NUMBER_MAX,
                "bytes": size,
                "mtime_ns": mtime,
                "ctime_ns": ctime,
            }
            yield Status(0, path, mode, is_readable == 1, known, kind)

    def tail(self, path: str) -> bytes:
        """The end of a Parquet file from its footer on."""
        answer = self._ask(b"F", [path])
        _check(int.from_bytes(answer[:4], "little"), path)
        size, tail = int.from_bytes(answer[4:12], "little"), answer[12:]
        return parquet_tail(size, lambda _: tail)  # the engine found where the footer begins

    def catalog(self, place: str, names: Iterable[str]) -> dict[str, Any]:
        """What is in the catalog whose folder is `place`, if nobody names another; with the files of some tables."""
        answer = self._ask(b"C", [place, *names])
        if answer[:4] != b"\0\0\0\0":
            raise ValueError(answer[4:].decode(errors="replace"))
        found = json.loads(answer[4:])
        assert isinstance(found, dict)
        return found

    def environments(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The engine's answers, one for each."""
        texts = [json.dumps(each, separators=(",", ":")).encode() for each in requests]
        answers: list[dict[str, Any]] = []
        while texts:
            batch = [texts.pop(0)]
            while texts and sum(map(len, batch)) + len(texts[0]) + len(batch) < _QUESTION_BYTES_MAX:
                batch.append(texts.pop(0))
            if len(batch[0]) > _QUESTION_BYTES_MAX:
                answers.append({"problem": "unresolvable", "text": "it has too many packages"})
                continue
            answers += json.loads(self._send(b"E", b"[" + b",".join(batch) + b"]"))
        return answers

    def _ask(self, kind: bytes, paths: list[str]) -> bytes:
        if any("\0" in path for path in paths):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return self._send(kind, b"".join(os.fsencode(path) + b"\0" for path in paths))

    def _send(self, kind: bytes, content: bytes) -> bytes:
        self._count += 1
        # Two processes may ask, and one of them may end before it has its answer.
        number = struct.pack("<I", (os.getpid() << 20 | self._count & 0xFFFFF) & 0xFFFFFFFF)
        question = kind + number + content
        if len(question) > _PIECE_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        os.write(self._descriptor, question)
        pieces = []
        while True:
            message = os.read(self._descriptor, _PIECE_BYTES + 16)
            if not message:
                raise EOFError("the engine is gone")
            if message[:4] != number:
                continue
            pieces.append(message[5:])
            if message[4] == 0:
                return b"".join(pieces)


OWN_FILES = OwnFiles()


def _check(problem: int, path: str) -> None:
    if problem:
        raise OSError(problem, os.strerror(problem), path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads round in circles, for one


def _real_path(path: str, folders: dict[str, str]) -> str:
    """The real path of a file that exists; folders are looked up once. Raises OSError."""
    if os.path.islink(path):
        return os.path.realpath(path, strict=True)
    folder, name = os.path.split(path)
    real = folders.get(folder)
    if real is None:
        real = folders[folder] = os.path.realpath(folder, strict=True)
    if name in ("", ".", ".."):
        return os.path.realpath(path, strict=True)
    os.stat(path)
    return os.path.join(real, name)

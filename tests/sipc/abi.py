"""The worker library through ctypes, and a small engine round it: what a test needs to pass tables between sessions."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


class CStream(ctypes.Structure):
    """struct ArrowArrayStream."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("get_schema", "get_next", "get_last_error", "release", "private")]


class Counts(ctypes.Structure):
    """struct zerrow_counts."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("rows", "batches", "bytes", "reshared", "born_shared", "deanonymized", "packed", "copied")
    ]


class Pages(ctypes.Structure):
    """struct zerrow_pages."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "ranges",
            "refused_ranges",
            "refusal",
            "moved",
            "moved_huge",
            "moved_swap",
            "holes",
            "copied_edge",
            "copied_shared",
            "copied_pinned",
            "copied_other",
        )
    ]


def load_library() -> ctypes.CDLL:
    """Load the library that ZERROW_WORKER_LIBRARY names, or the one of the release build."""
    path = os.environ.get("ZERROW_WORKER_LIBRARY", str(ROOT / ".build/release/libzerrow_worker.so"))
    library = ctypes.CDLL(path)
    session, fd, u64, stream = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.POINTER(CStream)
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "abi_version": (ctypes.c_uint32, []),
        "session_new": (session, []),
        "session_free": (None, [session]),
        "session_error": (ctypes.c_char_p, [session]),
        "session_segment": (fd, [session, u64, fd]),
        "session_output": (fd, [session, fd, u64, u64]),
        "session_kernelzero": (fd, [session, fd]),
        "session_pages": (fd, [session, ctypes.POINTER(Pages)]),
        "session_open": (fd, [session, fd, stream]),
        "session_publish": (fd, [session, stream, ctypes.POINTER(Counts), ctypes.POINTER(ctypes.c_int)]),
        "session_write_stream": (fd, [session, fd, fd]),
        "session_write_file": (fd, [session, fd, fd]),
        "session_open_file": (fd, [session, fd, stream]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, "zerrow_" + name)
        function.restype, function.argtypes = result, arguments
    return library


LIBRARY = load_library()


def capsule_pointer(capsule: object, name: bytes) -> ctypes._Pointer[CStream]:
    """The stream that a capsule owns."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.POINTER(CStream), [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name)


class ZerrowError(Exception):
    """A call that failed: its errno and its message."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(message)
        self.errno = errno


def memory_file(content: bytes | int) -> int:
    """A memfd with this content, or of this size."""
    fd = os.memfd_create("test")
    if isinstance(content, int):
        os.ftruncate(fd, content)
    else:
        os.write(fd, content)
    return fd


def content(fd: int) -> bytes:
    """All bytes of a file."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


class Session:
    """One session of the library; descriptors that are given to it stay open here."""

    def __init__(self) -> None:
        self.raw = LIBRARY.zerrow_session_new()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the session; what it gave out lives on."""
        LIBRARY.zerrow_session_free(self.raw)
        self.raw = None

    def check(self, code: int) -> None:
        """Raise what the last call says."""
        if code != 0:
            raise ZerrowError(-code, LIBRARY.zerrow_session_error(self.raw).decode())

    def segment(self, number: int, fd: int) -> None:
        """Give an input segment."""
        self.check(LIBRARY.zerrow_session_segment(self.raw, number, os.dup(fd)))

    def output(self, fd: int, bytes_max: int | None = None) -> None:
        """Give the output segment."""
        size = os.fstat(fd).st_size
        self.check(LIBRARY.zerrow_session_output(self.raw, os.dup(fd), size, bytes_max or size))

    def kernelzero(self, path: str = "/dev/kernelzero") -> None:
        """Have memory moved by a device."""
        self.check(LIBRARY.zerrow_session_kernelzero(self.raw, os.open(path, os.O_RDONLY)))

    def pages(self) -> Pages:
        """How the pages of what was moved went."""
        pages = Pages()
        self.check(LIBRARY.zerrow_session_pages(self.raw, ctypes.byref(pages)))
        return pages

    def open(self, descriptor: bytes) -> pa.RecordBatchReader:
        """Open a table."""
        fd, stream = memory_file(descriptor), CStream()
        try:
            self.check(LIBRARY.zerrow_session_open(self.raw, fd, ctypes.byref(stream)))
        finally:
            os.close(fd)
        return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))

    def publish(self, table: Any) -> tuple[bytes, Counts]:
        """Publish what has ``__arrow_c_stream__``: the descriptor and the counts."""
        counts, fd = Counts(), ctypes.c_int(-1)
        capsule = table.__arrow_c_stream__()
        source = capsule_pointer(capsule, b"arrow_array_stream")
        self.check(LIBRARY.zerrow_session_publish(self.raw, source, ctypes.byref(counts), ctypes.byref(fd)))
        try:
            return content(fd.value), counts
        finally:
            os.close(fd.value)

    def stream(self, descriptor: bytes) -> bytes:
        """The table as a standard IPC stream."""
        return self.written(LIBRARY.zerrow_session_write_stream, descriptor)

    def file(self, descriptor: bytes) -> bytes:
        """The table as a standard IPC file."""
        return self.written(LIBRARY.zerrow_session_write_file, descriptor)

    def written(self, write: Callable[[Any, int, int], int], descriptor: bytes) -> bytes:
        """What a function writes of a table."""
        fd, out = memory_file(descriptor), memory_file(0)
        try:
            self.check(write(self.raw, fd, out))
            return content(out)
        finally:
            os.close(fd)
            os.close(out)

    def open_file(self, fd: int) -> pa.RecordBatchReader:
        """Open an Arrow IPC file."""
        stream = CStream()
        self.check(LIBRARY.zerrow_session_open_file(self.raw, fd, ctypes.byref(stream)))
        return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))


def segments(descriptor: bytes) -> list[tuple[int, int]]:
    """Id and size of the segments that a descriptor names."""
    (count,) = struct.unpack_from("<Q", descriptor, 24)
    return [struct.unpack_from("<QQ", descriptor, 64 + 16 * index) for index in range(count)]


def renumbered(descriptor: bytes, number: int) -> bytes:
    """The descriptor with ``number`` as the id of segment 0, as the engine gives it one."""
    copy = bytearray(descriptor)
    for index, (known, _) in enumerate(segments(descriptor)):
        if known == 0:
            struct.pack_into("<Q", copy, 64 + 16 * index, number)
    return bytes(copy)


class Engine:
    """Keeps segments, and runs functions on tables as models run, each in a session of its own."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}

    def close(self) -> None:
        """Close all segments."""
        for fd in self.files.values():
            os.close(fd)
        self.files.clear()

    def publish(self, table: Any, inputs: Session | None = None, bytes_max: int = 64 * MIB) -> tuple[bytes, Counts]:
        """Publish a table, reshared from what ``inputs`` has mapped, into a new segment."""
        session = inputs or Session()
        fd = memory_file(bytes_max)
        session.output(fd)
        descriptor, counts = session.publish(table)
        number = len(self.files) + 1
        self.files[number] = fd
        if inputs is None:
            session.close()
        return renumbered(descriptor, number), counts

    def session(self) -> Session:
        """A session with all segments."""
        session = Session()
        for number, fd in self.files.items():
            session.segment(number, fd)
        return session

    def open(self, descriptor: bytes) -> pa.Table:
        """Read a table in a session that is gone when it returns."""
        with self.session() as session:
            return session.open(descriptor).read_all()

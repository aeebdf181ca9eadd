"""The arena's functions through ctypes, for scripts that the tests run with the library preloaded."""

import ctypes
import mmap
import os
from collections.abc import Iterator
from typing import Any

FILE_BYTES = 256 << 30
BYTES_MAX = 2 << 30

_process = ctypes.CDLL(None)
_locate = _process.zerrow_arena_locate
_locate.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)]
_take = _process.zerrow_arena_take
_take.argtypes = [ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_uint64)]
_attach = _process.zerrow_arena_attach
_attach.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64]


class Counts(ctypes.Structure):
    """struct zerrow_arena_counts"""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("live_bytes", "live_bytes_max", "resident_bytes", "huge_bytes", "extents", "refused")
    ]


def attach(bytes_max: int = BYTES_MAX, file_bytes: int = FILE_BYTES) -> int:
    """Attach a new memfd; returns its descriptor."""
    fd = os.memfd_create("arena-test", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, file_bytes)
    code = _attach(fd, file_bytes, bytes_max)
    assert code == 0, os.strerror(-code)
    return fd


def attach_code(fd: int, file_bytes: int, bytes_max: int) -> int:
    """What zerrow_arena_attach returns."""
    return _attach(fd, file_bytes, bytes_max)


def locate(address: int, size: int) -> int | None:
    """The file offset of a range, or None when it is not content of the file."""
    offset = ctypes.c_uint64()
    return offset.value if _locate(address, size, offset) else None


def take(size: int) -> tuple[int, int, int]:
    """The code, address and offset that zerrow_arena_take gives."""
    address, offset = ctypes.c_void_p(), ctypes.c_uint64()
    code = _take(size, ctypes.byref(address), offset)
    return code, address.value or 0, offset.value


def freeze() -> int:
    """Call zerrow_arena_freeze."""
    return _process.zerrow_arena_freeze()


def counts() -> Counts:
    """The arena's counts."""
    out = Counts()
    assert _process.zerrow_arena_counts(ctypes.byref(out)) == 0
    return out


def view(fd: int) -> mmap.mmap:
    """The file as any other process would see it."""
    return mmap.mmap(fd, 0, prot=mmap.PROT_READ)


def _buffers(array: Any) -> Iterator[tuple[int, int]]:
    for buffer in array.buffers():
        if buffer is not None and buffer.size:
            yield buffer.address, buffer.size


def share(table: Any, fd: int, bytes_min: int = 64 * 1024) -> tuple[int, int]:
    """Bytes of the table's buffers of bytes_min or more, and how many of them are in the file with the same content."""
    distinct = {pair for column in table.columns for chunk in column.chunks for pair in _buffers(chunk)}
    total = shared = 0
    content = view(fd)
    for address, size in distinct:
        if size < bytes_min:
            continue
        total += size
        offset = locate(address, size)
        if offset is not None:
            assert content[offset : offset + size] == ctypes.string_at(address, size), "the file holds something else"
            shared += size
    return total, shared

"""The bytes of an open file, for a reader that goes to and fro in them: mapped, or where they are few, read."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable

import pyarrow as pa

Guard = Callable[[pa.Buffer], None]

_READ_BYTES_MAX = 256 << 10
"""Files up to this size are read, which takes less time than a mapping and its page faults."""
_FAILED = ctypes.c_void_p(-1).value

GUARDED: list[pa.Buffer] = []
"""Mappings that have a guard: another one at their place would have it too."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class _Mapping:
    """A shared mapping of a file. Python's own would keep a descriptor, and scans may have more files than those."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._size = size
        self.address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if self.address == _FAILED:
            self.address = None
            raise OSError(ctypes.get_errno(), f"mapping it: {os.strerror(ctypes.get_errno())}")

    def __del__(self) -> None:
        if self.address is not None:
            _libc.munmap(self.address, self._size)


def read_content(descriptor: int, size: int, guard: Guard | None) -> pa.Buffer:
    """The first `size` bytes of a file, which is not empty; the descriptor isn't needed any more.

    A `guard` keeps the process alive where a mapped file is made shorter; the mapping stays for ever then.
    Raises OSError, or ValueError where the file is shorter.
    """
    if size <= _READ_BYTES_MAX:
        content = os.pread(descriptor, size, 0)
        if len(content) < size:
            raise ValueError("it has become shorter")
        return pa.py_buffer(content)
    mapping = _Mapping(descriptor, size)
    buffer = pa.foreign_buffer(mapping.address, size, mapping)
    if guard is not None:
        GUARDED.append(buffer)
        guard(buffer)
    return buffer


def is_mapped(content: pa.Buffer) -> bool:
    """Whether these bytes take no memory of their own."""
    return content.size > _READ_BYTES_MAX

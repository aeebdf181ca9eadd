"""The tables that the models return, made of nothing but numbers, so that a test can make them again and compare."""

from __future__ import annotations

import mmap
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS = 150_000
PART = 3 * 64 * 1024 + 40


def secret(kind: str) -> bytes:
    """Bytes to look for; built when asked for, so that no constant or source in memory holds them."""
    return bytes(byte ^ 0x55 for byte in (kind * 4).encode()) * 2


def repeated(pattern: np.ndarray, size: int) -> np.ndarray:
    """The pattern again and again."""
    return np.tile(pattern, -(-size // len(pattern)))[:size]


def surrounded(array: np.ndarray) -> np.ndarray:
    """A copy of an array in the middle of an allocation that is a secret elsewhere, not at the start of a page."""
    margin = 256 * 1024 + 24
    whole = repeated(np.frombuffer(secret("hidden"), np.uint8), array.nbytes + 2 * margin)
    middle = whole[margin : margin + array.nbytes].view(array.dtype)
    middle[:] = array
    return middle


def column(array: np.ndarray) -> pa.Array:
    """The array as a column of the same memory."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def large() -> pa.Table:
    """Three columns, two of them between secrets."""
    numbers = np.arange(ROWS, dtype=np.int64)
    return pa.table(
        {
            "a": column(surrounded(numbers * 7)),
            "f": column(surrounded(numbers * 0.25)),
            "s": pc.cast(pa.array(numbers), pa.utf8()),
        }
    )


def large_bytes() -> int:
    """The bytes of its buffers."""
    digits = sum(
        length * (min(10**length, ROWS) - (10 ** (length - 1) if length > 1 else 0))
        for length in range(1, len(str(ROWS - 1)) + 1)
    )
    return 8 * ROWS + 8 * ROWS + 4 * (ROWS + 1) + digits


def small() -> pa.Table:
    """Buffers of a few hundred bytes."""
    return pa.table({"n": pa.array(range(100), pa.int32()), "s": [f"row {n}" for n in range(100)]})


def overlapping() -> pa.Table:
    """Columns of one allocation: the same one twice, two that overlap, two that share a page, one that begins where
    another ends.
    """
    whole = surrounded(repeated(np.arange(251, dtype=np.uint8), 6 * PART))
    starts = {"first": 0, "again": 0, "overlaps": 1000, "touches": 1000 + PART, "shares": 2 * PART + 1100}
    return pa.table({name: column(whole[start : start + PART]) for name, start in starts.items()})


OVERLAPPING_BYTES = 1000 + 3 * PART
"""Each byte once."""


def untakeable(folder: str = "/dev/shm") -> pa.Table:
    """Columns in memory of a file, in shared memory, in plain anonymous memory, and in such that is hardly written."""
    size = UNTAKEABLE_BYTES
    content = repeated(np.arange(253, dtype=np.uint8), size)
    descriptor = os.open(f"{folder}/untakeable-{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(f"{folder}/untakeable-{os.getpid()}")
    os.write(descriptor, content.tobytes())
    places = {
        "file": mmap.mmap(descriptor, size, mmap.MAP_PRIVATE),
        "changed": mmap.mmap(descriptor, size, mmap.MAP_PRIVATE),
        "shared": mmap.mmap(-1, size, mmap.MAP_SHARED),
        "plain": mmap.mmap(-1, size, mmap.MAP_PRIVATE),
        "unwritten": mmap.mmap(-1, size, mmap.MAP_PRIVATE),
    }
    os.close(descriptor)
    places["changed"][::4096] = b"\xee" * (size // 4096)
    for name in ("shared", "plain"):
        places[name][:] = content.tobytes()
    places["unwritten"][size // 2] = 1
    return pa.table({name: column(np.frombuffer(place, np.uint8)) for name, place in places.items()})


UNTAKEABLE_BYTES = 256 * 1024
"""Of each of the five columns."""

"""The actions of a producer after it has published, and the attempts of a reader."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import mmap
import os
import signal
import sys
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

PAGE = 4096
MARGIN = 1 << 19


def go_on_after_publishing(table: pa.Table, overwrite: bool) -> None:
    """Have more code of the model's run when its result is published: the worker flushes `sys.stdout` then."""
    views = [
        np.frombuffer(memoryview(buffer), np.uint8)
        for column in table.columns
        for chunk in column.chunks
        for buffer in chunk.buffers()
        if buffer is not None
    ]
    sys.stdout = _Rest(views, overwrite)


class _Rest:
    """A stream that, flushed, goes on with the program."""

    def __init__(self, views: list[np.ndarray], overwrite: bool) -> None:
        self._views = views
        self._overwrite = overwrite

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        views, self._views = self._views, []
        if not views:
            return
        before = [bytes(view[:: PAGE - 1]) for view in views]
        if self._overwrite:
            for view in views:
                ctypes.memset(view.ctypes.data, 0xEE, view.nbytes)
                assert (view == 0xEE).all(), "a producer does not see what it has written"
        else:
            assert before == [bytes(view[:: PAGE - 1]) for view in views]
        del views
        os.write(2, f"zeroes after publishing: {_reuse_memory()}\n".encode())


def _reuse_memory() -> bool:
    """Free what can be freed, use memory again in every way, and tell whether new memory is all zero."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    fine = True
    for _ in range(2):
        blocks = [np.zeros(size, np.uint8) for size in (100_000, 1 << 20, 3_200_000, 9_000_000) for _ in range(3)]
        fine = fine and not any(block.any() for block in blocks)
        for block in blocks:
            block[:] = 0x5A
        pools = [
            pa.default_memory_pool(),
            *(getattr(pa, f"{name}_memory_pool")() for name in pa.supported_memory_backends()),
        ]
        buffers = [pa.allocate_buffer(3_200_000, memory_pool=pool, resizable=True) for pool in pools]
        for buffer in buffers:
            ctypes.memset(buffer.address, 0xA5, buffer.size)
            buffer.resize(100)
        del blocks, buffers
    return fine


def segments() -> Iterator[tuple[int, int, int]]:
    """Start, end and file offset of the mappings of shared-memory files."""
    with open("/proc/self/maps") as lines:
        for line in lines:
            words = line.split()
            if len(words) > 5 and words[5].startswith("/memfd:zerrow-"):
                start, end = (int(word, 16) for word in words[0].split("-"))
                yield start, end, int(words[2], 16)


def buffers(table: pa.Table) -> Iterator[pa.Buffer]:
    """All buffers of a table."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from (buffer for buffer in chunk.buffers() if buffer is not None and buffer.size)


def count(tables: Iterable[pa.Table], wanted: bytes) -> int:
    """How often bytes occur where a reader can look: up to half a MiB round each buffer, and at the beginning and the
    end of each segment, where copies and what was moved lie.
    """
    places: list[tuple[int, int]] = []
    mapped = list(segments())
    for table in tables:
        for buffer in buffers(table):
            start, end, _ = next(m for m in mapped if m[0] <= buffer.address < m[1])
            places.append((max(start, buffer.address - MARGIN), min(end, buffer.address + buffer.size + MARGIN)))
    for start, end, _ in mapped:
        places += [(start, min(end, start + 4 * MARGIN)), (max(start, end - 4 * MARGIN), end)]
    found, done = 0, 0
    for start, end in sorted(places):
        start = max(start, done)
        if start < end:
            found += ctypes.string_at(start, end - start).count(wanted)
            done = end
    return found


def attack(column: pa.ChunkedArray) -> dict[str, bool]:
    """Try to change a column's memory in all ways; what was tried, and whether it was refused."""
    buffer = column.chunk(0).buffers()[1]
    address, size = buffer.address & -PAGE, 16 * PAGE
    before = buffer.to_pybytes()
    libc = ctypes.CDLL(None, use_errno=True)
    place, length = ctypes.c_void_p(address), ctypes.c_size_t(size)
    refused = {"write": _kills(lambda: ctypes.memset(address, 0, size))}
    for name, code in {
        "mprotect": libc.mprotect(place, length, mmap.PROT_READ | mmap.PROT_WRITE),
        "MADV_REMOVE": libc.madvise(place, length, 9),
        "MADV_POPULATE_WRITE": libc.madvise(place, length, 23),
    }.items():
        refused[name] = code < 0
    refused["/proc/self/mem"] = _fails(lambda: _write_memory(address, bytes(size)))
    start, end, _ = next(m for m in segments() if m[0] <= buffer.address < m[1])
    refused["map_files"] = _fails(lambda: os.open(f"/proc/self/map_files/{start:x}-{end:x}", os.O_RDWR))
    refused["unchanged"] = buffer.to_pybytes() == before
    return refused


def _write_memory(address: int, content: bytes) -> None:
    with open("/proc/self/mem", "r+b", 0) as memory:
        memory.seek(address)
        memory.write(content)


def _fails(attempt) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


def _kills(attempt) -> bool:
    child = os.fork()
    if child == 0:
        # With a handler the kernel's log is spared a line, which the kernel tests would take for a complaint.
        with open(os.devnull, "w") as nothing:
            faulthandler.enable(nothing)
            attempt()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV

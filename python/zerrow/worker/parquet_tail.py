"""The place of a Parquet file's footer: the end of the file, as far as its last bytes say."""

from __future__ import annotations

from collections.abc import Callable

MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_TAIL_BYTES = 64 << 10
"""The bytes of a file that are read at first: most footers are shorter."""
_FOOTER_BYTES_MAX = 512 << 20
"""Enough for millions of column chunks, which take ten times as much memory."""


def parquet_tail(size: int, read: Callable[[int], bytes]) -> bytes:
    """The end of a file of `size` bytes from its footer on; `read` gives so many of its last bytes.

    Raises ValueError where it is no Parquet file's.
    """
    if size == 0:
        raise ValueError("the file is empty")
    tail = read(min(size, _TAIL_BYTES))
    if tail[-4:] == _ENCRYPTED:
        raise ValueError("its footer is encrypted, and nothing here has the key")
    if size < 12 or tail[-4:] != MAGIC:
        raise ValueError("it doesn't end as Parquet files do")
    footer_length = int.from_bytes(tail[-8:-4], "little")
    length = footer_length + 8
    if length > size - len(MAGIC):
        raise ValueError(f"it says that its footer has {footer_length} bytes, more than the file")
    if footer_length > _FOOTER_BYTES_MAX:
        limit = f"and none over {_FOOTER_BYTES_MAX} is read"
        raise ValueError(f"it says that its footer has {footer_length} bytes, {limit}")
    if length > len(tail):
        tail = read(length)
    if len(tail) < length:
        raise ValueError("it became shorter while it was read")
    return tail[-length:]

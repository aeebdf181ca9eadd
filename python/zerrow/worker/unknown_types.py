"""Columns that a library is too old for: an environment may have a pyarrow that lacks types of newer ones.

pyarrow then says the format that it doesn't know, in the letters of the C Data Interface, and nothing of the column. So
the schema is looked at here, without pyarrow.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure

NEWER_TYPES = {"32": "decimal32", "64": "decimal64"}
"""Types that pyarrow 15 lacks, by the bits at the end of their formats, such as `d:9,2,32`."""
FIRST_WITH_THEM = 18


class _Schema(ctypes.Structure):
    """An ArrowSchema of the C Data Interface."""


_Schema._fields_ = (
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
)


def unknown_type(stream: int, get_schema: int, table: str) -> WorkerFailure | None:
    """The failure that a table is which pyarrow has refused, if it is over a type that is newer than pyarrow.

    `stream` is the address of an ArrowArrayStream of ours, and `get_schema` its function of that name.
    """
    schema = _Schema()
    get = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(get_schema)
    if get(stream, ctypes.addressof(schema)) != 0:
        return None
    try:
        for index in range(schema.n_children):
            column = schema.children[index].contents
            for part in _within(column):
                name = _newer_type((part.format or b"").decode(errors="replace"))
                if name is not None and not hasattr(pa, name):
                    within = "is" if part is column else "has a part"
                    return WorkerFailure(
                        "input",
                        f"the column {(column.name or b'').decode(errors='replace')!r} of {table!r} {within} of the "
                        f"type {name}, which this model's pyarrow {pa.__version__} does not know: cast it to "
                        f"decimal128 in the model that makes it, or ask for pyarrow {FIRST_WITH_THEM} or newer here",
                    )
    finally:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(schema.release)(ctypes.addressof(schema))
    return None


def _within(schema: _Schema) -> Iterator[_Schema]:
    yield schema
    for index in range(schema.n_children):
        yield from _within(schema.children[index].contents)
    if schema.dictionary:
        yield from _within(schema.dictionary.contents)


def _newer_type(format_: str) -> str | None:
    is_decimal = format_.startswith("d:") and format_.count(",") == 2
    return NEWER_TYPES.get(format_.rpartition(",")[2]) if is_decimal else None

"""Types of views of texts and bytes, for which the oldest pyarrow that workers run with has no names."""

from __future__ import annotations

import pyarrow as pa


def is_string_view(kind: pa.DataType) -> bool:
    """Is this the type of views of texts?"""
    return _is_string_view(kind)


def is_binary_view(kind: pa.DataType) -> bool:
    """Is this the type of views of bytes?"""
    return _is_binary_view(kind)


def is_view(kind: pa.DataType) -> bool:
    """Is this the type of views of texts or bytes?"""
    return is_string_view(kind) or is_binary_view(kind)


def holds_view(kind: pa.DataType) -> bool:
    """Is this such a type, or one that has it at any depth?"""
    if pa.types.is_dictionary(kind):
        return holds_view(kind.value_type)
    return is_view(kind) or any(holds_view(kind.field(index).type) for index in range(kind.num_fields))


_is_string_view = getattr(pa.types, "is_string_view", lambda kind: str(kind) == "string_view")
_is_binary_view = getattr(pa.types, "is_binary_view", lambda kind: str(kind) == "binary_view")

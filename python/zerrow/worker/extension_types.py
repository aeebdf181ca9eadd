"""Extension types that a library registers with pyarrow only when it is used itself.

A column whose type is not registered is imported as its storage, and its field's metadata says what it was. Of a type
that is not registered within a dictionary nothing is left: `warm_up` registers what it can before.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator

import pyarrow as pa

NAME = b"ARROW:extension:name"
"""The key of a field's metadata that is left where the type is not registered."""

REGISTERING_MODULES = {b"pandas.": "pandas.core.arrays.arrow.extension_types"}
"""The modules that register types, by how the names of these begin."""


def register_types(schema: pa.Schema) -> bool:
    """Have types registered that the schema names and a library of this environment knows; whether there were any."""
    modules = {
        module
        for field in schema
        for part in fields_within(field)
        for prefix, module in REGISTERING_MODULES.items()
        if (part.metadata or {}).get(NAME, b"").startswith(prefix)
        and importlib.util.find_spec(module.partition(".")[0])
    }
    for module in modules:
        importlib.import_module(module)
    return bool(modules)


def fields_within(field: pa.Field) -> Iterator[pa.Field]:
    """The field, and the fields in its type, also in the storage of an extension type."""
    yield field
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    for index in range(kind.num_fields):
        yield from fields_within(kind.field(index))

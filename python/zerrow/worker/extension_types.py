"""Extension types that a library registers with pyarrow only when it is used itself.

A column whose type is not registered is imported as its storage, and its field's metadata says what it was. Of a type
that is not registered within a dictionary nothing is left: `warm_up` registers what it can before.
"""

from __future__ import annotations

import importlib
import importlib.util

import pyarrow as pa

NAME = b"ARROW:extension:name"
"""The key of a field's metadata that is left where the type is not registered."""

REGISTERING_MODULES = {b"pandas.": "pandas.core.arrays.arrow.extension_types"}
"""The modules that register types, by how the names of these begin."""


def register_types(schema: pa.Schema) -> bool:
    """Have types registered that the schema names and a library of this environment knows; whether there were any."""
    modules = {
        module
        for name in _unregistered(schema)
        for prefix, module in REGISTERING_MODULES.items()
        if name.startswith(prefix) and importlib.util.find_spec(module.partition(".")[0])
    }
    for module in modules:
        importlib.import_module(module)
    return bool(modules)


def _unregistered(fields: pa.Schema | list[pa.Field]) -> set[bytes]:
    names = set()
    for field in fields:
        if field.metadata and NAME in field.metadata:
            names.add(field.metadata[NAME])
        kind = field.type
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        names |= _unregistered([kind.field(i) for i in range(kind.num_fields)])
    return names

"""Objects that models save for each other: they travel as metadata of tables (`zerrow.store`)."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence

import pyarrow as pa

PREFIX = b"zerrow:object:"


def take_objects(tables: Sequence[pa.Table]) -> dict[str, bytes]:
    """The pickles that come with tables, which the store then has; the tables are left as they are."""
    found: dict[str, bytes] = {}
    for table in tables:
        for key, value in (table.schema.metadata or {}).items():
            if key.startswith(PREFIX):
                found[key.removeprefix(PREFIX).decode()] = base64.b64decode(value)
    if found or "zerrow.store" in sys.modules:
        from zerrow import store

        store.begin(found)
    return found


def give_objects(table: pa.Table) -> pa.Table:
    """The table with the pickles that its model got and saved, and with no others."""
    store = sys.modules.get("zerrow.store")
    pickles: dict[str, bytes] = {} if store is None else store.saved()
    metadata = table.schema.metadata or {}
    plain = {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
    if not pickles and len(plain) == len(metadata):
        return table
    told = {PREFIX + name.encode(): base64.b64encode(content) for name, content in pickles.items()}
    return table.replace_schema_metadata({**plain, **told})


def without_objects(table: pa.Table) -> pa.Table:
    """The table as a model is to see it."""
    metadata = table.schema.metadata or {}
    plain = {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
    return table if len(plain) == len(metadata) else table.replace_schema_metadata(plain)

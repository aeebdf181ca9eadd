"""The note of polars in a field by which `from_arrow` gives an Enum back, kept true.

polars takes the categories of an Enum from there, in their order, and makes null of a value that is none of them. A
field keeps the note when columns are put together from several enums, which pyarrow and SQL do without looking at it.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as kinds

KEY = b"_PL_ENUM_VALUES2"
"""Its value has each category as its length in bytes, a semicolon, and the text."""


def keep_true(table: pa.Table) -> pa.Table:
    """The table with no such note at columns that have other values."""
    for index, field in enumerate(table.schema):
        if not (field.metadata and KEY in field.metadata and kinds.is_dictionary(field.type)):
            continue
        categories = _categories(field.metadata[KEY])
        if categories is None or _values(table.column(index)) <= categories:
            continue
        kept = {key: value for key, value in field.metadata.items() if key != KEY}
        table = table.set_column(index, field.with_metadata(kept or None), table.column(index))
    return table


def _categories(note: bytes) -> set[str] | None:
    """The categories of a note; None where it is of another form."""
    found = set()
    try:
        while note:
            length, _, rest = note.partition(b";")
            found.add(rest[: int(length)].decode())
            note = rest[int(length) :]
    except ValueError:
        return None
    return found


def _values(column: pa.ChunkedArray) -> set[str]:
    # Chunks of one table share their dictionary as a rule; it is looked at once.
    dictionaries: list[pa.Array] = []
    for chunk in column.chunks:
        if not dictionaries or not chunk.dictionary.equals(dictionaries[-1]):
            dictionaries.append(chunk.dictionary)
    return {value for dictionary in dictionaries for value in dictionary.to_pylist() if isinstance(value, str)}

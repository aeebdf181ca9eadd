"""The columns of a table of the catalog: how they are described, and how new rows are made to fit them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from zerrow.worker.failures import WorkerFailure

_WIDER = {
    "int64": ("int8", "int16", "int32", "uint8", "uint16", "uint32"),
    "int32": ("int8", "int16", "uint8", "uint16"),
    "double": ("float", "halffloat"),
}
"""Types of the catalog's tables, with those that widen to them without loss."""


def described(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns as the catalog notes them."""
    return [{"name": field.name, "type": type_name(field.type), "required": not field.nullable} for field in schema]


def type_name(kind: pa.DataType) -> str:
    """A type's name, the same for all layouts of the same values."""
    return str(_plain(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if kinds.is_dictionary(kind):
        return _plain(kind.value_type)
    if kinds.is_large_string(kind) or str(kind) == "string_view":
        return pa.string()
    if kinds.is_large_binary(kind) or str(kind) == "binary_view":
        return pa.binary()
    if kinds.is_list(kind) or kinds.is_large_list(kind) or "list_view" in str(kind)[:15]:
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)).with_name("item").with_nullable(True))
    if kinds.is_fixed_size_list(kind):
        item = kind.value_field.with_type(_plain(kind.value_type)).with_name("item").with_nullable(True)
        return pa.list_(item, kind.list_size)
    if kinds.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)).with_nullable(True) for field in kind])
    if kinds.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if kinds.is_timestamp(kind) and kind.tz in ("+00:00", "Etc/UTC", "Z"):
        return pa.timestamp(kind.unit, "UTC")
    return kind


def with_required(table: pa.Table, required: Collection[str]) -> pa.Table:
    """The table with columns that its model says have no nulls, where that is so."""
    schema = table.schema
    for name in required:
        place = schema.get_field_index(name)
        if place >= 0 and schema.field(place).nullable and table.column(place).null_count == 0:
            schema = schema.set(place, schema.field(place).with_nullable(False))
    return table if schema is table.schema else pa.Table.from_arrays(table.columns, schema=schema)


def fitted(table: pa.Table, fields: list[dict[str, Any]] | None, name: str) -> pa.Table:
    """The table with its columns in the order of those that rows are added to, narrower numbers widened.

    Columns that may have nulls may be missing. Raises WorkerFailure of kind `result` that sets both side by side.
    """
    if fields is None:
        return table
    own, arrays, schema = table.schema, [], []
    is_fit = set(own.names) <= {field["name"] for field in fields}
    for field in fields:
        place = own.get_field_index(field["name"])
        if place < 0:
            is_fit = is_fit and not field["required"]
            continue
        column, found = table.column(place), own.field(place)
        if type_name(found.type) != field["type"]:
            if type_name(found.type) not in _WIDER.get(field["type"], ()):
                is_fit = False
                continue
            column = column.cast(pa.type_for_alias(field["type"]))
            found = found.with_type(column.type)
        if field["required"] and column.null_count:
            is_fit = False
            continue
        arrays.append(column)
        schema.append(found.with_nullable(not field["required"]))
    if not is_fit:
        raise WorkerFailure("result", _difference(table, fields, name))
    return pa.Table.from_arrays(arrays, schema=pa.schema(schema, metadata=own.metadata))


def _difference(table: pa.Table, fields: list[dict[str, Any]], name: str) -> str:
    """The columns side by side; those that differ are marked."""
    rows = [("", "column", name, "new rows")]
    for field in fields:
        place = table.schema.get_field_index(field["name"])
        expected = field["type"] + (", no nulls" if field["required"] else "")
        if place < 0:
            mark, found = "!" if field["required"] else "", "missing"
        else:
            nulls = table.column(place).null_count
            found = type_name(table.schema.field(place).type) + (f", {nulls} nulls" if nulls else "")
            plain = type_name(table.schema.field(place).type)
            is_fit = plain == field["type"] or plain in _WIDER.get(field["type"], ())
            mark = "" if is_fit and not (field["required"] and nulls) else "!"
        rows.append((mark, field["name"], expected, found))
    known = {field["name"] for field in fields}
    rows += [
        ("!", each.name, "no such column", type_name(each.type)) for each in table.schema if each.name not in known
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return f"the new rows do not fit the table {name}:\n" + "\n".join(f"  {line}" for line in lines)

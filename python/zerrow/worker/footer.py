"""The footer of a Parquet file, and the schema of the table that it gives: scans and the planner agree on them here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zerrow.worker.parquet_tail import MAGIC, parquet_tail
from zerrow.worker.results import without_field_ids
from zerrow.worker.view_types import holds_view, is_string_view, is_view

_ARROW_KEY = b"\x18\x0cARROW:schema"
"""The key of the footer's Arrow schema as Thrift's compact protocol writes it: string, 12 bytes."""
_SKIPPED_KEYS = (b"ARROW:schema", b"arrow:schema")


class Footer:
    """The content of a file's footer. `schema` is that of the table which readers get; `metadata` is to be decoded
    with."""

    def __init__(self, content: bytes, read_dictionary: Iterable[str] = ()) -> None:
        """`content` is the end of a file, from its footer on. It need not have all columns of `read_dictionary`.

        Raises pa.ArrowException, OSError or ValueError for what can't be read.
        """
        file = _open(content)
        self.metadata: pq.FileMetaData = file.metadata
        noted = file.schema_arrow
        if any(holds_view(field.type) for field in noted):
            file = _without_arrow_schema(content, noted) or file
            self.metadata = file.metadata
        names = file.schema_arrow.names
        self.encoded = frozenset(name for name in read_dictionary if name in names)
        if self.encoded:
            file = _open(content, self.metadata, sorted(self.encoded))
        self.schema = _readable(file.schema_arrow)
        _check_names(self.schema)
        groups = [self.metadata.row_group(group) for group in range(self.metadata.num_row_groups)]
        self.group_rows = [group.num_rows for group in groups]
        if any(rows < 0 for rows in self.group_rows):
            raise ValueError("its footer says that a row group has less than no rows")

    @property
    def rows(self) -> int:
        """The rows of all row groups."""
        return sum(self.group_rows)


def footer_bytes(descriptor: int) -> bytes:
    """The end of a file from its footer on. Raises OSError, or ValueError where it is no Parquet file's."""
    size = os.fstat(descriptor).st_size
    return parquet_tail(size, lambda length: os.pread(descriptor, length, max(0, size - length)))


def common_schema(schemas: Iterable[tuple[str, pa.Schema]], fail: Callable[[str], Exception]) -> pa.Schema:
    """The schema of all files together, each given by its name and its own schema.

    A column that a file lacks is null there, numbers and times widen, and so on within lists and structs. Where types
    don't fit, raises what `fail` makes of a text that names the column and both files.
    """
    fields: dict[str, pa.Field] = {}
    origin: dict[str, str] = {}
    metadata: dict[bytes, bytes] | None = None
    seen: list[pa.Schema] = []
    for count, (file, schema) in enumerate(schemas, 1):
        # Files take turns between few schemas, if they have more than one.
        if any(schema.equals(other, check_metadata=True) for other in seen):
            continue
        seen = [*seen[-7:], schema]
        own = set(schema.names)
        fields = {name: field if name in own else field.with_nullable(True) for name, field in fields.items()}
        for field in schema:
            known = fields.get(field.name)
            if known is None:
                fields[field.name], origin[field.name] = field if count == 1 else field.with_nullable(True), file
                continue
            kind = _common_type(known.type, field.type)
            if kind is None:
                raise fail(
                    f"the column {field.name!r} is {field.type} in {file}, which does not fit {known.type} "
                    f"in {origin[field.name]}"
                )
            if kind != known.type:
                origin[field.name] = file
            fields[field.name] = known.with_type(kind).with_nullable(known.nullable or field.nullable)
        metadata = schema.metadata if count == 1 else metadata
    return pa.schema(fields.values(), metadata=metadata)


def decoded_as(schema: pa.Schema, encoded: Iterable[str]) -> pa.Schema:
    """The schema with text columns read as dictionaries."""
    for name in encoded:
        index = schema.get_field_index(name)
        if index >= 0 and not pa.types.is_dictionary(schema.field(index).type):
            schema = schema.set(index, schema.field(index).with_type(pa.dictionary(pa.int32(), pa.string())))
    return schema


def _check_names(schema: pa.Schema) -> None:
    """Raises UnicodeDecodeError or ValueError for names that can't be passed on, those of nested fields included."""
    for field in schema:
        if "\0" in f"{field.name}{field.type}":
            raise ValueError(f"the name of the column {field.name!r}, or of a field of it, has a NUL character")


def _open(content: bytes, metadata: Any = None, read_dictionary: Any = None) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(MAGIC + content), metadata=metadata, read_dictionary=read_dictionary)


def _without_arrow_schema(content: bytes, noted: pa.Schema) -> pq.ParquetFile | None:
    """The footer as if no Arrow writer had noted its types; None where that is not safe to say.

    Some writers note that strings are views. pyarrow would follow, and its compute functions refuse views. Read as
    Parquet's own types the strings are plain ones, in fewer bytes and less time than views and a cast take.
    """
    if content.count(_ARROW_KEY) != 1:
        return None
    file = _open(content.replace(_ARROW_KEY, _ARROW_KEY.lower()))
    plain = file.schema_arrow
    alike = noted.names == plain.names and all(
        _without_views(a.type) == b.type for a, b in zip(noted, plain, strict=True)
    )
    return file if alike else None


def _readable(schema: pa.Schema) -> pa.Schema:
    """The schema a reader gets: no views and no field ids."""
    schema = without_field_ids(schema)
    fields = [field.with_type(_without_views(field.type)) if holds_view(field.type) else field for field in schema]
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key not in _SKIPPED_KEYS}
    return pa.schema(fields, metadata=metadata or None)


def _without_views(kind: pa.DataType) -> pa.DataType:
    """The type with plain strings in place of views, at any depth."""
    if is_view(kind):
        return pa.string() if is_string_view(kind) else pa.binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_views(kind.value_type), kind.ordered)
    return _rebuilt(kind, [_with_type(kind.field(index), _without_views) for index in range(kind.num_fields)])


def _with_type(field: pa.Field, change: Callable[[pa.DataType], pa.DataType]) -> pa.Field:
    return field.with_type(change(field.type))


def _rebuilt(kind: pa.DataType, fields: list[pa.Field]) -> pa.DataType:
    """A nested type with other fields; the type itself where it has none, or is of a kind that no file gives."""
    if pa.types.is_struct(kind):
        return pa.struct(fields)
    if pa.types.is_map(kind):
        return pa.map_(fields[0].type.field(0), fields[0].type.field(1), keys_sorted=kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(fields[0], kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(fields[0])
    return pa.list_(fields[0]) if pa.types.is_list(kind) else kind


def _common_type(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """The type that values of both become without loss; None where there is none."""
    if a == b:
        return a
    if pa.types.is_null(a) or pa.types.is_null(b):
        return b if pa.types.is_null(a) else a
    if pa.types.is_dictionary(a) and pa.types.is_dictionary(b) and a.ordered == b.ordered:
        index = _common_type(a.index_type, b.index_type)
        value = _common_type(a.value_type, b.value_type)
        return None if index is None or value is None else pa.dictionary(index, value, a.ordered)
    if pa.types.is_dictionary(a) or pa.types.is_dictionary(b):
        return _common_type(*(kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (a, b)))
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return _common_struct(a, b)
    if _is_list(a) and _is_list(b):
        return _common_list(a, b)
    if pa.types.is_map(a) and pa.types.is_map(b):
        key, item = (_common_type(x, y) for x, y in ((a.key_type, b.key_type), (a.item_type, b.item_type)))
        return None if key is None or item is None else pa.map_(key, a.item_field.with_type(item).with_nullable(True))
    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b) and a.tz and b.tz:
        # The same moments, whatever zone they are shown in.
        return pa.timestamp(min(a.unit, b.unit, key=("ns", "us", "ms", "s").index), a.tz if a.tz == b.tz else "UTC")
    return _arrows_common_type(a, b)


def _arrows_common_type(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    try:
        both = [pa.schema([pa.field("", kind)]) for kind in (a, b)]
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None


def _common_struct(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """A struct with the fields of both; one that either lacks is null there."""
    names = [[kind.field(index).name for index in range(kind.num_fields)] for kind in (a, b)]
    if any(len(set(each)) < len(each) for each in names):
        return None
    fields = []
    for name in dict.fromkeys([*names[0], *names[1]]):
        own = [kind.field(name) for kind, each in zip((a, b), names, strict=True) if name in each]
        kind = reduce(lambda x, y: None if x is None else _common_type(x, y), (field.type for field in own))
        if kind is None:
            return None
        fields.append(pa.field(name, kind, len(own) < 2 or any(field.nullable for field in own)))
    return pa.struct(fields)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _common_list(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    value = _common_type(a.value_type, b.value_type)
    if value is None:
        return None
    field = a.value_field.with_type(value).with_nullable(a.value_field.nullable or b.value_field.nullable)
    if pa.types.is_fixed_size_list(a) and pa.types.is_fixed_size_list(b) and a.list_size == b.list_size:
        return pa.list_(field, a.list_size)
    return pa.large_list(field) if pa.types.is_large_list(a) or pa.types.is_large_list(b) else pa.list_(field)

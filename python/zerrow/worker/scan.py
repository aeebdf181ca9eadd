"""Reading a source table: Parquet files → one table of large chunks, columns and rows left out as early as can be.

Row groups are read in windows of about a million rows through a mapping of the file. Measured on TPC-H `lineitem`
against `read_table` and `dataset.to_table`, this took the least time and memory, and every buffer of the result is
large enough to be born in the arena.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from zerrow.worker.expression import columns_of, compile_filter, keep_rows, missing_column
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import is_view, rows_only, strip_field_ids

WINDOW_ROWS = 1 << 20
WINDOW_BYTES = 256 << 20
CHUNK_BYTES_MIN = 256 << 10
"""Mean bytes of a column's chunk under which the chunks of a filtered scan are combined."""

ARROW_KEY = b"\x18\x0cARROW:schema"
"""The key of the footer's Arrow schema as Thrift's compact protocol writes it: string, 12 bytes."""


def scan(task: dict[str, Any], cpus: int) -> pa.Table:
    """Run a task of kind `scan`. Raises WorkerFailure of kind `input`, which names the file."""
    files, name = task["files"], task["table"]
    if not files:
        raise WorkerFailure("input", f"the source table {name!r} has no files")
    sources = [_Source(file, task.get("dictionary") or []) for file in files]
    schema = _unify(sources)
    columns = task["columns"] if task.get("columns") is not None else schema.names
    tree = task.get("filter")
    for column in (*columns, *(columns_of(tree) if tree else ()), *(task.get("dictionary") or ())):
        if schema.get_field_index(column) < 0:
            raise missing_column(column, schema, name)
    if not columns and tree is None:
        return rows_only(sum(source.rows for source in sources))
    wanted = list(dict.fromkeys([*columns, *(columns_of(tree) if tree else ())]))
    narrow = pa.schema([schema.field(column) for column in wanted], metadata=schema.metadata)
    parts = []
    for source in sources:
        try:
            for window in source.windows(narrow, tree, name, cpus > 1):
                parts.append(window.select(columns) if columns else window)
        except (pa.ArrowException, OSError) as error:
            raise WorkerFailure("input", f"{source.path} cannot be read: {error}") from error
    result = pa.concat_tables(parts) if parts else narrow.empty_table().select(columns or narrow.names)
    if not columns:
        return rows_only(result.num_rows)
    return strip_field_ids(_tidy(result, tree is not None, bool(task.get("dictionary"))))


def _tidy(table: pa.Table, filtered: bool, has_dictionaries: bool) -> pa.Table:
    """One dictionary per column, and no crumbs: combining copies, so only what a filter left small is combined."""
    if has_dictionaries:
        table = table.unify_dictionaries()
    chunks = sum(column.num_chunks for column in table.columns)
    if filtered and chunks > table.num_columns and table.nbytes < chunks * CHUNK_BYTES_MIN:
        return table.combine_chunks()
    return table


class _Source:
    """One Parquet file."""

    def __init__(self, path: str, dictionary: list[str]) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
            noted = self._file.schema_arrow
            metadata = self._file.metadata
            if any(is_view(field.type) for field in noted):
                plain = _without_arrow_schema(path)
                if plain is not None and _same_but_views(noted, plain.schema.to_arrow_schema()):
                    metadata = plain
            encoded = [name for name in dictionary if name in noted.names]
            if encoded or metadata is not self._file.metadata:
                self._file = pq.ParquetFile(path, metadata=metadata, memory_map=True, read_dictionary=encoded)
        except FileNotFoundError as error:
            raise WorkerFailure("input", f"{path} does not exist") from error
        except (pa.ArrowException, OSError) as error:
            raise WorkerFailure("input", f"{path} cannot be read as Parquet: {error}") from error
        self.schema = _readable(self._file.schema_arrow)
        self.rows = self._file.metadata.num_rows

    def windows(self, schema: pa.Schema, tree: dict[str, Any] | None, table: str, threads: bool) -> Iterator[pa.Table]:
        """The rows of the file that pass the filter, as tables of `schema`."""
        present = [name for name in schema.names if self.schema.get_field_index(name) >= 0]
        for groups in self._batched(self._groups(tree, schema, table)):
            window = self._file.read_row_groups(groups, columns=present, use_threads=threads)
            window = _conform(window, schema)
            if tree is not None:
                window = keep_rows(window, tree, table)
            if window.num_rows:
                yield window

    def _groups(self, tree: dict[str, Any] | None, schema: pa.Schema, table: str) -> list[int]:
        """The row groups that statistics do not rule out; conjuncts that cannot be judged are passed over."""
        count = self._file.num_row_groups
        kept = set(range(count))
        if tree is None or count < 2:
            return sorted(kept)
        fragment = ds.ParquetFileFormat().make_fragment(self.path, LocalFileSystem())
        for conjunct in _conjuncts(tree):
            try:
                subset = fragment.subset(filter=compile_filter(conjunct, schema, table))
            except (pa.ArrowException, ValueError):
                continue
            kept &= {group.id for group in subset.row_groups}
        return sorted(kept)

    def _batched(self, groups: list[int]) -> Iterator[list[int]]:
        batch, rows, size = [], 0, 0
        for group in groups:
            metadata = self._file.metadata.row_group(group)
            if batch and (rows + metadata.num_rows > WINDOW_ROWS or size + metadata.total_byte_size > WINDOW_BYTES):
                yield batch
                batch, rows, size = [], 0, 0
            batch.append(group)
            rows, size = rows + metadata.num_rows, size + metadata.total_byte_size
        if batch:
            yield batch


def _without_arrow_schema(path: str) -> pq.FileMetaData | None:
    """The file's metadata as if no Arrow writer had noted its types; None where that is not safe to say.

    Some writers note that strings are views. pyarrow would follow, and its compute functions refuse views. Read as
    Parquet's own types the strings are plain ones, in fewer bytes and less time than views and a cast take.
    """
    with open(path, "rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        if file.read(4) != b"PAR1":
            return None
        file.seek(-8 - length, os.SEEK_END)
        footer = file.read(length)
    if footer.count(ARROW_KEY) != 1:
        return None
    footer = footer.replace(ARROW_KEY, ARROW_KEY.lower())
    return pq.read_metadata(io.BytesIO(b"PAR1" + footer + length.to_bytes(4, "little") + b"PAR1"))


def _same_but_views(noted: pa.Schema, plain: pa.Schema) -> bool:
    return noted.names == plain.names and all(
        is_view(a.type) or a.type == b.type for a, b in zip(noted, plain, strict=True)
    )


def _readable(schema: pa.Schema) -> pa.Schema:
    """The schema a reader gets: no views, no field ids, and none of pandas' notes about row labels."""
    fields = []
    for field in strip_field_ids(schema.empty_table()).schema:
        if is_view(field.type):
            field = field.with_type(pa.string() if pa.types.is_string_view(field.type) else pa.binary())
        fields.append(field)
    skipped = (b"pandas", b"ARROW:schema", b"arrow:schema")
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key not in skipped}
    return pa.schema(fields, metadata=metadata or None)


def _unify(sources: list[_Source]) -> pa.Schema:
    """One schema for all files: numbers widen, a column that some files lack is null there."""
    schema = sources[0].schema
    for source in sources[1:]:
        if source.schema.equals(schema, check_metadata=True):
            continue
        try:
            schema = pa.unify_schemas([schema, source.schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise WorkerFailure(
                "input", f"{source.path} does not fit the files before it ({sources[0].path} …): {error}"
            ) from error
    for source in sources:
        missing = [name for name in schema.names if source.schema.get_field_index(name) < 0]
        for name in missing:
            index = schema.get_field_index(name)
            schema = schema.set(index, schema.field(index).with_nullable(True))
    return schema


def _conform(window: pa.Table, schema: pa.Schema) -> pa.Table:
    """The window with the columns and types of `schema`; columns that have them already are not touched."""
    columns = []
    for field in schema:
        index = window.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.chunked_array([pa.nulls(window.num_rows, field.type)]))
        elif window.column(index).type == field.type:
            columns.append(window.column(index))
        else:
            columns.append(window.column(index).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _conjuncts(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if tree.get("op") != "and":
        yield tree
        return
    for part in tree["args"]:
        yield from _conjuncts(part)

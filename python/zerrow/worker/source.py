"""One Parquet file of a scan: what it holds, and its row groups decoded."""

from __future__ import annotations

import io
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from zerrow.identity import identity, is_settled
from zerrow.worker.expression import compile_filter
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import is_view, strip_field_ids

WINDOW_ROWS = 1 << 20
WINDOW_BYTES = 256 << 20

ARROW_KEY = b"\x18\x0cARROW:schema"
"""The key of the footer's Arrow schema as Thrift's compact protocol writes it: string, 12 bytes."""

DECODING = f"1 pyarrow {pa.__version__}"
"""What decodes. The number counts the ways this module has decoded a column that gave another array."""


Guard = Callable[[pa.Buffer], None]
GUARDED: list[pa.Buffer] = []
"""Mappings that have a guard: another one at their place would have it too."""


class Source:
    """A Parquet file, mapped."""

    def __init__(
        self,
        number: int,
        path: str,
        dictionary: list[str],
        known: dict[str, Any] | None,
        guard: Guard | None = None,
        constants: dict[str, pa.Scalar] | None = None,
    ) -> None:
        """Open the file with that number in the task; `known` is its identity when the run was planned, where told.

        `guard` keeps the process alive where the file is made shorter; the mapping stays for ever then. `constants` has
        the columns that its folders' names give, each with its value in every row: they take the place of columns of
        the file.
        Raises WorkerFailure of kind `input`.
        """
        self.number = number
        self.path = path
        self.constants = constants or {}
        now_ns = time.time_ns()
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.identity = identity(path, self._descriptor)
            if known is not None and known != self.identity:
                raise WorkerFailure("input", f"{path} has changed since the run was planned: run again")
            self._map(guard)
            self._open(dictionary)
        except FileNotFoundError as error:
            raise WorkerFailure("input", f"{path} does not exist") from error
        except PermissionError as error:
            raise WorkerFailure(
                "input",
                f"{path} may not be read by models, which are no user with privilege: let others read it, and enter "
                "the folders it is in",
            ) from error
        except (pa.ArrowException, OSError, ValueError) as error:
            self.check_unchanged()
            raise WorkerFailure("input", f"{path} cannot be read as Parquet: {error}") from error
        # Whether what is read of it can be told from what it may become.
        self.is_settled = known is not None and is_settled(self.identity, now_ns)

    def _map(self, guard: Guard | None) -> None:
        self._content = pa.py_buffer(mmap.mmap(self._descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ))
        if guard is not None:
            GUARDED.append(self._content)
            guard(self._content)

    def _open(self, dictionary: list[str]) -> None:
        self._file = pq.ParquetFile(pa.BufferReader(self._content))
        noted, metadata = self._file.schema_arrow, self._file.metadata
        if any(is_view(field.type) for field in noted):
            plain = _without_arrow_schema(self._content)
            if plain is not None and _same_but_views(noted, plain.schema.to_arrow_schema()):
                metadata = plain
        self.encoded = frozenset(name for name in dictionary if name in noted.names)
        if self.encoded or metadata is not self._file.metadata:
            reader = pa.BufferReader(self._content)
            self._file = pq.ParquetFile(reader, metadata=metadata, read_dictionary=sorted(self.encoded))
        self.schema = _readable(self._file.schema_arrow)
        self.group_rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.rows = metadata.num_rows

    def check_unchanged(self) -> None:
        """Raises WorkerFailure of kind `input` when the file is not what it was when it was opened."""
        known = getattr(self, "identity", None)
        if known is not None and identity(self.path, self._descriptor) != known:
            raise WorkerFailure("input", f"{self.path} changed while it was read: run again")

    def read_option(self, column: str) -> str:
        """How a column is decoded, for the cache to compare."""
        return f"{DECODING} {'dictionary' if column in self.encoded else 'plain'}"

    def decode(self, groups: Sequence[int], columns: list[str], threads: bool) -> pa.Table:
        """Columns of row groups, in the file's own types, as they are given to readers. In that order.

        Raises WorkerFailure of kind `input`.
        """
        try:
            table = self._file.read_row_groups(list(groups), columns=columns, use_threads=threads)
            return conform(table, pa.schema([self.schema.field(name) for name in columns]))
        except (pa.ArrowException, OSError) as error:
            self.check_unchanged()
            raise WorkerFailure("input", f"{self.path} cannot be read: {error}") from error

    def groups(self, tree: dict[str, Any] | None, schema: pa.Schema, table: str) -> list[int]:
        """The row groups that statistics do not rule out; conjuncts that cannot be judged are passed over."""
        kept = set(range(len(self.group_rows)))
        if tree is None or len(kept) < 2:
            return sorted(kept)
        fragment = ds.ParquetFileFormat().make_fragment(self._content)
        for conjunct in _conjuncts(tree):
            try:
                subset = fragment.subset(filter=compile_filter(conjunct, schema, table))
            except (pa.ArrowException, ValueError):
                continue
            kept &= {group.id for group in subset.row_groups}
        return sorted(kept)

    def windows(self, groups: list[int]) -> Iterator[list[int]]:
        """Row groups in their order, as many at once as make a window."""
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


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of `schema`; columns that have them already are not touched."""
    columns = []
    for field in schema:
        index = table.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        elif table.column(index).type == field.type:
            columns.append(table.column(index))
        else:
            columns.append(table.column(index).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def one_dictionary(table: pa.Table) -> pa.Table:
    """The table with one dictionary for each of its dictionary-encoded columns.

    Where all chunks of a column have equal ones already, no index is copied; else those of all chunks but the first.
    """
    for index, column in enumerate(table.columns):
        if not pa.types.is_dictionary(column.type) or column.num_chunks < 2:
            continue
        first, ordered = column.chunk(0).dictionary, column.type.ordered
        if all(chunk.dictionary.equals(first) for chunk in column.chunks):
            chunks = [
                pa.DictionaryArray.from_arrays(chunk.indices, first, ordered=ordered, safe=False)
                for chunk in column.chunks
            ]
            column = pa.chunked_array(chunks, column.type)
        else:
            column = column.unify_dictionaries()
        table = table.set_column(index, table.schema.field(index), column)
    return table


def _without_arrow_schema(content: pa.Buffer) -> pq.FileMetaData | None:
    """The file's metadata as if no Arrow writer had noted its types; None where that is not safe to say.

    Some writers note that strings are views. pyarrow would follow, and its compute functions refuse views. Read as
    Parquet's own types the strings are plain ones, in fewer bytes and less time than views and a cast take.
    """
    end = bytes(content[content.size - 8 :])
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length > content.size - 8:
        return None
    footer = bytes(content[content.size - 8 - length : content.size - 8])
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


def _conjuncts(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if tree.get("op") != "and":
        yield tree
        return
    for part in tree["args"]:
        yield from _conjuncts(part)

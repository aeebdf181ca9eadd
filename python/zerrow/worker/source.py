"""One Parquet file of a scan: its footer, and its row groups decoded."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zerrow.identity import identity, is_settled
from zerrow.worker.content import Guard, is_mapped, read_content
from zerrow.worker.failures import WorkerFailure, is_memory
from zerrow.worker.footer import Footer, footer_bytes
from zerrow.worker.parallel_columns import decode_columns

WINDOW_ROWS = 1 << 20
WINDOW_BYTES = 256 << 20
BATCH_ROWS_MIN, BATCH_ROWS_MAX = 1 << 16, 1 << 20
"""The rows that are decoded at once, at most: powers of two."""
THREADS_BYTES_MIN = 1 << 20
"""Decoded bytes under which handing columns to threads takes more time than it saves."""

Blame = Callable[[str | None], None]
"""Called with the file that is read from now on, for the case that this ends the process; None: with no file."""

Opener = Callable[[int], int]
"""Opens a file by its number in the task, read-only; raises OSError, with ESTALE for another file than the planned."""


@dataclass(frozen=True)
class Access:
    """How a scan gets at its files.

    `guard` keeps the process alive where a file is made shorter; its mapping stays for ever then. `blame` is told of
    the file that is read. `opener` opens files; without one it is done by their names.
    """

    guard: Guard | None = None
    blame: Blame | None = None
    opener: Opener | None = None


DECODING = f"1 pyarrow {pa.__version__}"
"""What decodes. The number counts the ways this module has decoded a column that gave another array."""


class Source:
    """A Parquet file. It is opened when something of it is asked for, and holds a descriptor until it is closed.

    `constants` has the columns that its folders' names give, each with its value in every row: they take the place of
    columns of the file. All methods raise WorkerFailure of kind `input`, which names the file.
    """

    def __init__(
        self,
        number: int,
        path: str,
        dictionary: list[str],
        known: dict[str, Any] | None,
        access: Access | None = None,
    ) -> None:
        """The file with that number in the task; `known` is its identity when the run was planned, where told."""
        access = access or Access()
        self.number = number
        self.path = path
        self.constants: dict[str, pa.Scalar] = {}
        self._dictionary = dictionary
        self._known = known
        self._guard = access.guard
        self._blame = access.blame or (lambda file: None)
        self._opener = access.opener
        self._identity: dict[str, Any] | None = None
        self._opened_ns = 0
        self._descriptor = -1

    @property
    def schema(self) -> pa.Schema:
        """The file's own columns, as readers get them."""
        return self._footer.schema

    @property
    def metadata(self) -> pq.FileMetaData:
        """The data of its footer about row groups."""
        return self._footer.metadata

    @property
    def group_rows(self) -> list[int]:
        """The rows of each row group."""
        return self._footer.group_rows

    @property
    def rows(self) -> int:
        """The rows of all row groups."""
        return self._footer.rows

    @property
    def is_settled(self) -> bool:
        """Whether bytes that are read of it can be told from its later states."""
        self._footer  # noqa: B018 (it has been looked at then)
        return self._known is not None and is_settled(self._identity or {}, self._opened_ns, opened=self._open)

    @property
    def is_open(self) -> bool:
        """Whether something of it was read."""
        return self._identity is not None

    @cached_property
    def _footer(self) -> Footer:
        self._opened_ns = self._opened_ns or time.time_ns()
        try:
            footer = Footer(footer_bytes(self._open()), self._dictionary)
        except WorkerFailure:
            raise
        except Exception as error:  # whatever a reader makes of bytes that anybody may have written
            raise self._failure(error, "cannot be read as Parquet") from error
        names = footer.schema.names
        if len(set(names)) < len(names):
            raise WorkerFailure("input", f"{self.path} has two columns of one name")
        return footer

    @cached_property
    def _content(self) -> pa.Buffer:
        descriptor = self._open()
        try:
            return read_content(descriptor, self._identity["bytes"], self._guard)
        except (OSError, ValueError) as error:
            raise self._failure(error, "cannot be read") from error

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return self._reader()

    def _reader(self) -> pq.ParquetFile:
        """A reader of the file's own, which shares the footer with others."""
        footer = self._footer
        try:
            reader = pa.BufferReader(self._content)
            return pq.ParquetFile(reader, metadata=footer.metadata, read_dictionary=sorted(footer.encoded))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._failure(error, "cannot be read as Parquet") from error

    def _open(self) -> int:
        """The file's descriptor; it is the file that the plan was made for."""
        if self._descriptor >= 0:
            return self._descriptor
        self._blame(self.path)
        try:
            if self._opener is not None:
                self._descriptor = self._opener(self.number)
            else:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            found = identity(self.path, self._descriptor)
        except FileNotFoundError as error:
            what = "does not exist" if self._identity is None else "changed while it was read: run again"
            raise WorkerFailure("input", f"{self.path} {what}") from error
        except PermissionError as error:
            raise WorkerFailure(
                "input",
                f"{self.path} may not be read by the user who runs this: change its permissions, or those of its "
                "folders",
            ) from error
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ESTALE:
                what = (
                    "has changed since the run was planned" if self._identity is None else "changed while it was read"
                )
                raise WorkerFailure("input", f"{self.path} {what}: run again") from error
            raise WorkerFailure("input", f"{self.path} cannot be read: {error}") from error
        if self._identity is not None and found != self._identity:
            raise WorkerFailure("input", f"{self.path} changed while it was read: run again")
        if self._known is not None and found != self._known:
            raise WorkerFailure("input", f"{self.path} has changed since the run was planned: run again")
        self._identity = found
        return self._descriptor

    def check(self) -> None:
        """The file must be the one that was planned with, and what it was the last time. It is closed then."""
        self._open()
        self.close()

    def close(self) -> None:
        """Let go of the descriptor and of what was read. The file must still be what it was when it was opened."""
        self.check_unchanged()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.__dict__.pop("_file", None)
        content = self.__dict__.get("_content")
        if content is not None and not is_mapped(content):
            del self._content

    def check_unchanged(self) -> None:
        """The file must be what it was when it was opened."""
        if self._descriptor >= 0 and identity(self.path, self._descriptor) != self._identity:
            raise WorkerFailure("input", f"{self.path} changed while it was read: run again")

    def read_option(self, column: str) -> str:
        """How a column is decoded, for the cache to compare."""
        return f"{DECODING} {'dictionary' if column in self._footer.encoded else 'plain'}"

    def decode(self, groups: Sequence[int], columns: list[str], threads: bool) -> pa.Table:
        """Columns of row groups, in the file's own types, as they are given to readers. In that order."""
        threads = threads and sum(self.metadata.row_group(each).total_byte_size for each in groups) >= THREADS_BYTES_MIN
        rows = sum(self.group_rows[group] for group in groups)
        try:
            table = self._decoded(list(groups), rows, columns, threads)
            table = conform(table, pa.schema([self.schema.field(name) for name in columns]))
        except WorkerFailure:
            raise
        except Exception as error:  # whatever a reader makes of bytes that anybody may have written
            self.check_unchanged()
            raise self._failure(error, f"cannot be read{self._culprit(groups, columns)}") from error
        if table.num_rows != rows:
            self.check_unchanged()
            message = f"{self.path} cannot be read: it has {table.num_rows} rows where its footer says {rows}"
            raise WorkerFailure("input", message)
        return table

    def decode_in_parts(
        self, groups: Sequence[int], columns: list[str], rows_max: int, threads: bool
    ) -> Iterator[pa.Table]:
        """The same a few rows at a time, as tables of `rows_max` rows at most: a row group may be large."""
        schema = pa.schema([self.schema.field(name) for name in columns])
        rows = 0
        try:
            batches = self._file.iter_batches(rows_max, list(groups), columns, use_threads=threads)
        except Exception as error:
            self.check_unchanged()
            raise self._failure(error, "cannot be read") from error
        while True:
            try:
                self._blame(self.path)
                batch = next(batches, None)
                if batch is None:
                    break
                table = conform(pa.Table.from_batches([batch]), schema)
            except WorkerFailure:
                raise
            except Exception as error:  # whatever a reader makes of bytes that anybody may have written
                self.check_unchanged()
                raise self._failure(error, f"cannot be read{self._culprit(groups, columns)}") from error
            rows += table.num_rows
            yield table
        if rows != sum(self.group_rows[group] for group in groups):
            self.check_unchanged()
            raise WorkerFailure(
                "input", f"{self.path} cannot be read: it has {rows} rows where its footer says more or fewer"
            )

    def let_go(self) -> None:
        """Close the descriptor, also where not all was read, without a look at what the file is now."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.__dict__.pop("_file", None)

    def _decoded(self, groups: list[int], rows: int, columns: list[str], threads: bool) -> pa.Table:
        """Columns of row groups as pyarrow gives them, many rows in batches of a power of two.

        pyarrow takes room for a power of two of values and gives back what is too much, and that leaves holes: a
        quarter of the memory of row groups of 1.5 million rows.
        """
        size = sum(self.metadata.row_group(group).total_byte_size for group in groups)
        batch = BATCH_ROWS_MAX
        while batch > BATCH_ROWS_MIN and batch * size > WINDOW_BYTES * rows:
            batch //= 2
        # The chunks of a dictionary end where its pages do, and a batch ends with any of its chunks.
        plain = [name for name in columns if not holds_dictionary(self.schema.field(name).type)]
        if rows <= batch or not plain:
            return self._file.read_row_groups(groups, columns=columns, use_threads=threads)
        if threads and len(plain) > 1:
            table = pa.table(decode_columns(self._reader, groups, plain, batch, pa.cpu_count()))
        else:
            table = pa.Table.from_batches(
                self._file.iter_batches(batch, row_groups=groups, columns=plain, use_threads=threads)
            )
        encoded = [name for name in columns if name not in plain]
        if encoded:
            rest = self._file.read_row_groups(groups, columns=encoded, use_threads=threads)
            for name in encoded:
                table = table.append_column(rest.schema.field(name), rest.column(name))
        return table

    def _culprit(self, groups: Sequence[int], columns: list[str]) -> str:
        """The column that can't be decoded, for a message; nothing where each one can."""
        for name in columns:
            try:
                table = self._file.read_row_groups(list(groups), columns=[name], use_threads=False)
                conform(table, pa.schema([self.schema.field(name)]))
            except Exception:
                return f", in the column {name!r}"
        return ""

    def fit(self, table: pa.Table, schema: pa.Schema) -> pa.Table:
        """The table, which holds some of the file's rows, with the columns and types that all files have together."""
        for field in schema:
            index = table.schema.get_field_index(field.name)
            if index < 0 or table.schema.field(index).type == field.type:
                continue
            try:
                table = table.set_column(index, field, _cast(table.column(index), field.type))
            except Exception as error:
                message = (
                    f"{self.path} does not fit the other files, in the column {field.name!r}, which is {field.type}"
                )
                raise WorkerFailure("input", f"{message} there: {error}") from error
        return conform(table, schema)

    def _failure(self, error: Exception, what: str) -> WorkerFailure:
        kind = "memory" if is_memory(error) or isinstance(error, pa.ArrowMemoryError) else "input"
        text = " ".join(str(error).split())[:500] or type(error).__name__
        return WorkerFailure(kind, f"{self.path} {what}: {text}")

    def windows(self, groups: list[int]) -> Iterator[list[int]]:
        """Row groups in their order, as many at once as make a window."""
        batch, rows, size = [], 0, 0
        for group in groups:
            metadata = self.metadata.row_group(group)
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
            columns.append(_cast(table.column(index), field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def holds_dictionary(kind: pa.DataType) -> bool:
    """Whether a type is a dictionary, or has one in it."""
    if pa.types.is_dictionary(kind):
        return True
    return any(holds_dictionary(kind.field(index).type) for index in range(kind.num_fields))


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    return column.cast(kind)


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

"""Reading a source table: Parquet files → one table of large chunks, columns and rows left out as early as can be.

Rows are decoded about a million at a time through a mapping of the file; for a filter, whole row groups. Measured on
TPC-H `lineitem` against `read_table` and `dataset.to_table`, this took the least time and memory, and every buffer of
the result is large enough to be born in the arena.

Where there is a cache, its columns are used as they lie, and only the rest is decoded: whole columns of row groups, as
a filter is applied after that. Row groups that a filter rules out by the file's statistics are neither read nor wanted.
"""

from __future__ import annotations

import base64
import heapq
import resource
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from zerrow.worker import pandas_metadata
from zerrow.worker.blocks import Block, Piece
from zerrow.worker.content import Guard
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.footer import common_schema, decoded_as
from zerrow.worker.partitions import constant_column, read_partitions, with_partitions
from zerrow.worker.predicate import Predicate, keep_rows, missing_column
from zerrow.worker.results import rows_only, strip_field_ids
from zerrow.worker.source import Access, Blame, Opener, Source, one_dictionary
from zerrow.worker.statistics import groups_kept

CHUNK_BYTES_MIN = 256 << 10
"""Mean bytes of a column's chunk under which the chunks of a filtered scan are combined."""
RUN_PARTS_MAX = 256
"""More small parts than this in a row are combined: each is copied anyway when it is published."""
PIECES_MAX = 256
"""The most pieces that a scan gives to the cache: the engine has more to do for each than small ones are worth."""
RUN_BYTES_MAX = 16 << 20
"""The most bytes that are combined at once."""


class Cache(Protocol):
    """A cache of decoded columns, as a scan needs it; `Exchange` is one."""

    bytes_max: int
    """The most memory to keep for the cache alone."""

    def ask(self, wants: list[Block]) -> list[tuple[Block, pa.Table]]:
        """Tables that hold some of the wanted columns of row groups."""
        ...

    def count(self, reused_units: int, decoded_units: int) -> None:
        """Note how many columns of row groups came from the cache, and how many were decoded."""
        ...

    def give(self, piece: Piece) -> None:
        """Keep a piece that was decoded."""
        ...


def scan(
    task: dict[str, Any],
    cpus: int,
    cache: Cache | None = None,
    guard: Guard | None = None,
    blame: Blame | None = None,
    opener: Opener | None = None,
) -> pa.Table:
    """Run a task of kind `scan`. Raises WorkerFailure of kind `input`, which names the file.

    A `guard` is told of each mapping of a file before it is read, and `blame` of the file that is read. An `opener`
    opens the files by their numbers in the task; without one they are opened by their names.
    """
    try:
        return _run(task, cpus, cache, Access(guard, blame, opener))
    finally:
        if blame is not None:
            blame(None)


def _run(task: dict[str, Any], cpus: int, cache: Cache | None, access: Access) -> pa.Table:
    files, name = task["files"], task["table"]
    if not files:
        raise WorkerFailure("input", f"the source table {name!r} has no files")
    known = task.get("identities") or [None] * len(files)
    dictionary, partitions = task.get("dictionary") or [], task.get("partitions") or {}
    sources = [Source(number, path, dictionary, known[number], access) for number, path in enumerate(files)]
    schema = planned_schema(task.get("schema"), sources, partitions)
    for source, constants in zip(sources, read_partitions(partitions, schema, len(files)), strict=True):
        source.constants = constants
    columns = task["columns"] if task.get("columns") is not None else schema.names
    predicate = Predicate.of(task.get("filter"), name)
    for column in (*columns, *(predicate.columns if predicate else ()), *dictionary):
        if schema.get_field_index(column) < 0:
            raise missing_column(column, schema, name)
    if columns or predicate is not None:
        schema = decoded_as(schema, dictionary)
        result = _Scan(sources, schema, columns, predicate, cpus, cache).run()
        if not columns:
            return result
        result = strip_field_ids(_tidy(result, predicate is not None))
        if predicate is not None or len(sources) > 1:
            result = pandas_metadata.without_count(result)
        return pandas_metadata.keep_true(result)
    rows = 0
    for source in sources:
        rows += source.rows
        source.close()
    return rows_only(rows)


def planned_schema(planned: str | None, sources: list[Source], partitions: dict[str, Any]) -> pa.Schema:
    """The columns of all files together: as the plan has them, or else as their footers say."""
    if planned is not None:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(planned)))
    own = []
    for source in sources:
        own.append((source.path, source.schema))
        source.close()
    return with_partitions(common_schema(own, lambda message: WorkerFailure("input", message)), partitions)


class _Scan:
    """Columns and rows of files of one schema."""

    def __init__(
        self,
        sources: list[Source],
        schema: pa.Schema,
        columns: list[str],
        predicate: Predicate | None,
        cpus: int,
        cache: Cache | None,
    ) -> None:
        wanted = list(dict.fromkeys([*columns, *(predicate.columns if predicate else ())]))
        self._schema = pa.schema([schema.field(column) for column in wanted], metadata=schema.metadata)
        self._columns, self._predicate, self._cpus = columns, predicate, cpus
        self._cache = cache
        kept = zip(sources, groups_kept(sources, predicate, self._schema), strict=True)
        self._files = [_File(source, self._schema, groups, cpus > 1) for source, groups in kept]
        self._room_bytes = cache.bytes_max if cache else 0

    def run(self) -> pa.Table:
        self._ask()
        windows = self._windows()
        if self._predicate is not None:
            windows = self._kept(gathered(windows, 1))
        parts = list(gathered(windows, RUN_PARTS_MAX))
        if self._cache:
            for file in self._files:
                self._cache.count(file.reused_units, file.decoded_units)
            for piece in self._pieces():
                self._cache.give(piece)
        result = pa.concat_tables(parts) if parts else self._nothing()
        return result if self._columns else rows_only(result.num_rows)

    def _nothing(self) -> pa.Table:
        """The result without a row. Not every type has an `empty_table`."""
        fields = [self._schema.field(name) for name in self._columns or self._schema.names]
        columns = [pa.nulls(0, field.type) for field in fields]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=self._schema.metadata))

    def _pieces(self) -> list[Piece]:
        """The pieces that others may have use for. Each takes a descriptor: of many, the largest ones are given."""
        pieces = [piece for file in self._files for piece in file.to_give()]
        most = min(PIECES_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        if len(pieces) <= most:
            return pieces
        largest = {id(piece) for piece in heapq.nlargest(most, pieces, key=lambda piece: piece.table.nbytes)}
        return [piece for piece in pieces if id(piece) in largest]

    def _is_shared(self, file: _File) -> bool:
        """Whether the cache has a part in a file. One of many small ones costs less to read than to ask for."""
        if self._cache is None or not file.groups or not file.source.is_settled:
            return False
        return len(self._files) <= PIECES_MAX or file.stored_bytes >= CHUNK_BYTES_MIN

    def _ask(self) -> None:
        if self._cache is None:
            return
        wants = [block for file in self._files if self._is_shared(file) for block in file.wants()]
        for block, table in self._cache.ask(wants) if wants else ():
            if block.file >= len(self._files):
                raise WorkerFailure("internal", f"a piece is of file {block.file} of {len(self._files)}")
            self._files[block.file].hold(block, table)

    def _windows(self) -> Iterator[pa.Table]:
        """All that the filter's statistics leave, in the scan's schema, file by file."""
        for file in self._files:
            yield from self._read(file)
            if file.source.is_open:
                file.source.close()
            if not self._is_shared(file):
                file.forget_all()

    def _read(self, file: _File) -> Iterator[pa.Table]:
        if self._predicate is None:
            file.decode(file.groups)
            # As one, so that a dictionary that is made one for the cache is the result's as well.
            file.merge()
            if file.groups:
                yield file.source.fit(file.assemble(file.groups), self._schema)
            return
        for groups in file.source.windows(file.groups):
            decoded = file.decode(groups)
            window = file.source.fit(file.assemble(groups), self._schema)
            size = sum(piece.table.nbytes for piece in decoded)
            if self._cache is None or size > self._room_bytes:
                file.forget(decoded)
            else:
                self._room_bytes -= size
            yield window
        file.merge()

    def _kept(self, windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The rows that the filter keeps, with the columns that are asked for."""
        for window in windows:
            kept = keep_rows(window, self._predicate, self._cpus)
            if kept.num_rows:
                yield kept.select(self._columns) if self._columns else kept


class _File:
    """The columns and row groups that are wanted of a file, and the pieces that hold them."""

    def __init__(self, source: Source, schema: pa.Schema, groups: list[int], threads: bool) -> None:
        self.source = source
        self.groups = groups
        self.reused_units = 0
        self.decoded_units = 0
        # A file without a row that is wanted is not looked into.
        own = source.schema.names if groups else ()
        self._names = [name for name in schema.names if name in own and name not in source.constants]
        self._constants = {name: value for name, value in source.constants.items() if name in schema.names}
        self._kinds = {name: schema.field(name).type for name in self._constants}
        self._threads = threads
        # The piece to take each column of each row group from.
        self._places: dict[str, dict[int, Piece]] = {name: {} for name in self._names}
        self._own: list[Piece] = []

    @property
    def stored_bytes(self) -> int:
        """The bytes of its wanted row groups, all columns, once decompressed."""
        return sum(self.source.metadata.row_group(group).total_byte_size for group in self.groups)

    def wants(self) -> list[Block]:
        """The blocks that the cache could have: at most one for each way of decoding."""
        names: dict[str, list[str]] = {}
        for name in self._names if self.groups else ():
            names.setdefault(self.source.read_option(name), []).append(name)
        groups = tuple(self.groups)
        return [Block(self.source.number, read, tuple(group), groups) for read, group in names.items()]

    def hold(self, block: Block, table: pa.Table) -> None:
        """Take in a table of the cache, for what isn't held yet. Raises WorkerFailure of kind `internal`."""
        piece = Piece(block, table, self.source.group_rows)
        for name in block.columns:
            if name not in self._places or self.source.read_option(name) != block.read:
                continue
            if table.column(name).type != self.source.schema.field(name).type:
                raise WorkerFailure("internal", f"a piece has another type of {name!r} than {self.source.path}")
            for group in set(block.groups).intersection(self.groups):
                if group not in self._places[name]:
                    self._places[name][group] = piece
                    self.reused_units += 1

    def decode(self, groups: list[int]) -> list[Piece]:
        """Decode the columns of some row groups that no piece holds; the new pieces."""
        lacking: dict[tuple[int, ...], list[str]] = {}
        for name in self._names:
            lack = tuple(group for group in groups if group not in self._places[name])
            if lack:
                lacking.setdefault(lack, []).append(name)
        new = []
        for lack, names in lacking.items():
            table = self.source.decode(lack, names, self._threads)
            self.decoded_units += len(lack) * len(names)
            for read in sorted({self.source.read_option(name) for name in names}):
                own = tuple(name for name in names if self.source.read_option(name) == read)
                new.append(self._place(Block(self.source.number, read, own, lack), table.select(own)))
        self._own += new
        return new

    def _place(self, block: Block, table: pa.Table) -> Piece:
        piece = Piece(block, table, self.source.group_rows)
        for name in block.columns:
            self._places[name].update(dict.fromkeys(block.groups, piece))
        return piece

    def forget(self, pieces: list[Piece]) -> None:
        """Let go of pieces that this scan decoded and no longer needs."""
        for piece in pieces:
            self._own.remove(piece)
            for name in piece.block.columns:
                for group in piece.block.groups:
                    del self._places[name][group]

    def forget_all(self) -> None:
        """Let go of everything."""
        self._own = []
        self._places = {}

    def merge(self) -> None:
        """Make one piece of all pieces that this scan decoded of the same columns, with one dictionary for each
        column."""
        alike: dict[tuple[str, tuple[str, ...]], list[Piece]] = {}
        for piece in self._own:
            alike.setdefault((piece.block.read, piece.block.columns), []).append(piece)
        self._own = []
        for (read, columns), pieces in alike.items():
            groups = tuple(group for piece in pieces for group in piece.block.groups)
            table = one_dictionary(pa.concat_tables([piece.table for piece in pieces]))
            self._own.append(self._place(Block(self.source.number, read, columns, groups), table))

    def to_give(self) -> list[Piece]:
        """The pieces that this scan decoded."""
        return self._own

    def assemble(self, groups: Sequence[int]) -> pa.Table:
        """Row groups as one table, in the file's types. Its columns are where they are held."""
        rows = sum(self.source.group_rows[group] for group in groups)
        columns = {name: pa.chunked_array(self._chunks(name, groups), self._type(name)) for name in self._names}
        for name, value in self._constants.items():
            columns[name] = pa.chunked_array([constant_column(value, rows, self._kinds[name])])
        return pa.table(columns) if columns else rows_only(rows)

    def _type(self, name: str) -> pa.DataType:
        return self.source.schema.field(name).type

    def _chunks(self, name: str, groups: Sequence[int]) -> Iterator[pa.Array]:
        """A column's arrays, in as few slices as can be."""
        places = self._places[name]
        piece, start, stop = None, 0, 0
        for group in groups:
            place, rows = places[group], self.source.group_rows[group]
            if place is not piece or place.starts[group] != stop:
                if piece is not None:
                    yield from piece.table.column(name).slice(start, stop - start).chunks
                piece, start = place, place.starts[group]
                stop = start
            stop += rows
        if piece is not None:
            yield from piece.table.column(name).slice(start, stop - start).chunks


def gathered(parts: Iterator[pa.Table], parts_max: int) -> Iterator[pa.Table]:
    """The parts of a table in their order: where more small ones than that follow each other, as few large ones."""
    run: list[pa.Table] = []
    size = 0
    for part in parts:
        own = part.nbytes
        if own >= CHUNK_BYTES_MIN * max(1, part.num_columns):
            yield from _combined(run, parts_max)
            run, size = [], 0
            yield part
            continue
        run.append(part)
        size += own
        if size >= RUN_BYTES_MAX:
            yield from _combined(run, parts_max)
            run, size = [], 0
    yield from _combined(run, parts_max)


def _combined(run: list[pa.Table], parts_max: int) -> list[pa.Table]:
    return [pa.concat_tables(run).combine_chunks()] if len(run) > parts_max else run


def _tidy(table: pa.Table, filtered: bool) -> pa.Table:
    """One dictionary per column, and no crumbs: combining copies, so only what a filter left small is combined."""
    table = one_dictionary(table)
    chunks = sum(column.num_chunks for column in table.columns)
    if filtered and chunks > table.num_columns and table.nbytes < chunks * CHUNK_BYTES_MIN:
        return table.combine_chunks()
    return table

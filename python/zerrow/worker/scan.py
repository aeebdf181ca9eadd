"""Reading a source table: Parquet files → one table of large chunks, columns and rows left out as early as can be.

Row groups are read in windows of about a million rows through a mapping of the file. Measured on TPC-H `lineitem`
against `read_table` and `dataset.to_table`, this took the least time and memory, and every buffer of the result is
large enough to be born in the arena.

Where there is a cache, what it has is used as it lies, and only the rest is decoded: whole columns of row groups, as a
filter is applied after that. Row groups that a filter rules out by the file's statistics are neither read nor wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from zerrow.worker.blocks import Block, Piece
from zerrow.worker.expression import columns_of, keep_rows, missing_column
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.partitions import constant_column, read_partitions
from zerrow.worker.results import rows_only, strip_field_ids
from zerrow.worker.source import Guard, Source, conform, one_dictionary

CHUNK_BYTES_MIN = 256 << 10
"""Mean bytes of a column's chunk under which the chunks of a filtered scan are combined."""


class Cache(Protocol):
    """What a scan needs of a cache of decoded columns; `Exchange` is one."""

    bytes_max: int
    """The most memory to keep for the cache alone."""

    def ask(self, wants: list[Block]) -> list[tuple[Block, pa.Table]]:
        """Tables that hold some of what is wanted."""
        ...

    def count(self, reused_units: int, decoded_units: int) -> None:
        """Note how many columns of row groups came from the cache, and how many were decoded."""
        ...

    def give(self, piece: Piece) -> None:
        """Keep what was decoded."""
        ...


def scan(task: dict[str, Any], cpus: int, cache: Cache | None = None, guard: Guard | None = None) -> pa.Table:
    """Run a task of kind `scan`. Raises WorkerFailure of kind `input`, which names the file.

    A `guard` is told of each mapping of a file before it is read.
    """
    files, name = task["files"], task["table"]
    if not files:
        raise WorkerFailure("input", f"the source table {name!r} has no files")
    known = task.get("identities") or [None] * len(files)
    dictionary = task.get("dictionary") or []
    constants = read_partitions(task.get("partitions") or {}, len(files))
    sources = [
        Source(number, path, dictionary, known[number], guard, constants[number]) for number, path in enumerate(files)
    ]
    schema = _with_partitions(_unify(sources), sources)
    columns = task["columns"] if task.get("columns") is not None else schema.names
    tree = task.get("filter")
    for column in (*columns, *(columns_of(tree) if tree else ()), *dictionary):
        if schema.get_field_index(column) < 0:
            raise missing_column(column, schema, name)
    if not columns and tree is None:
        result = rows_only(sum(source.rows for source in sources))
    else:
        result = _Scan(sources, schema, columns, tree, name, cpus > 1, cache).run()
        if columns:
            result = strip_field_ids(_tidy(result, tree is not None))
    for source in sources:
        source.check_unchanged()
    return result


class _Scan:
    """Columns and rows of files of one schema."""

    def __init__(
        self,
        sources: list[Source],
        schema: pa.Schema,
        columns: list[str],
        tree: dict[str, Any] | None,
        name: str,
        threads: bool,
        cache: Cache | None,
    ) -> None:
        wanted = list(dict.fromkeys([*columns, *(columns_of(tree) if tree else ())]))
        self._schema = pa.schema([schema.field(column) for column in wanted], metadata=schema.metadata)
        self._columns, self._tree, self._name = columns, tree, name
        self._cache = cache
        self._files = [_File(source, wanted, source.groups(tree, self._schema, name), threads) for source in sources]
        self._room_bytes = cache.bytes_max if cache else 0

    def run(self) -> pa.Table:
        self._ask()
        parts: list[pa.Table] = []
        for file in self._files:
            parts += self._read(file)
        if self._cache:
            for file in self._files:
                self._cache.count(file.reused_units, file.decoded_units)
                for piece in file.to_give() if file.source.is_settled else ():
                    self._cache.give(piece)
        empty = self._schema.empty_table().select(self._columns or self._schema.names)
        result = pa.concat_tables(parts) if parts else empty
        return result if self._columns else rows_only(result.num_rows)

    def _ask(self) -> None:
        if self._cache is None:
            return
        wants = [block for file in self._files if file.source.is_settled for block in file.wants()]
        for block, table in self._cache.ask(wants) if wants else ():
            if block.file >= len(self._files):
                raise WorkerFailure("internal", f"a piece is of file {block.file} of {len(self._files)}")
            self._files[block.file].hold(block, table)

    def _read(self, file: _File) -> Iterator[pa.Table]:
        """The rows of a file that are wanted, in the scan's schema."""
        if self._tree is None:
            for groups in file.source.windows(file.groups):
                file.decode(groups)
            # As one, so that a dictionary that is made one for the cache is the result's as well.
            file.merge()
            if file.groups:
                yield conform(file.assemble(file.groups), self._schema).select(self._columns)
            return
        for groups in file.source.windows(file.groups):
            decoded = file.decode(groups)
            window = keep_rows(conform(file.assemble(groups), self._schema), self._tree, self._name)
            size = sum(piece.table.nbytes for piece in decoded)
            if self._cache is None or size > self._room_bytes:
                file.forget(decoded)
            else:
                self._room_bytes -= size
            if window.num_rows:
                yield window.select(self._columns) if self._columns else window
        file.merge()


class _File:
    """What is wanted of a file, what is held of that, and where."""

    def __init__(self, source: Source, wanted: list[str], groups: list[int], threads: bool) -> None:
        self.source = source
        self.groups = groups
        self.reused_units = 0
        self.decoded_units = 0
        self._names = [
            name for name in wanted if name not in source.constants and source.schema.get_field_index(name) >= 0
        ]
        self._constants = {name: source.constants[name] for name in wanted if name in source.constants}
        self._threads = threads
        # The piece to take each column of each row group from.
        self._places: dict[str, dict[int, Piece]] = {name: {} for name in self._names}
        self._own: list[Piece] = []

    def wants(self) -> list[Block]:
        """What the cache could have: at most one block for each way of decoding."""
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
        """Decode what nobody holds of some row groups; the new pieces."""
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
        """Let go of pieces that this scan decoded and that it needs no more."""
        for piece in pieces:
            self._own.remove(piece)
            for name in piece.block.columns:
                for group in piece.block.groups:
                    del self._places[name][group]

    def merge(self) -> None:
        """Make one piece of all that this scan decoded of the same columns, with one dictionary for each."""
        alike: dict[tuple[str, tuple[str, ...]], list[Piece]] = {}
        for piece in self._own:
            alike.setdefault((piece.block.read, piece.block.columns), []).append(piece)
        self._own = []
        for (read, columns), pieces in alike.items():
            groups = tuple(group for piece in pieces for group in piece.block.groups)
            table = one_dictionary(pa.concat_tables([piece.table for piece in pieces]))
            self._own.append(self._place(Block(self.source.number, read, columns, groups), table))

    def to_give(self) -> list[Piece]:
        """What this scan decoded."""
        return self._own

    def assemble(self, groups: Sequence[int]) -> pa.Table:
        """Row groups as one table, in the file's types. Its columns are where they are held."""
        rows = sum(self.source.group_rows[group] for group in groups)
        columns = {name: pa.chunked_array(self._chunks(name, groups), self._type(name)) for name in self._names}
        for name, value in self._constants.items():
            columns[name] = pa.chunked_array([constant_column(value, rows)])
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


def _tidy(table: pa.Table, filtered: bool) -> pa.Table:
    """One dictionary per column, and no crumbs: combining copies, so only what a filter left small is combined."""
    table = one_dictionary(table)
    chunks = sum(column.num_chunks for column in table.columns)
    if filtered and chunks > table.num_columns and table.nbytes < chunks * CHUNK_BYTES_MIN:
        return table.combine_chunks()
    return table


def _with_partitions(schema: pa.Schema, sources: list[Source]) -> pa.Schema:
    """The schema with the columns that folders' names give: in the place of a file's column, or else behind them."""
    names = dict.fromkeys(name for source in sources for name in source.constants)
    for name in names:
        field = pa.field(name, next(source.constants[name].type for source in sources if name in source.constants))
        index = schema.get_field_index(name)
        schema = schema.append(field) if index < 0 else schema.set(index, field)
    return schema


def _unify(sources: list[Source]) -> pa.Schema:
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

"""Inputs that a Python model asked for as streams: readers that give a table batch by batch, in constant memory.

Of a source the worker reads the files itself, a few rows of a row group at a time; of another model's table the batches
are slices where they lie. Either has the rows, the order and the types of the table that the model would get otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from zerrow.worker import pandas_metadata
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.footer import decoded_as
from zerrow.worker.partitions import constant_column, read_partitions
from zerrow.worker.predicate import Predicate, keep_rows, missing_column
from zerrow.worker.promises import check_input
from zerrow.worker.results import rows_only, without_field_ids
from zerrow.worker.scan import gathered, planned_schema
from zerrow.worker.source import Source
from zerrow.worker.statistics import groups_kept
from zerrow.worker.streamed import StreamedSource
from zerrow.worker.widening import widened

BATCH_BYTES = 16 << 20
"""About how much of a file, decompressed, a batch has at most."""
BATCH_ROWS_MAX = 1 << 17
BATCH_ROWS_MIN = 1 << 10
SLICE_ROWS = 1 << 20
"""The most rows of a batch that is a slice of a table."""


class RowStream:
    """An argument that is a stream. What fails while it is read is its failure, whoever catches the exception."""

    def __init__(
        self,
        schema: pa.Schema,
        parts: Iterator[pa.Table],
        argument: dict[str, Any],
        notes: list[str],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`parts` are tables of that schema; `notes` gets what of them is only to be warned about. `check` is called at
        the end, when parts may be left.

        Raises WorkerFailure of kind `input` for a schema that is not as the argument's contract says.
        """
        self._argument, self._notes, self._parts, self._check_end = argument, notes, parts, check
        self._contract = argument.get("contract")
        self._is_checked = self._contract is not None
        self.failure: BaseException | None = None
        empty = without_rows(schema)
        self._schema = widened(empty, self._contract).schema
        self._check(widened(empty, self._contract))
        self._batches = self._read()
        self.reader = pa.RecordBatchReader.from_batches(self._schema, self._batches)

    def _check(self, part: pa.Table) -> None:
        """What is to be warned about is told once."""
        problem = check_input(part, self._argument) if self._is_checked else None
        if problem is not None:
            self._notes.append(problem)
            self._is_checked = False

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            for part in self._parts:
                fitting = widened(part, self._contract)
                self._check(fitting)
                columns = fitting.columns
                if [column.type for column in columns] != self._schema.types:
                    name = self._argument.get("table") or self._argument["name"]
                    raise WorkerFailure(
                        "input", f"the table {name!r} has a moment that its schema's unit does not reach"
                    )
                if columns:
                    fitting = pa.Table.from_arrays(columns, schema=self._schema)
                yield from fitting.to_batches()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def close(self) -> None:
        """End reading, whether all was read or not. Raises what failed, also what the model has caught."""
        if self.failure is not None:
            raise self.failure.with_traceback(None) from None
        self._check_end()
        self._batches.close()


def without_rows(schema: pa.Schema) -> pa.Table:
    """A table without a row. Not every type has an `empty_table`."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def table_stream(
    table: pa.Table, argument: dict[str, Any], narrow: Callable[[pa.Table], pa.Table], notes: list[str]
) -> RowStream:
    """A table as a stream of slices, each without the columns and rows that `narrow` leaves out."""
    schema = pandas_metadata.without_count(narrow(table.slice(0, 0))).schema

    def parts() -> Iterator[pa.Table]:
        if not table.num_columns:
            yield table
            return
        for batch in table.to_batches(max_chunksize=SLICE_ROWS):
            part = narrow(pa.Table.from_batches([batch], schema=table.schema))
            if part.num_rows:
                yield part

    return RowStream(schema, parts(), argument, notes)


def source_stream(source: StreamedSource, argument: dict[str, Any], cpus: int, notes: list[str]) -> RowStream:
    """A source as a stream. Raises WorkerFailure of kind `input`, as reading it does, which names the file."""
    rows = _SourceRows(source, cpus)
    return RowStream(rows.schema, rows.parts(), argument, notes, rows.check)


class _SourceRows:
    """The rows of a source's files, in their order, with the columns and rows that a scan of it would give."""

    def __init__(self, source: StreamedSource, cpus: int) -> None:
        task, self._cpus = source.task, cpus
        self._files, self._source = source.files, source
        partitions, dictionary = task.get("partitions") or {}, task.get("dictionary") or []
        whole = planned_schema(task.get("schema"), self._files, partitions)
        for file, constants in zip(self._files, read_partitions(partitions, whole, len(self._files)), strict=True):
            file.constants = constants
        columns = task["columns"] if task.get("columns") is not None else whole.names
        self._predicate = Predicate.of(task.get("filter"), task["table"])
        wanted = list(dict.fromkeys([*columns, *(self._predicate.columns if self._predicate else ())]))
        for column in (*wanted, *dictionary):
            if whole.get_field_index(column) < 0:
                raise missing_column(column, whole, task["table"])
        whole = decoded_as(whole, dictionary)
        self._columns = columns
        self._read = pa.schema([whole.field(column) for column in wanted], metadata=whole.metadata)
        given = without_field_ids(pa.schema([whole.field(column) for column in columns], metadata=whole.metadata))
        # Row labels that count the rows of all files say nothing about some of them.
        given = pandas_metadata.without_count(without_rows(given))
        self.schema = pandas_metadata.keep_true(given).schema

    def check(self) -> None:
        """The files that are open must be what they were when they were opened."""
        for file in self._files:
            file.check_unchanged()

    def parts(self) -> Iterator[pa.Table]:
        """Tables of the schema, none of them large."""
        for part in gathered(self._kept(), 1):
            columns = [part.column(name) for name in self._columns]
            yield pa.Table.from_arrays(columns, schema=self.schema) if columns else part

    def _kept(self) -> Iterator[pa.Table]:
        for window in self._windows():
            kept = window if self._predicate is None else keep_rows(window, self._predicate, self._cpus)
            if kept.num_rows:
                yield kept

    def _windows(self) -> Iterator[pa.Table]:
        try:
            for file in self._files:
                windows = self._windows_of(file)
                # The model's code runs in between, and a file is not to blame for that.
                while (window := next(windows, None)) is not None:
                    self._source.blame(None)
                    yield window
                if file.is_open:
                    file.close()
        finally:
            self._source.blame(None)
            for file in self._files:
                file.let_go()

    def _windows_of(self, file: Source) -> Iterator[pa.Table]:
        groups = groups_kept([file], self._predicate, self._read)[0]
        own = file.schema.names if groups else ()
        names = [name for name in self._read.names if name in own and name not in file.constants]
        for group in file.windows(groups):
            if not names:
                yield self._fit(file, rows_only(sum(file.group_rows[each] for each in group)))
                continue
            for table in file.decode_in_parts(group, names, _batch_rows(file, group), self._cpus > 1):
                yield self._fit(file, table)

    def _fit(self, file: Source, table: pa.Table) -> pa.Table:
        columns = dict(zip(table.column_names, table.columns, strict=True))
        for name, value in file.constants.items():
            index = self._read.get_field_index(name)
            if index >= 0:
                columns[name] = pa.chunked_array([constant_column(value, table.num_rows, self._read.field(index).type)])
        whole = pa.table(columns) if columns else table
        return file.fit(whole, self._read) if self._read.names else whole


def _batch_rows(file: Source, groups: list[int]) -> int:
    size = sum(file.metadata.row_group(each).total_byte_size for each in groups)
    rows = sum(file.group_rows[each] for each in groups)
    wanted = BATCH_BYTES * rows // max(1, size)
    return max(BATCH_ROWS_MIN, min(BATCH_ROWS_MAX, wanted))

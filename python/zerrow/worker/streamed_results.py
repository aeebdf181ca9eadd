"""Results that come batch by batch: a table where they stay small, else a file that is written as they come.

Whether a result is large shows as it comes. Up to a bound its batches are gathered, and are a table like any other.
From there on they go to a file on a disk, each before the next one is asked for, so that the model's memory stays as it
is.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from zerrow.worker.abi import LibraryError, Published, Session
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.objects import give_objects
from zerrow.worker.promises import check_promise
from zerrow.worker.results import duckdb_reader, protocol_reader, rows_only, strip_field_ids, to_table
from zerrow.worker.row_streams import without_rows
from zerrow.worker.widening import widened

ROOM_PARTS = 4
"""A result that takes more than one part in so many of the memory that its model may use is written to a disk."""
GROUP_BYTES = 8 << 20
"""Batches below this are put together before they are written: each has its part in the table's description."""


class Room(NamedTuple):
    """A file of the engine's to write to, and the number of the segment that it is to readers."""

    descriptor: int
    segment: int


class Batches(NamedTuple):
    """A result that comes batch by batch."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def batches_of(result: Any) -> Batches | None:
    """What a model returned, if that comes batch by batch; None for what is there as a whole.

    Raises WorkerFailure of kind `result` for a stream of something else.
    """
    if isinstance(result, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray | dict | list):
        return None
    if not isinstance(result, pa.RecordBatchReader):
        if isinstance(result, Iterator):
            return _yielded(result)
        reader = duckdb_reader(result) or protocol_reader(result)
        if reader is None:
            return None
        result = reader
    return Batches(result.schema, _checked(result, result.schema))


def _yielded(result: Iterator[Any]) -> Batches | None:
    """The batches that an iterator yields; None if it yields something else first, which is then gone."""
    first = next(result, None)
    if first is None:
        raise WorkerFailure(
            "result",
            "the model returned an iterator that yields nothing, so that its columns are unknown: return "
            "pyarrow.RecordBatchReader.from_batches(schema, batches)",
        )
    if not isinstance(first, pa.RecordBatch | pa.Table):
        return None
    return Batches(first.schema, _checked(itertools.chain([first], result), first.schema))


def _checked(batches: Iterable[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches, which have to be of that schema: pyarrow does not look."""
    for number, batch in enumerate(batches):
        if not isinstance(batch, pa.RecordBatch | pa.Table):
            kind = type(batch).__name__
            raise WorkerFailure("result", f"batch {number} of the result is a {kind}, not a pyarrow.RecordBatch")
        if not batch.schema.equals(schema):
            raise WorkerFailure("result", _difference(number, batch.schema, schema))
        yield from batch.to_batches() if isinstance(batch, pa.Table) else [batch]


def _difference(number: int, found: pa.Schema, schema: pa.Schema) -> str:
    what = f"batch {number} of the result is not as the batches before it, or as its reader says"
    if found.names != schema.names:
        return f"{what}: it has the columns {', '.join(found.names)}, not {', '.join(schema.names)}"
    for own, expected in zip(found, schema, strict=True):
        if not own.equals(expected):
            return f"{what}: its column {own.name!r} is {own.type}, not {expected.type}"
    return what


def collected(
    result: Batches, task: dict[str, Any], notes: list[str], bytes_max: int, ask: Callable[[], Room | None]
) -> pa.Table | LargeResult:
    """The result as a table, which is not checked yet; or as a large one, for which `ask` gives a file."""
    gathered: list[pa.RecordBatch] = []
    size = 0
    for batch in result.batches:
        gathered.append(batch)
        size += batch.nbytes
        if size > bytes_max and (room := ask()) is not None:
            return LargeResult(result.schema, gathered, result.batches, task, notes, room)
        if size > bytes_max:
            # Nothing is spilled here: it stays in memory as far as that goes.
            gathered += result.batches
    if not result.schema.names:
        return rows_only(sum(batch.num_rows for batch in gathered), result.schema.metadata)
    return pa.Table.from_batches(gathered, schema=result.schema)


class LargeResult:
    """A result that is written as it comes."""

    def __init__(
        self,
        schema: pa.Schema,
        gathered: list[pa.RecordBatch],
        batches: Iterator[pa.RecordBatch],
        task: dict[str, Any],
        notes: list[str],
        room: Room,
    ) -> None:
        """`gathered` are the batches that came first. Raises WorkerFailure for columns that are not as promised."""
        self._task, self._notes, self._room = task, notes, room
        self._gathered, self._batches = gathered, batches
        self._failure: BaseException | None = None
        self._is_checked = True
        empty = widened(to_table(without_rows(schema)), task.get("contract"))
        self._check(empty)
        self._schema = give_objects(empty).schema

    def publish(self, session: Session) -> tuple[Published, int]:
        """Write all of it; as `Session.publish`. Raises what the model raised, or WorkerFailure."""
        reader = pa.RecordBatchReader.from_batches(self._schema, self._parts())
        try:
            return session.publish_to_disk(reader, self._room.descriptor, self._room.segment)
        except LibraryError as error:
            if self._failure is not None:
                raise self._failure from None
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WorkerFailure("disk", "the disk is full that the model's result is written to") from error
            if error.errno == errno.ENOMEM:
                raise WorkerFailure("memory", f"out of memory while publishing the result: {error}") from error
            raise

    def _check(self, part: pa.Table) -> None:
        """What is to be warned about is told once."""
        problem = check_promise(part, self._task) if self._is_checked else None
        if problem is not None:
            self._notes.append(problem)
            self._is_checked = False

    def _parts(self) -> Iterator[pa.RecordBatch]:
        try:
            for group in _grouped(itertools.chain(self._taken(), self._batches)):
                yield from self._finished(group)
            if not give_objects(without_rows(self._schema)).schema.equals(self._schema, check_metadata=True):
                raise WorkerFailure(
                    "result",
                    "the model saved an object while its result was written: save it before the function returns",
                )
        except BaseException as error:
            self._failure = error
            raise

    def _taken(self) -> Iterator[pa.RecordBatch]:
        """The batches that came first, none of which is held any longer than it is needed."""
        self._gathered.reverse()
        while self._gathered:
            yield self._gathered.pop()

    def _finished(self, table: pa.Table) -> list[pa.RecordBatch]:
        table = widened(strip_field_ids(table), self._task.get("contract"))
        self._check(table)
        if [field.type for field in table.schema] != self._schema.types:
            raise WorkerFailure("result", "the result has a moment that the unit of its schema does not reach")
        return pa.Table.from_arrays(table.columns, schema=self._schema).to_batches()


def _grouped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches with small ones put together."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += batch.nbytes
        if size >= GROUP_BYTES:
            yield _combined(group)
            group, size = [], 0
    if group:
        yield _combined(group)


def _combined(group: list[pa.RecordBatch]) -> pa.Table:
    table = pa.Table.from_batches(group)
    if len(group) == 1:
        return table
    try:
        return table.combine_chunks()
    except pa.ArrowException:  # there are types that pyarrow can't put together
        return table

"""Writing a model's table to Parquet files of the catalog: the task of kind `materialize`.

No code of a user runs here. The files are the engine's: it makes them without names, and gives them names when the run
publishes its tables.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zerrow.worker.channel import Channel
from zerrow.worker.decache import sealed_file
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.objects import without_objects
from zerrow.worker.ops import DESCRIPTORS_MAX, TABLE_FILES_MAX
from zerrow.worker.overwriting import as_json, rows_meeting, with_values
from zerrow.worker.parquet_files import repeating_columns, write_parquet
from zerrow.worker.partition_values import Part, parts_of
from zerrow.worker.table_fields import described, fitted, with_required


class NewFiles:
    """Files of the engine's that a materialization writes to."""

    def __init__(self, channel: Channel) -> None:
        """The channel stays the caller's."""
        self._channel = channel
        self._count = 0

    def take(self, count: int) -> list[tuple[int, int]]:
        """As many new files: their numbers and descriptors, which are the caller's."""
        self._channel.send("wants-files", {"count": count})
        descriptors: list[int] = []
        while len(descriptors) < count:
            message = self._channel.receive()
            if message is None:
                raise ConnectionResetError("the engine is gone")
            first = self._count + len(descriptors)
            if message.op != "new-files" or message.body.get("first") != first or not message.descriptors:
                message.close()
                raise WorkerFailure("internal", f"the message {message.op!r} brings no files that were asked for")
            descriptors += message.descriptors
        numbers = range(self._count, self._count + count)
        self._count += count
        return list(zip(numbers, descriptors, strict=True))

    def tell(self, written: dict[str, Any]) -> None:
        """Tell the engine what was written."""
        descriptor = sealed_file("zerrow-written", json.dumps(written).encode())
        self._channel.send("wrote", {}, (descriptor,))
        os.close(descriptor)


def materialize(task: dict[str, Any], tables: Sequence[pa.Table], files: NewFiles) -> dict[str, Any]:
    """Write the table of a task to new files; the account of it that the message `wrote` has.

    Raises WorkerFailure for a table that can't be written, or doesn't fit what it is to be added to.
    """
    name = task["table"]
    table = fitted(with_required(without_objects(tables[0]), task.get("required") or ()), task.get("fields"), name)
    condition = _condition(task, table)
    if condition is not None:
        _check_met(condition, table, name)
        if len(tables) > 1:
            table = _with_kept(table, tables[1], condition)
    partitions = task.get("partitions") or []
    parts = parts_of(table, partitions, name)
    if len(parts) > TABLE_FILES_MAX:
        raise WorkerFailure(
            "result",
            f"{name} would have {len(parts)} partitions, {TABLE_FILES_MAX} can be written at once: partition more "
            "coarsely, as by MONTH(…) in place of DAY(…)",
        )
    schema, dictionaries = table.schema, repeating_columns(table)
    written = []
    for group in _in_turn(parts):
        for part, (number, descriptor) in zip(group, files.take(len(group)), strict=True):
            rows = part.table.num_rows
            write_parquet(part.table, schema, descriptor, dictionaries, name)
            written.append({"file": number, "rows": rows, "partition": part.values, "bounds": part.bounds})
    return {
        "fields": described(schema),
        "partitions": partitions,
        "files": written,
        "filter": None if condition is None else as_json(condition),
    }


def _condition(task: dict[str, Any], table: pa.Table) -> dict[str, Any] | None:
    """The task's overwrite filter beside the table's types."""
    if task.get("filter") is None:
        return None

    def kind_of(column: str) -> pa.DataType:
        if table.schema.get_field_index(column) < 0:
            raise ValueError(f"the new rows have no column {column!r}")
        return table.schema.field(column).type

    try:
        return with_values(task["filter"], kind_of)
    except ValueError as error:
        raise WorkerFailure("result", f"the overwrite_filter of {task['table']} doesn't fit: {error}") from error


def _check_met(condition: dict[str, Any], table: pa.Table, name: str) -> None:
    """Raises WorkerFailure if a new row doesn't meet the overwrite filter: it would come again with each run."""
    others = table.num_rows - (pc.sum(rows_meeting(condition, table)).as_py() or 0)
    if others:
        raise WorkerFailure(
            "result",
            f"{others} of the new rows for {name} do not meet its overwrite_filter: leave them out, or widen it",
        )


def _with_kept(table: pa.Table, old: pa.Table, condition: dict[str, Any]) -> pa.Table:
    """The new rows, and those of files of the table that don't meet the filter while others in their file do."""
    kept = old.filter(pc.invert(rows_meeting(condition, old)))
    kept = kept.select([name for name in kept.column_names if name in table.column_names])
    whole = pa.concat_tables([table, kept], promote_options="permissive")
    return whole.replace_schema_metadata(table.schema.metadata)


def _in_turn(parts: list[Part]) -> Iterator[list[Part]]:
    for start in range(0, len(parts), DESCRIPTORS_MAX):
        yield parts[start : start + DESCRIPTORS_MAX]

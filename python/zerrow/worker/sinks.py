"""Writing a table to a file for others to read: the task of kind `write`.

No code of a user runs here. The file is the engine's: it makes it without a name, and names it when it is whole.
"""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.materialize import NewFiles
from zerrow.worker.objects import without_objects


def write(task: dict[str, Any], table: pa.Table, files: NewFiles) -> pa.Table:
    """Write the table of a task to a new file, in the task's format; as many rows without a column.

    Raises WorkerFailure for a table that the format can't have.
    """
    from zerrow.worker.results import rows_only

    ((_, descriptor),) = files.take(1)
    name, kind = task["table"], task["format"]
    table = without_objects(table)
    try:
        _write(table, kind, descriptor, name)
    except WorkerFailure as failure:
        raise WorkerFailure("result", f"{name} can't be written as {kind}: {failure}") from failure
    return rows_only(table.num_rows)


def _write(table: pa.Table, kind: str, descriptor: int, name: str) -> None:
    """Writes to the descriptor, which is closed after that."""
    if kind == "parquet":
        from zerrow.worker.parquet_files import repeating_columns, write_parquet

        return write_parquet(table, table.schema, descriptor, repeating_columns(table), name)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        if kind == "feather":
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            return None
        from zerrow.worker.row_texts import write_csv, write_json_lines

        if kind not in ("csv", "json"):
            raise WorkerFailure("internal", f"there is no format {kind!r}")
        (write_csv if kind == "csv" else write_json_lines)(table.schema, table.to_batches(), _Whole(file))
        return None


class _Whole:
    """Writes all of what it is given: one call of an unbuffered file may take less."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, content: bytes | memoryview | pa.Buffer, /) -> int:
        rest = memoryview(content).cast("B")
        size = len(rest)
        while len(rest):
            rest = rest[self._file.write(rest) or 0 :]
        return size

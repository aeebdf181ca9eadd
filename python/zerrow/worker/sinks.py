"""Writing a table to a file for others to read: the task of kind `write`.

No code of a user runs here. The file is the engine's: it makes it without a name, and names it when it is whole.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.materialize import NewFiles
from zerrow.worker.objects import without_objects
from zerrow.worker.results import rows_only


def write(task: dict[str, Any], table: pa.Table, files: NewFiles) -> pa.Table:
    """Write the table of a task to a new file, in the task's format; as many rows without a column.

    Raises WorkerFailure for a table that the format can't have.
    """
    ((_, descriptor),) = files.take(1)
    table = without_objects(table)
    if task["format"] == "parquet":
        from zerrow.worker.parquet_files import repeating_columns, write_parquet

        write_parquet(table, table.schema, descriptor, repeating_columns(table), task["table"])
    else:
        with os.fdopen(descriptor, "wb") as file:
            _write(table, task["format"], file, task["table"])
    return rows_only(table.num_rows)


def _write(table: pa.Table, kind: str, file: BinaryIO, name: str) -> None:
    if kind == "feather":
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return
    from zerrow.worker.row_texts import write_csv, write_json_lines

    if kind not in ("csv", "json"):
        raise WorkerFailure("internal", f"there is no format {kind!r}")
    try:
        (write_csv if kind == "csv" else write_json_lines)(table.schema, table.to_batches(), file)
    except WorkerFailure as failure:
        raise WorkerFailure("result", f"{name} can't be written as {kind}: {failure}") from failure

"""What a worker runs: a scan, a Python model, a SQL model or a preview (the tasks of docs/plan.md).

These functions need neither engine nor sandbox, and pass tables by pointer: a program may run a whole plan with them in
one process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from zerrow.worker import handed_over, warm_duckdb
from zerrow.worker.expression import columns_of, keep_rows, missing_column
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.preview import preview
from zerrow.worker.project import load_function
from zerrow.worker.results import to_table
from zerrow.worker.scan import Cache, scan
from zerrow.worker.source import Guard
from zerrow.worker.sql import run_sql
from zerrow.worker.watch import Watch


def prepare_arguments(task: dict[str, Any], tables: Sequence[pa.Table]) -> dict[str, Any]:
    """The arguments of the task by name: its input tables with columns and rows left out as asked, and its values.

    Raises WorkerFailure of kind `input` for a column that is missing or a filter that does not fit.
    """
    arguments = {}
    for argument in task.get("arguments", ()):
        if "input" in argument:
            arguments[argument["name"]] = _narrow(tables[argument["input"]], argument)
        else:
            arguments[argument["name"]] = argument["value"]
    return arguments


def execute(
    task: dict[str, Any],
    arguments: dict[str, Any],
    tables: Sequence[pa.Table] = (),
    cpus: int = 1,
    cache: Cache | None = None,
    guard: Guard | None = None,
    code: memoryview | None = None,
    watch: Watch | None = None,
) -> pa.Table | str:
    """Run the task and give its table, or its text for a preview.

    `tables` are the task's inputs as they came; `cache` and `guard` are a scan's; `code` is what was handed over of the
    project's. Exceptions of user code pass; WorkerFailure for what zerrow found.
    """
    match task["kind"]:
        case "scan":
            return scan(task, cpus, cache, guard)
        case "python":
            loaded = load_function(task["folder"], task["file"], task["function"], handed_over.modules(task, code))
            if watch is not None:
                watch.look_again()
            if loaded.mentions("duckdb"):
                warm_duckdb.give_threads(cpus)
            table = to_table(loaded.function(**arguments), list(tables))
            check_columns(table, task.get("columns"))
            return table
        case "sql":
            return to_table(run_sql(task, arguments, cpus), list(tables))
        case "preview":
            return preview(tables[0], task["rows"], task.get("width"))
        case kind:
            raise WorkerFailure("internal", f"this worker knows no task of kind {kind!r}")


def check_columns(table: pa.Table, declared: Sequence[str] | None) -> None:
    """Hold a result to the columns its model declares: one that is missing fails, one too many is told on stderr."""
    if declared is None or "*" in declared:
        return
    missing = [name for name in declared if table.schema.get_field_index(name) < 0]
    if missing:
        raise WorkerFailure(
            "result",
            f"the model declares the column {missing[0]!r}, but the result has {', '.join(table.column_names)}",
        )
    extra = [name for name in table.column_names if name not in declared]
    if extra:
        print(f"the result has columns that the model does not declare: {', '.join(extra)}", file=sys.stderr)


def _narrow(table: pa.Table, argument: dict[str, Any]) -> pa.Table:
    columns, tree = argument.get("columns"), argument.get("filter")
    name = argument.get("table") or argument["name"]
    for column in columns or ():
        if table.schema.get_field_index(column) < 0:
            raise missing_column(column, table.schema, name)
    if tree is not None:
        needed = table if columns is None else table.select(list(dict.fromkeys([*columns, *columns_of(tree)])))
        table = keep_rows(needed, tree, name)
    return table if columns is None else table.select(columns)

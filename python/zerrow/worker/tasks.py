"""The tasks of a worker: a scan, a Python model, a SQL model or a preview (the tasks of docs/plan.md).

These functions need neither engine nor sandbox, and pass tables by pointer: a program may run a whole plan with them in
one process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from zerrow.worker import handed_over, pandas_metadata, warm_duckdb
from zerrow.worker.content import Guard
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.predicate import Predicate, keep_rows, missing_column
from zerrow.worker.preview import preview
from zerrow.worker.project import Loaded, load_function
from zerrow.worker.results import to_table
from zerrow.worker.scan import Cache, scan
from zerrow.worker.source import Blame, Opener
from zerrow.worker.sql import run_sql


def load(task: dict[str, Any], code: memoryview | None = None) -> Loaded | None:
    """Load the function of a Python model; None for other tasks. `code` is what was handed over of the project's.

    Before the inputs are opened: a column is of an extension type only if that is registered when it is imported, and
    the model's own file is what registers it. Exceptions of the user's code pass.
    """
    if task["kind"] != "python":
        return None
    return load_function(task["folder"], task["file"], task["function"], handed_over.modules(task, code))


def prepare_arguments(task: dict[str, Any], tables: Sequence[pa.Table], cpus: int = 1) -> dict[str, Any]:
    """The arguments of the task by name: its input tables with columns and rows left out as asked, and its values.

    Raises WorkerFailure of kind `input` for a column that is missing or a filter that does not fit.
    """
    arguments = {}
    for argument in task.get("arguments", ()):
        if "input" in argument:
            arguments[argument["name"]] = _narrow(tables[argument["input"]], argument, cpus)
        else:
            is_float = argument.get("type") == "float"
            arguments[argument["name"]] = float(argument["value"]) if is_float else argument["value"]
    return arguments


def execute(
    task: dict[str, Any],
    arguments: dict[str, Any],
    tables: Sequence[pa.Table] = (),
    cpus: int = 1,
    cache: Cache | None = None,
    guard: Guard | None = None,
    blame: Blame | None = None,
    loaded: Loaded | None = None,
    opener: Opener | None = None,
) -> pa.Table | str:
    """Run the task and give its table, or its text for a preview.

    `tables` are the task's inputs as they came; `cache`, `guard`, `blame` and `opener` are a scan's; `loaded` is what
    `load` gave, where that was called. Exceptions of user code pass; WorkerFailure for what zerrow found.
    """
    match task["kind"]:
        case "scan":
            return scan(task, cpus, cache, guard, blame, opener)
        case "python":
            loaded = loaded or load(task)
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
    """Hold a result to the columns its model declares: one that is missing fails, one too many is reported on
    stderr."""
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


def _narrow(table: pa.Table, argument: dict[str, Any], cpus: int) -> pa.Table:
    columns = argument.get("columns")
    name = argument.get("table") or argument["name"]
    predicate = Predicate.of(argument.get("filter"), name)
    for column in (*(columns or ()), *(predicate.columns if predicate else ())):
        if table.schema.get_field_index(column) < 0:
            raise missing_column(column, table.schema, name)
    if predicate is not None:
        needed = table if columns is None else table.select(list(dict.fromkeys([*columns, *predicate.columns])))
        table = keep_rows(needed, predicate, cpus)
    return table if columns is None else pandas_metadata.as_columns(table.select(columns))

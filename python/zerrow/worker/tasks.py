"""The tasks of a worker: a scan, a Python model, a SQL model, a filter or a preview (the tasks of docs/plan.md).

These functions need neither engine nor sandbox, and pass tables by pointer: a program may run a whole plan with them in
one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from zerrow.worker import handed_over, pandas_metadata, warm_duckdb
from zerrow.worker.content import Guard
from zerrow.worker.expectations import run_expectation
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.objects import give_objects, take_objects, without_objects
from zerrow.worker.predicate import Predicate, keep_rows, missing_column
from zerrow.worker.preview import preview
from zerrow.worker.project import Loaded, load_function
from zerrow.worker.promises import check_input, check_promise
from zerrow.worker.results import to_table
from zerrow.worker.scan import Cache, scan
from zerrow.worker.source import Blame, Opener
from zerrow.worker.sql import run_sql
from zerrow.worker.sql_limits import SqlLimits
from zerrow.worker.widening import widened


def load(task: dict[str, Any], code: memoryview | None = None) -> Loaded | None:
    """Load the function of a Python model; None for other tasks. `code` is what was handed over of the project's.

    Before the inputs are opened: a column is of an extension type only if that is registered when it is imported, and
    the model's own file is what registers it. Exceptions of the user's code pass.
    """
    if task["kind"] != "python":
        return None
    return load_function(task["folder"], task["file"], task["function"], handed_over.modules(task, code))


def prepare_arguments(
    task: dict[str, Any], tables: Sequence[pa.Table], cpus: int = 1, notes: list[str] | None = None
) -> dict[str, Any]:
    """The arguments of the task by name: its input tables with columns and rows left out as asked, and its values.

    Raises WorkerFailure of kind `input` for a column that is missing, a filter that does not fit, or a table that is
    not as its schema says; `notes` gets what of that is only to be warned about.
    """
    take_objects(tables)
    arguments = {}
    for argument in task.get("arguments", ()):
        if "input" in argument:
            table = _narrow(without_objects(tables[argument["input"]]), argument, cpus)
            table = widened(table, argument.get("contract"))
            arguments[argument["name"]] = table
            problem = check_input(table, argument)
            if problem is not None and notes is not None:
                notes.append(problem)
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
    notes: list[str] | None = None,
    limits: SqlLimits | None = None,
) -> pa.Table | str:
    """Run the task and give its table, or its text for a preview.

    `tables` are the task's inputs as they came; `cache`, `guard`, `blame` and `opener` are a scan's; `loaded` is what
    `load` gave, where that was called; `notes` gets what is to be warned about; `limits` are a SQL model's. Exceptions of user
    code pass; WorkerFailure for what zerrow found.
    """
    match task["kind"]:
        case "scan":
            return scan(task, cpus, cache, guard, blame, opener)
        case "python":
            loaded = loaded or load(task)
            if loaded.mentions("duckdb"):
                warm_duckdb.give_threads(cpus)
            if task.get("expectation"):
                return run_expectation(loaded.function, arguments, task, notes)
            table = to_table(loaded.function(**arguments), list(tables))
            return _checked(table, task, notes)
        case "sql":
            return _checked(to_table(run_sql(task, arguments, cpus, limits), list(tables)), task, notes)
        case "filter":
            # With what models left for others: it comes from further up.
            return give_objects(arguments["table"])
        case "preview":
            return preview(tables[0], task["rows"], task.get("width"), is_tail=task.get("tail") is True)
        case kind:
            raise WorkerFailure("internal", f"this worker knows no task of kind {kind!r}")


def _checked(table: pa.Table, task: dict[str, Any], notes: list[str] | None) -> pa.Table:
    """A result that is as its model says, or was let pass, with what its model leaves for others."""
    table = widened(table, task.get("contract"))
    problem = check_promise(table, task)
    if problem is not None and notes is not None:
        # A result that is kept would be taken the next time without a word.
        notes.append(problem)
    return give_objects(table)


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

"""The tasks of a worker: a scan, a Python model, a SQL model, a filter or a preview (the tasks of docs/plan.md).

These functions need neither engine nor sandbox, and pass tables by pointer: a program may run a whole plan with them in
one process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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
from zerrow.worker.row_streams import RowStream, source_stream, table_stream
from zerrow.worker.scan import Cache, scan
from zerrow.worker.source import Blame, Opener
from zerrow.worker.sql import run_sql
from zerrow.worker.sql_limits import SqlLimits
from zerrow.worker.streamed import Sources, StreamedSource, streamed_sources
from zerrow.worker.streamed_results import LargeResult, Room, batches_of, collected
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
    task: dict[str, Any],
    tables: Sequence[pa.Table],
    cpus: int = 1,
    notes: list[str] | None = None,
    sources: Sources | None = None,
) -> dict[str, Any]:
    """The arguments of the task by name: its input tables with columns and rows left out as asked, its values, and the
    sources that it reads by itself, each as a StreamedSource; `sources` says how these are reached. What is to be a
    stream is a RowStream.

    Raises WorkerFailure of kind `input` for a column that is missing, a filter that does not fit, or a table that is
    not as its schema says; `notes` gets what of that is only to be warned about.
    """
    take_objects(tables)
    arguments: dict[str, Any] = dict(streamed_sources(task, sources or Sources()))
    for argument in task.get("arguments", ()):
        if argument.get("stream"):
            arguments[argument["name"]] = _stream(argument, arguments, tables, cpus, [] if notes is None else notes)
        elif "input" in argument:
            table = _narrow(without_objects(tables[argument["input"]]), argument, cpus)
            table = widened(table, argument.get("contract"))
            arguments[argument["name"]] = table
            problem = check_input(table, argument)
            if problem is not None and notes is not None:
                notes.append(problem)
        elif "source" not in argument:
            is_float = argument.get("type") == "float"
            arguments[argument["name"]] = float(argument["value"]) if is_float else argument["value"]
    return arguments


def _stream(
    argument: dict[str, Any], arguments: dict[str, Any], tables: Sequence[pa.Table], cpus: int, notes: list[str]
) -> RowStream:
    source = arguments.get(argument["name"])
    if isinstance(source, StreamedSource):
        return source_stream(source, argument, cpus, notes)
    table = without_objects(tables[argument["input"]])
    return table_stream(table, argument, lambda part: _narrow(part, argument, cpus), notes)


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
    room: tuple[int, Callable[[], Room | None]] | None = None,
    limits: SqlLimits | None = None,
) -> pa.Table | str | LargeResult:
    """Run the task and give its table, or its text for a preview.

    `tables` are the task's inputs as they came; `cache`, `guard`, `blame` and `opener` are a scan's; `loaded` is what
    `load` gave, where that was called; `notes` gets what is to be warned about. Of a Python model's result that comes
    batch by batch and takes more bytes than `room` says, what is given is still to be written to the file that `room`
    gives; `end_streams` comes after that. `limits` are a SQL model's. Exceptions of user code pass; WorkerFailure for
    what zerrow found.
    """
    match task["kind"]:
        case "scan":
            return scan(task, cpus, cache, guard, blame, opener)
        case "python":
            loaded = loaded or load(task)
            if loaded.mentions("duckdb"):
                warm_duckdb.give_threads(cpus)
            notes = [] if notes is None else notes
            try:
                return _run_python(task, loaded, arguments, tables, notes, room)
            except BaseException:
                # An engine that reads a stream has its own words for what failed in that.
                raise_failure(arguments)
                raise
        case "sql":
            return _checked(to_table(run_sql(task, arguments, cpus, limits), list(tables)), task, notes)
        case "filter":
            # With what models left for others: it comes from further up.
            return give_objects(arguments["table"])
        case "preview":
            return preview(tables[0], task["rows"], task.get("width"), is_tail=task.get("tail") is True)
        case kind:
            raise WorkerFailure("internal", f"this worker knows no task of kind {kind!r}")


def _run_python(
    task: dict[str, Any],
    loaded: Loaded,
    arguments: dict[str, Any],
    tables: Sequence[pa.Table],
    notes: list[str],
    room: tuple[int, Callable[[], Room | None]] | None,
) -> pa.Table | LargeResult:
    given = {name: value.reader if isinstance(value, RowStream) else value for name, value in arguments.items()}
    if task.get("expectation"):
        return run_expectation(loaded.function, given, task, notes)
    result = loaded.function(**given)
    batches = batches_of(result)
    if batches is not None:
        bytes_max, ask = room or (sys.maxsize, lambda: None)
        result = collected(batches, task, notes, bytes_max, ask)
    if isinstance(result, LargeResult):
        return result
    return _checked(to_table(result, list(tables)), task, notes)


def raise_failure(arguments: dict[str, Any]) -> None:
    """Raise what failed while a stream was read, if something has, also where the model's code has caught it."""
    for value in arguments.values():
        if isinstance(value, RowStream) and value.failure is not None:
            # It is the file's, and not the code's that read it.
            raise value.failure.with_traceback(None) from None


def end_streams(arguments: dict[str, Any]) -> None:
    """End the streams of a model that is done, whether it has read all of them or not. Raises what failed in them."""
    for value in arguments.values():
        if isinstance(value, RowStream):
            value.close()


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

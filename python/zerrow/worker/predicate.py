"""Filters: SQL predicates, whose meaning is that of DataFusion's WHERE because DataFusion evaluates them.

DataFusion gets the columns that a predicate reads, where they lie, beside the numbers of the rows, and gives the
numbers of those that a WHERE keeps. pyarrow picks them then, so columns that the predicate doesn't read may have any
type.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zerrow.worker.datafusion_input import partitions
from zerrow.worker.datafusion_session import configuration, only_queries
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.view_types import is_string_view, is_view

if TYPE_CHECKING:
    import numpy as np

WINDOW_ROWS = 1 << 22
"""Rows whose numbers are held at once: they take 4 bytes each, and as much again where they are kept."""
BATCH_ROWS = 1 << 16
"""Rows that are evaluated at once: so many fit the processor's cache."""


@dataclass(frozen=True)
class Predicate:
    """A task's filter on a table of that name: its SQL text, the columns it reads, and the condition that prunes row
    groups."""

    sql: str
    columns: tuple[str, ...]
    prune: str | None
    table: str

    @staticmethod
    def of(body: dict[str, Any] | None, table: str) -> Predicate | None:
        """The filter as a task has it."""
        return None if body is None else Predicate(body["sql"], tuple(body["columns"]), body.get("prune"), table)

    def failure(self, error: BaseException) -> WorkerFailure:
        """The failure that a wrong predicate is to the user."""
        shown = " ".join(self.sql.split())
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        return WorkerFailure("input", f"the filter {shown!r} on {self.table!r} does not work: {_said(error)}")


def keep_rows(table: pa.Table, predicate: Predicate, cpus: int = 1) -> pa.Table:
    """The rows of a table for which a predicate is true, in their order. Raises WorkerFailure of kind `input`.

    The table itself where all rows are kept. Else columns of views come out as plain large ones: pyarrow can't pick
    rows of views.
    """
    import numpy as np

    for column in predicate.columns:
        if table.schema.get_field_index(column) < 0:
            raise missing_column(column, table.schema, predicate.table)
    read, mask = table.select(predicate.columns), np.zeros(table.num_rows, np.bool_)
    for start in range(0, max(table.num_rows, 1), WINDOW_ROWS):
        # The end is said: a slice of a table without columns would go beyond it.
        window = read.slice(start, min(WINDOW_ROWS, table.num_rows - start))
        mask[start + rows_kept(window, predicate, cpus)] = True
    if mask.all():
        return table
    for index, field in enumerate(table.schema):
        if is_view(field.type):
            kind = pa.large_string() if is_string_view(field.type) else pa.large_binary()
            table = table.set_column(index, field.with_type(kind), table.column(index).cast(kind))
    try:
        return table.filter(pa.array(mask))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise predicate.failure(error) from error


def rows_kept(table: pa.Table, predicate: Predicate, cpus: int = 1) -> np.ndarray:
    """The numbers, ascending, of the rows for which the predicate is true, of a table that has its columns.

    It fails where it fails on a row by itself. In a batch of rows DataFusion passes over a part of a predicate that
    could fail, or doesn't, by what all rows of the batch are; what fails so is evaluated row by row.
    Raises WorkerFailure of kind `input`.
    """
    import numpy as np

    number = "row"
    while number in table.column_names:
        number += "_"
    numbers = pa.array(np.arange(table.num_rows, dtype=np.uint32))
    table = table.append_column(number, numbers) if table.num_columns else pa.table({number: numbers})
    threads = max(1, min(cpus, table.num_rows // BATCH_ROWS))
    try:
        return _rows(partitions(table, threads), predicate, number, cpus)
    except _ExecutionError:
        pass
    slices = [table.slice(start, BATCH_ROWS) for start in range(0, max(table.num_rows, 1), BATCH_ROWS)]
    return np.concatenate([_rows_one_by_one(each, predicate, number) for each in slices])


def problem_of(schema: pa.Schema, predicate: Predicate) -> str | None:
    """The engine's complaint about a predicate on a table of that schema, before it looks at a row; None for none.

    The planner asks, which has no numpy.
    """
    name, context = _quoted(predicate.table), context_of(1)
    empty = pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    try:
        context.register_record_batches(name, partitions(empty, 1))
        query = f"select 1 from {name} where (\n{predicate.sql}\n)"
        context.sql(query, only_queries()).execution_plan()
    except BaseException as error:
        return _said(_of_the_engine(error))
    finally:
        context.deregister_table(name)
    return None


class _ExecutionError(Exception):
    """A predicate that is one failed on the rows of some batch."""


def _rows_one_by_one(table: pa.Table, predicate: Predicate, number: str) -> np.ndarray:
    try:
        return _rows(partitions(table, 1), predicate, number, 1)
    except _ExecutionError:
        pass
    try:
        rows = [batch for run in partitions(table, table.num_rows) for batch in run]
        return _rows([rows], predicate, number, 1)
    except _ExecutionError as error:
        raise predicate.failure(error.__cause__ or error) from error


def _rows(batches: list[list[pa.RecordBatch]], predicate: Predicate, number: str, cpus: int) -> np.ndarray:
    """The numbers of the rows that are kept. Each partition's come in its order, and so do the partitions."""
    import numpy as np

    name = _quoted(predicate.table)
    context = context_of(cpus)
    try:
        context.register_record_batches(name, batches)
        query = f'select "{number}" from {name} where (\n{predicate.sql}\n)'
        frame = context.sql(query, only_queries())
        try:
            found = frame.collect_partitioned()
        except BaseException as error:
            raise _ExecutionError from _of_the_engine(error)
    except _ExecutionError:
        raise
    except BaseException as error:
        raise predicate.failure(_of_the_engine(error)) from error
    finally:
        context.deregister_table(name)
    chunks = [batch.column(0).to_numpy() for part in found for batch in part]
    return np.concatenate(chunks) if chunks else np.empty(0, np.uint32)


def _of_the_engine(error: BaseException) -> BaseException:
    """The error itself, where it is the engine's: a panic of its, for one, is no Exception. Others go on."""
    if isinstance(error, Exception) or type(error).__name__ == "PanicException":
        return error
    raise error


def missing_column(name: str, schema: pa.Schema, table: str) -> WorkerFailure:
    """The failure for a column the table does not have, with the nearest name."""
    near = difflib.get_close_matches(name, schema.names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(schema.names[:20])}"
    return WorkerFailure("input", f"the table {table!r} has no column {name!r}: {hint}")


@functools.cache
def context_of(cpus: int) -> Any:
    """DataFusion as SQL models have it, but for the order of rows, which has to stay. One for a process, which may be
    made before a fork: it has no threads until it is used."""
    import datafusion

    config = configuration(cpus, BATCH_ROWS).set("datafusion.optimizer.enable_round_robin_repartition", "false")
    return datafusion.SessionContext(config)


def _quoted(name: str) -> str:
    return '"' + name.rpartition(".")[2].replace('"', '""') + '"'


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and line.strip() != "caused by"]
    said = ": ".join(lines) or type(error).__name__
    for prefix in ("DataFusion error: ", "Optimizer rule 'simplify_expressions' failed: ", "Error during planning: "):
        said = said.removeprefix(prefix)
    return said[:300]

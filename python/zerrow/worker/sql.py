"""Running a SQL model over its inputs, with DataFusion or DuckDB, without copying the inputs."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from zerrow.worker import pandas_metadata, warm_duckdb
from zerrow.worker.datafusion_input import partitions
from zerrow.worker.datafusion_session import configuration, only_queries
from zerrow.worker.duckdb_input import readable
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import BATCH_ROWS, collect_datafusion, restore_strings
from zerrow.worker.sql_limits import SqlLimits
from zerrow.worker.sql_streams import (
    as_scanned,
    blaming,
    datafusion_settings,
    decodes_late,
    opened,
    plain,
    quoted_part,
    register_in_datafusion,
    view_in_duckdb,
)
from zerrow.worker.streamed import StreamedSource
from zerrow.worker.view_types import is_view

DATAFUSION_BATCH_ROWS = 1 << 17
"""Measured: fewer rows cost calls and give buffers too small for the arena, more leave the processor's cache."""
STREAMED_BATCH_ROWS = 1 << 15
"""The same where the rows are decoded for the query: these buffers are new each time."""


DUCKDB_QUERIES = ("SELECT", "MULTI")
"""The kinds of statements that are queries; a PIVOT is of several parts."""


def run_sql(task: dict[str, Any], arguments: dict[str, Any], cpus: int, limits: SqlLimits | None = None) -> pa.Table:
    """Run a task of kind `sql`: tables among `arguments` are its relations, other values its `$name` parameters, and so
    are the task's secrets. A relation's name may have a namespace. The engine keeps to `limits`.

    Errors of the engine pass as they are. Raises WorkerFailure for what is not one query.
    """
    engine = task.get("engine", "datafusion")
    streams = opened({name: value for name, value in arguments.items() if isinstance(value, StreamedSource)})
    # What the engine can't open is decoded first, as a scan does it.
    tables = {
        name: value.table(cpus) if isinstance(value, StreamedSource) else value
        for name, value in arguments.items()
        if isinstance(value, pa.Table | StreamedSource) and name not in streams
    }
    # An engine refuses a parameter that the text does not use.
    used = set(re.findall(r"\$(\w+)", task["sql"]))
    given = {name: value for name, value in arguments.items() if name not in tables and name not in streams} | task.get(
        "secrets", {}
    )
    values = {name: value for name, value in given.items() if name in used}
    run, limits = _run_duckdb if engine == "duckdb" else _run_datafusion, limits or SqlLimits()
    with limits.explaining(), blaming(streams, "DuckDB" if engine == "duckdb" else "DataFusion"):
        return run(task["sql"], tables, streams, values, cpus, limits)


def error_line(message: str, first: int) -> int:
    """The line of the file an engine's message speaks of, when the statement starts at line `first`."""
    found = re.search(r"\bline:? (\d+)", message, re.IGNORECASE)
    return first + int(found.group(1)) - 1 if found else first


def _run_datafusion(
    sql: str,
    tables: dict[str, pa.Table],
    streams: dict[str, StreamedSource],
    values: dict[str, Any],
    cpus: int,
    limits: SqlLimits,
    is_late: bool | None = None,
) -> pa.Table:
    """Run a query. `is_late` says whether conditions are evaluated while streams are decoded; None: where it pays."""
    is_late = decodes_late(streams) if is_late is None else is_late
    settings = configuration(cpus, STREAMED_BATCH_ROWS if streams else DATAFUSION_BATCH_ROWS)
    for key, value in (datafusion_settings(streams, is_late) | limits.datafusion_settings(cpus)).items():
        settings = settings.set(key, value)
    context = limits.datafusion_session(settings)
    for name, table in tables.items():
        _register_in_datafusion(context, name, table, cpus)
    for name, source in streams.items():
        _make_namespace(context, name)
        register_in_datafusion(context, _quoted(name), source)
    frame = context.sql(sql, only_queries(), values or None)
    try:
        table = collect_datafusion(frame)
    except Exception as error:
        if is_late and not limits.is_short(error):
            return _run_datafusion(sql, tables, streams, values, cpus, limits, is_late=False)
        raise
    if streams:
        planned = frame.schema()
        if any(source.schema != plain(source.schema) for source in streams.values()):
            planned = _schema_over_scans(sql, tables, streams, values)
        table = as_scanned(table, planned, frame.schema())
    for index, field in enumerate(table.schema):
        if is_view(field.type):
            column = restore_strings(field.name, table.column(index), list(tables.values()))
            table = table.set_column(index, field.with_type(column.type), column)
    return pandas_metadata.without_labels(table)


def _schema_over_scans(
    sql: str, tables: dict[str, pa.Table], streams: dict[str, StreamedSource], values: dict[str, Any]
) -> pa.Schema:
    """The schema that the query has where all its tables are given."""
    import datafusion

    context = datafusion.SessionContext(configuration(1, DATAFUSION_BATCH_ROWS))
    for name, relation in (tables | streams).items():
        _register_in_datafusion(context, name, relation.schema.empty_table(), 1)
    return context.sql(sql, only_queries(), values or None).schema()


def _register_in_datafusion(context: Any, name: str, table: pa.Table, cpus: int) -> None:
    """Make a table the relation of that name."""
    _make_namespace(context, name)
    context.register_record_batches(_quoted(name), partitions(table, cpus))


def _make_namespace(context: Any, name: str) -> None:
    """Make the namespace that a table's name has, where it has one and that is not there."""
    import datafusion

    namespace, catalog = name.rpartition(".")[0], context.catalog()
    if namespace and namespace not in catalog.schema_names():
        catalog.register_schema(namespace, datafusion.catalog.Schema.memory_schema())


def _run_duckdb(
    sql: str,
    tables: dict[str, pa.Table],
    streams: dict[str, StreamedSource],
    values: dict[str, Any],
    cpus: int,
    limits: SqlLimits,
) -> pa.Table:
    with warm_duckdb.connect(cpus) as connection:
        limits.limit_duckdb(connection)
        # Replacement scans would let a statement read this function's variables.
        connection.execute("set python_enable_replacements = false")
        for name, table in tables.items():
            # A query that only counts reads no column, and DuckDB takes no table without any.
            plain = table if table.num_columns else pa.table({"row": pa.nulls(table.num_rows)})
            if "." not in name:
                connection.register(name, readable(name, plain))
            else:
                _register_in_namespace(connection, name, readable(name, plain))
        for name, source in streams.items():
            if "." in name:
                _make_namespace_in_duckdb(connection, name)
            view_in_duckdb(connection, _quoted(name), source)
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type.name not in DUCKDB_QUERIES:
            raise WorkerFailure("user", "a SQL model is one query: a SELECT, nothing before or after it")
        relation = connection.sql(sql, params=values) if values else connection.sql(sql)
        return relation.to_arrow_reader(BATCH_ROWS).read_all()


def _register_in_namespace(connection: Any, name: str, table: Any) -> None:
    """A table with a namespace: a view of that name, for what is registered lies in none."""
    connection.register(f"zerrow {name}", table)
    _make_namespace_in_duckdb(connection, name)
    connection.execute(f"create view {_quoted(name)} as select * from {quoted_part(f'zerrow {name}')}")


def _make_namespace_in_duckdb(connection: Any, name: str) -> None:
    """Make the namespace that a table's name has, where that is not there."""
    connection.execute(f"create schema if not exists {_quoted(name).rsplit('.', 1)[0]}")


def _quoted(name: str) -> str:
    return ".".join(map(quoted_part, name.split(".")))

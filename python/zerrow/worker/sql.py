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
from zerrow.worker.sql_limits import SqlLimits
from zerrow.worker.results import BATCH_ROWS, collect_datafusion, restore_strings
from zerrow.worker.view_types import is_view

DATAFUSION_BATCH_ROWS = 1 << 17
"""Measured: fewer rows cost calls and give buffers too small for the arena, more leave the processor's cache."""


DUCKDB_QUERIES = ("SELECT", "MULTI")
"""The kinds of statements that are queries; a PIVOT is of several parts."""


def run_sql(
    task: dict[str, Any], arguments: dict[str, Any], cpus: int, limits: SqlLimits | None = None
) -> pa.Table:
    """Run a task of kind `sql`: tables among `arguments` are its relations, other values its `$name` parameters, and so
    are the task's secrets. A relation's name may have a namespace. The engine keeps to `limits`.

    Errors of the engine pass as they are. Raises WorkerFailure for what is not one query.
    """
    tables = {name: value for name, value in arguments.items() if isinstance(value, pa.Table)}
    # An engine refuses a parameter that the text does not use.
    used = set(re.findall(r"\$(\w+)", task["sql"]))
    given = {name: value for name, value in arguments.items() if name not in tables} | task.get("secrets", {})
    values = {name: value for name, value in given.items() if name in used}
    if task.get("engine", "datafusion") == "duckdb":
        run = _run_duckdb
    else:
        run = _run_datafusion
    limits = limits or SqlLimits()
    with limits.explaining():
        return run(task["sql"], tables, values, cpus, limits)


def error_line(message: str, first: int) -> int:
    """The line of the file an engine's message speaks of, when the statement starts at line `first`."""
    found = re.search(r"\bline:? (\d+)", message, re.IGNORECASE)
    return first + int(found.group(1)) - 1 if found else first


def _run_datafusion(
    sql: str, tables: dict[str, pa.Table], values: dict[str, Any], cpus: int, limits: SqlLimits
) -> pa.Table:
    import datafusion

    settings = configuration(cpus, DATAFUSION_BATCH_ROWS)
    for key, value in limits.datafusion_settings().items():
        settings = settings.set(key, value)
    context = datafusion.SessionContext(settings, limits.datafusion_runtime())
    limits.limit_datafusion(context)
    catalog = context.catalog()
    for name, table in tables.items():
        namespace = name.rpartition(".")[0]
        if namespace and namespace not in catalog.schema_names():
            catalog.register_schema(namespace, datafusion.catalog.Schema.memory_schema())
        context.register_record_batches(_quoted(name), partitions(table, cpus))
    frame = context.sql(sql, only_queries(), values or None)
    table = collect_datafusion(frame)
    for index, field in enumerate(table.schema):
        if is_view(field.type):
            column = restore_strings(field.name, table.column(index), list(tables.values()))
            table = table.set_column(index, field.with_type(column.type), column)
    return pandas_metadata.without_labels(table)


def _run_duckdb(
    sql: str, tables: dict[str, pa.Table], values: dict[str, Any], cpus: int, limits: SqlLimits
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
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type.name not in DUCKDB_QUERIES:
            raise WorkerFailure("user", "a SQL model is one query: a SELECT, nothing before or after it")
        relation = connection.sql(sql, params=values) if values else connection.sql(sql)
        return relation.to_arrow_reader(BATCH_ROWS).read_all()


def _register_in_namespace(connection: Any, name: str, table: Any) -> None:
    """A table with a namespace: a view of that name, for what is registered lies in none."""
    namespace, own = _quoted(name).rsplit(".", 1)
    connection.register(f"zerrow {name}", table)
    connection.execute(f"create schema if not exists {namespace}")
    connection.execute(f"create view {namespace}.{own} as select * from {_quoted_part(f'zerrow {name}')}")


def _quoted(name: str) -> str:
    return ".".join(map(_quoted_part, name.split(".")))


def _quoted_part(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'

"""Streamed sources as relations of a SQL engine, which reads files by itself (docs/decisions/streamed-scans.md)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.source import one_dictionary
from zerrow.worker.streamed import StreamedSource

SPEAKS_OF_FILES = ("parquet", "io error", "object store", "objectstore", "decompress", "snappy", "thrift")
"""Words of an engine's message that can be about a file, and not about the query."""
CLASSES_OF_FILES = ("Error", "InvalidInputException", "SerializationException", "InternalException", "PanicException")
"""The classes of an engine's errors over what it did not expect, a file's bytes among that."""


def opened(streams: dict[str, StreamedSource]) -> dict[str, StreamedSource]:
    """Those whose files an engine can open by names; all are checked first."""
    for source in streams.values():
        source.check()
    return {name: source for name, source in streams.items() if source.schema is not None and source.paths()}


@contextlib.contextmanager
def blaming(streams: dict[str, StreamedSource], engine: str) -> Iterator[None]:
    """What an engine's failure over a streamed file becomes: one that names the file. The files must be unchanged at
    the end."""
    sources = list(streams.values())
    # DataFusion's reader is safe from any bytes: what ends it is the query, as one that is nested too deeply.
    if sources and engine == "DuckDB":
        sources[0].blame("was read by DuckDB when that ended: the file is broken, or the query is too much for it")
    try:
        yield
    except WorkerFailure:
        raise
    except BaseException as error:
        text = f"{type(error).__name__} {error}".lower()
        if type(error).__name__ in CLASSES_OF_FILES or any(word in text for word in SPEAKS_OF_FILES):
            for source in sources:
                source.check()
                source.look_for_damage()
            raise _named(error, sources, engine) from error
        raise
    finally:
        for source in sources:
            source.blame(None)
            source.remove_folders()
    for source in sources:
        source.check()


def _named(error: BaseException, sources: list[StreamedSource], engine: str) -> BaseException:
    """The error with the files' real names."""
    text, is_about_file = str(error), False
    for source in sources:
        for path, file in zip(source.paths() or (), source.files, strict=False):
            is_about_file = is_about_file or path in text or path.lstrip("/") in text
            text = text.replace(path, file.path).replace(path.lstrip("/"), file.path)
    if not is_about_file:
        return error
    return WorkerFailure("input", f"a source cannot be read by {engine}: {text}")


# ---- DataFusion

_UNJUDGED = (
    "datafusion.execution.collect_statistics",
    "datafusion.execution.parquet.enable_page_index",
    "datafusion.execution.parquet.bloom_filter_on_read",
    "datafusion.optimizer.enable_dynamic_filter_pushdown",
)
"""What uses statistics, which tell nothing of NaNs: to DataFusion these are the largest of all."""


LATE_COLUMNS_MIN = 8
LATE_TEXTS_MIN = 2
"""Columns of a source, or texts among them, from which it pays to decode them only where a WHERE keeps rows."""


def decodes_late(streams: dict[str, StreamedSource]) -> bool:
    """Whether DataFusion shall evaluate conditions while it decodes. It evaluates each by itself then, so that one may
    fail for rows which another one would have left out."""
    schemas = [plain(source.schema) for source in streams.values()]
    return any(
        len(schema) >= LATE_COLUMNS_MIN or sum(map(kinds.is_string, schema.types)) >= LATE_TEXTS_MIN
        for schema in schemas
    )


def datafusion_settings(streams: dict[str, StreamedSource], is_late: bool) -> dict[str, str]:
    """The settings of a session that reads these."""
    if not streams:
        return {}
    settings = {
        "datafusion.execution.parquet.schema_force_view_types": "false",
        "datafusion.execution.parquet.pushdown_filters": "true" if is_late else "false",
        # The rows of a file come in its order, as those of a table do.
        "datafusion.execution.enable_file_stream_work_stealing": "false",
        "datafusion.optimizer.enable_round_robin_repartition": "false",
    }
    if any(map(_has_floats, streams.values())):
        settings |= dict.fromkeys(_UNJUDGED, "false")
    return settings


def register_in_datafusion(context: Any, name: str, source: StreamedSource) -> None:
    """Make a source the table of that name, quoted."""
    paths = source.paths() or []
    place = paths[0] if len(paths) == 1 else _folder_of(source, paths)
    context.register_parquet(name, place, schema=plain(source.schema), parquet_pruning=not _has_floats(source))


def _has_floats(source: StreamedSource) -> bool:
    return any(kinds.is_floating(field.type) for field in source.schema or ())


def _folder_of(source: StreamedSource, paths: list[str]) -> str:
    """A folder that lists the files, in their order: DataFusion takes one path for a table."""
    folder = source.new_folder()
    width = len(str(source.first + len(paths)))
    for number, path in enumerate(paths, source.first):
        name = f"{folder}{number:0{width}}.parquet"
        if source.is_brokered:
            # The name is what opens the file, so it can't make one: this is only there to be listed.
            empty = f"{folder}empty"
            os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.rename(empty, name)
        else:
            os.symlink(path, name)
    return folder


def plain(schema: pa.Schema | None) -> pa.Schema:
    """A schema with texts in place of dictionaries."""
    fields = [
        field.with_type(field.type.value_type) if kinds.is_dictionary(field.type) else field for field in schema or ()
    ]
    return pa.schema(fields, metadata=schema.metadata if schema is not None else None)


def as_scanned(table: pa.Table, planned: pa.Schema, streamed: pa.Schema) -> pa.Table:
    """A result of streamed sources, in the types that it has where they are scanned.

    `planned` is the schema that the engine gives the query over scanned tables, `streamed` the one over these.
    """
    for index, (field, own) in enumerate(zip(planned, streamed, strict=True)):
        if own.nullable and not table.schema.field(index).nullable:
            # What statistics have answered is a constant, which is never null.
            table = table.set_column(index, table.schema.field(index).with_nullable(True), table.column(index))
        if field.type != own.type and table.schema.field(index).type == own.type:
            column = table.column(index)
            is_text = kinds.is_dictionary(field.type) and field.type.value_type == own.type
            column = column.dictionary_encode().cast(field.type) if is_text else column.cast(field.type)
            table = table.set_column(index, table.schema.field(index).with_type(field.type), column)
    return one_dictionary(table)


# ---- DuckDB


def view_in_duckdb(connection: Any, name: str, source: StreamedSource) -> None:
    """Make a source the view of that name, quoted."""
    paths = ", ".join("'" + path.replace("'", "''") + "'" for path in source.paths() or ())
    columns = [quoted_part(column) for column in (source.schema or pa.schema([])).names]
    # A query that only counts reads no column.
    listed = ", ".join(columns) or 'null as "row"'
    connection.execute(f"create view {name} as select {listed} from read_parquet([{paths}], hive_partitioning = false)")


def quoted_part(part: str) -> str:
    """A part of a name, in quotes."""
    return '"' + part.replace('"', '""') + '"'

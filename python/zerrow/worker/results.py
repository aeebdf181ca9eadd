"""The results that a model may return, and how they become the Arrow table that is published.

Nothing is copied that Arrow can describe where it is. Two kinds of results need more than passing pointers:

polars holds strings as views, which pyarrow's compute functions do not take (no comparison, filter, join or sort), so
a reader would fail on them. They are published as `large_string`; a string column that came from an input unchanged is
published as the input's own buffers. pandas has row labels, which Arrow has not: see `_from_pandas`.

A library tells its own types by metadata of fields and of the table, which is kept.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from zerrow.worker import pandas_metadata, polars_metadata
from zerrow.worker.extension_types import fields_within
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.view_types import holds_view, is_string_view, is_view

BATCH_ROWS = 1 << 20
"""Rows per batch asked of engines that produce batches: large, for a buffer under 64 KiB is copied into a pack."""

ADVICE = (
    "return a pyarrow.Table, a pandas or polars DataFrame, a duckdb or datafusion result, a list of dicts, "
    "a dict of columns, or any object with __arrow_c_stream__"
)
NOT_ARROW = {
    "Object": "Python objects, which stay in their process. Make it data (a Struct, a List, a String), or drop it",
    "Int128": "integers that pyarrow has not. Cast it to Decimal(38, 0) or to String, or drop it",
    "UInt128": "integers that pyarrow has not. Cast it to Decimal(38, 0) or to String, or drop it",
}
"""Types of polars that no Arrow table can be made of, and what to do."""
UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError)
"""The errors that pyarrow raises for values that fit no type; it may be out of memory besides."""
FIELD_ID = b"PARQUET:field_id"
SAMPLE_ROWS = 32


def to_table(result: Any, inputs: Sequence[pa.Table] = ()) -> pa.Table:
    """Convert what a model returned into a table; `inputs` are the tables it was given, for strings to be recognised.

    Raises WorkerFailure of kind `result` if it is no table; errors of a lazy result that is computed here pass.
    """
    table = _convert(result, inputs)
    names = _repeated(table.column_names)
    if names:
        raise _failure(f"the result has more than one column named {names[0]!r}: rename or drop one of them")
    refuse_nul(part.name for field in table.schema for part in fields_within(field))
    return polars_metadata.keep_true(pandas_metadata.keep_true(strip_field_ids(table)))


def refuse_nul(names: Iterable[str]) -> None:
    """Raises WorkerFailure of kind `result` for a name that cannot be passed on whole."""
    for name in names:
        if "\0" in name:
            raise _failure(f"the column or field {name!r} has a NUL in its name, where Arrow ends a name: rename it")


def to_stream(table: pa.Table) -> pa.RecordBatchReader:
    """The table as the stream that publishing takes: one batch per chunk, buffers where they are."""
    return (table if table.num_columns else rows_only(table.num_rows, table.schema.metadata)).to_reader()


def rows_only(count: int, metadata: dict[bytes, bytes] | None = None) -> pa.Table:
    """A table of `count` rows without columns, in a batch: pyarrow forgets the rows of one that has none."""
    batch = pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), count, [None]))
    return pa.Table.from_batches([batch.replace_schema_metadata(metadata)])


def strip_field_ids(table: pa.Table) -> pa.Table:
    """The table without the Parquet field ids that a reader leaves in the metadata of fields, nested ones included."""
    own = table.schema
    schema = without_field_ids(own)
    return table if schema is own else pa.Table.from_arrays(table.columns, schema=schema)


def without_field_ids(schema: pa.Schema) -> pa.Schema:
    """The schema without field ids; the same one where it has none."""
    fields = [_without_field_id(field) for field in schema]
    if all(new is old for new, old in zip(fields, schema, strict=True)):
        return schema
    return pa.schema(fields, metadata=schema.metadata)


def _convert(result: Any, inputs: Sequence[pa.Table]) -> pa.Table:
    if isinstance(result, pa.Table):
        return result
    if isinstance(result, pa.RecordBatch):
        return pa.Table.from_batches([result])
    if isinstance(result, pa.RecordBatchReader):
        return result.read_all()
    if isinstance(result, pa.Array | pa.ChunkedArray):
        return _from_column(result)
    match _origin(result):
        case ("pandas", "DataFrame"):
            return _from_pandas(result)
        case ("polars", "LazyFrame"):
            return _from_polars(result.collect(), inputs)
        case ("polars", "DataFrame"):
            return _from_polars(result, inputs)
        case ("datafusion", "DataFrame"):
            return collect_datafusion(result)
        case ("pandas" | "polars", "Series"):
            raise _failure(f"the model returned a {_name(result)}, a column without a table: return result.to_frame()")
        case ("duckdb" | "_duckdb", "DuckDBPyRelation" | "DuckDBPyConnection"):
            return _from_duckdb(result)
    if isinstance(result, dict):
        return _from_columns(result)
    if isinstance(result, list):
        return _from_rows(result)
    return _from_protocol(result)


def _from_protocol(result: Any) -> pa.Table:
    if hasattr(result, "__arrow_c_stream__"):
        return _reader(result).read_all()
    if hasattr(result, "__arrow_c_array__"):
        return pa.Table.from_batches([pa.record_batch(result)])
    if result is None:
        raise _failure(f"the model returned None: is a return statement missing? {ADVICE.capitalize()}")
    if hasattr(result, "__await__"):
        raise _failure("the model is an async function: make it a plain one that returns the whole table")
    if isinstance(result, Iterator):
        raise _failure(f"the model returned a {_name(result)}, which yields pieces: return the whole table")
    raise _failure(f"the model returned a {_name(result)}, which is no table: {ADVICE}")


def _reader(result: Any) -> pa.RecordBatchReader:
    try:
        return pa.RecordBatchReader.from_stream(result)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _failure(f"the {_name(result)} streams something else than a table: {error}; {ADVICE}") from error


def protocol_reader(result: Any) -> pa.RecordBatchReader | None:
    """A reader of an object that streams, of a library that isn't known here; None for all else.

    Raises WorkerFailure of kind `result` for one that streams something else than a table.
    """
    if _origin(result) != ("", "") or not hasattr(result, "__arrow_c_stream__"):
        return None
    return _reader(result)


def duckdb_reader(result: Any) -> pa.RecordBatchReader | None:
    """A reader of a relation of DuckDB, or of a connection's last statement, under the name that DuckDB's version has
    for it; None for all else."""
    if _origin(result) not in [
        (p, n) for p in ("duckdb", "_duckdb") for n in ("DuckDBPyRelation", "DuckDBPyConnection")
    ]:
        return None
    for name in ("to_arrow_reader", "fetch_arrow_reader", "fetch_record_batch", "record_batch"):
        reader = getattr(result, name, None)
        if reader is not None:
            return reader(BATCH_ROWS)
    return None


def _from_duckdb(result: Any) -> pa.Table:
    reader = duckdb_reader(result)
    return result.arrow() if reader is None else reader.read_all()


def _from_column(result: pa.Array | pa.ChunkedArray) -> pa.Table:
    if not pa.types.is_struct(result.type):
        raise _failure(f"the model returned one column of type {result.type}, not a table: {ADVICE}")
    chunks = result.chunks if isinstance(result, pa.ChunkedArray) else [result]
    schema = pa.schema(list(result.type))
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(chunk) for chunk in chunks], schema=schema)


def _from_pandas(frame: Any) -> pa.Table:
    """Arrow columns of a frame, in the frame's own memory where pandas has them column by column.

    It is the table that pandas itself writes to a file, with the metadata that `to_pandas` makes the same frame of. Row
    labels that are more than a count are columns: first, with the names of the index, or last, as `__index_level_0__`.
    """
    names = _repeated(str(name) for name in frame.columns)
    if names:
        raise _failure(f"the result has more than one column named {names[0]!r}: rename or drop one of them")
    try:
        # A subclass that has its own way knows more of its columns: GeoPandas of geometries.
        own = getattr(type(frame), "to_arrow", None)
        table = pa.Table.from_pandas(frame) if own is None else pa.table(own(frame))
    except (*UNFIT, TypeError, ValueError) as error:
        raise _failure(
            f"the DataFrame does not fit Arrow's types: {' '.join(map(str, error.args))}: give such columns another "
            "dtype with astype, or drop them"
        ) from error
    for field in table.schema:
        if pa.types.is_dictionary(field.type) and isinstance(field.type.value_type, pa.BaseExtensionType):
            raise _failure(
                f"the column {field.name!r} is categorical, and its categories are periods or intervals, which pandas "
                "does not read back from Arrow: give it another dtype, with astype(str) for instance"
            )
    table = pandas_metadata.keep_readable(table)
    return _labels_first(frame, table) if own is None else table


def _labels_first(frame: Any, table: pa.Table) -> pa.Table:
    """pandas puts the columns of row labels last; those that have names are what readers in SQL look for."""
    count = frame.columns.size
    labels = table.column_names[count:]
    if any(name is not None for name in frame.index.names):
        return table.select([*labels, *table.column_names[:count]])
    if labels == ["__index_level_0__"]:
        print(
            "the row labels of the DataFrame are the column __index_level_0__ of the result: "
            "return frame.reset_index(drop=True) if they mean nothing",
            file=sys.stderr,
        )
    return table


def _from_polars(frame: Any, inputs: Sequence[pa.Table]) -> pa.Table:
    # A panic otherwise.
    refuse_nul(frame.columns)
    for name, dtype in frame.schema.items():
        for part in _polars_types(dtype):
            refuse_nul(field.name for field in getattr(part, "fields", None) or ())
            if str(part) in NOT_ARROW:
                raise _failure(f"the column {name!r} is of the polars type {dtype}: {NOT_ARROW[str(part)]}")
    table = _arrow_of_polars(frame)
    columns, fields = [], []
    for name, column, field in zip(table.column_names, table.columns, table.schema, strict=True):
        if is_view(column.type):
            column = restore_strings(name, column, inputs)
            field = field.with_type(column.type)
        elif holds_view(column.type):
            plain = frame.get_column(name).to_frame().to_arrow()
            column, field = plain.column(0), plain.schema.field(0)
        columns.append(column)
        fields.append(field)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def _arrow_of_polars(frame: Any) -> pa.Table:
    """The frame's own buffers, views among them, where polars gives these and pyarrow knows what to do with them."""
    levels = getattr(sys.modules["polars"], "CompatLevel", None)
    if levels is None or not _casts_views():
        return frame.to_arrow()
    return frame.to_arrow(compat_level=levels.newest())


@functools.cache
def _casts_views() -> bool:
    if not hasattr(pa, "string_view"):
        return False
    try:
        for kind, large in ((pa.string_view(), pa.large_string()), (pa.binary_view(), pa.large_binary())):
            pa.chunked_array([pa.nulls(1, kind)]).cast(large)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False
    return True


def _polars_types(dtype: Any) -> Iterator[Any]:
    """A polars type, and the types in it."""
    yield dtype
    inner = [getattr(dtype, name, None) for name in ("inner", "key", "value")]
    for part in [*inner, *(field.dtype for field in getattr(dtype, "fields", None) or ())]:
        if part is not None:
            yield from _polars_types(part)


def restore_strings(name: str, views: pa.ChunkedArray, inputs: Sequence[pa.Table]) -> pa.ChunkedArray:
    """A column of views without the views: the input's own column where it is the same, else `large_string`.

    Telling costs one comparison of bytes after a sample agreed; a false guess costs new offsets.
    """
    large = pa.large_string() if is_string_view(views.type) else pa.large_binary()
    for table in inputs:
        found = table.schema.get_field_index(name)
        if found < 0 or not _alike(views, table.column(found)):
            continue
        source = table.column(found)
        column = views.cast(source.type)
        return source if column.equals(source) else column.cast(large)
    return views.cast(large)


def _alike(views: pa.ChunkedArray, source: pa.ChunkedArray) -> bool:
    text = is_string_view(views.type)
    kinds = (pa.string(), pa.large_string()) if text else (pa.binary(), pa.large_binary())
    if source.type not in kinds or len(source) != len(views) or source.null_count != views.null_count:
        return False
    step = max(1, len(views) // SAMPLE_ROWS)
    return all(views[row].as_py() == source[row].as_py() for row in range(0, len(views), step))


def collect_datafusion(frame: Any) -> pa.Table:
    """Run a DataFusion DataFrame; the batches of its partitions in order, so that a plain selection keeps its order."""
    batches = [batch for partition in frame.collect_partitioned() for batch in partition]
    if not batches:
        return pa.Table.from_batches([], schema=frame.schema())
    schema = batches[0].schema
    for batch in batches:
        for index, field in enumerate(batch.schema):
            # A UNION of columns of which only some have an order.
            if pa.types.is_dictionary(field.type) and not field.type.ordered and schema.field(index).type.ordered:
                schema = schema.set(index, schema.field(index).with_type(field.type))
    return pa.Table.from_batches([_without_order(batch, schema) for batch in batches], schema=schema)


def _without_order(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in a schema that differs in the order of dictionaries at most."""
    if batch.schema.equals(schema):
        return batch
    columns = [
        pa.DictionaryArray.from_arrays(column.indices, column.dictionary, safe=False)
        if column.type != field.type and pa.types.is_dictionary(column.type)
        else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _from_columns(columns: dict[Any, Any]) -> pa.Table:
    arrays, fields = [], []
    for name, values in columns.items():
        if not isinstance(name, str):
            raise _failure(f"the dict has the key {name!r} of type {_name(name)}: the names of columns are strings")
        if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise _failure(
                f"the dict has the key {name!r}, which is no whole text: half a character has no name in UTF-8"
            )
        if _origin(values) == ("polars", "Series"):
            # As a frame, for its field says what an Arrow type doesn't.
            part = _from_polars(values.rename(name).to_frame(), ())
            arrays.append(part.column(0))
            fields.append(part.schema.field(0))
        else:
            arrays.append(_column(name, values))
            fields.append(pa.field(name, arrays[-1].type))
    lengths = {field.name: len(array) for field, array in zip(fields, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise _failure(f"the columns of the dict differ in length: {listed}")
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _from_rows(rows: list[Any]) -> pa.Table:
    if not rows:
        raise _failure("the model returned an empty list, which has no columns: return a pyarrow.Table with a schema")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _failure(f"row {number} of the list is a {_name(row)}, not a dict: {ADVICE}")
    names = dict.fromkeys(name for row in rows for name in row)
    return _from_columns({name: [row.get(name) for row in rows] for name in names})


def _column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable):
        raise _failure(f"the column {name!r} is a {_name(values)}: give a list or an array of values")
    try:
        if hasattr(values, "__arrow_c_stream__"):
            column = pa.chunked_array(values)
            return restore_strings(name, column, ()) if is_view(column.type) else column
        return pa.array(values)
    except UNFIT as error:
        raise _failure(f"the column {name!r} does not fit one Arrow type: {error}") from error


def _without_field_id(field: pa.Field) -> pa.Field:
    kind = _type_without_field_id(field.type)
    metadata = field.metadata
    if kind is field.type and not (metadata and FIELD_ID in metadata):
        return field
    kept = {key: value for key, value in (metadata or {}).items() if key != FIELD_ID}
    return pa.field(field.name, kind, field.nullable, kept or None)


def _type_without_field_id(kind: pa.DataType) -> pa.DataType:
    if not pa.types.is_nested(kind):
        return kind
    fields = [kind.field(i) for i in range(kind.num_fields)]
    cleaned = [_without_field_id(field) for field in fields]
    if all(new is old for new, old in zip(cleaned, fields, strict=True)):
        return kind
    if pa.types.is_struct(kind):
        return pa.struct(cleaned)
    if pa.types.is_map(kind):
        key, item = cleaned[0].type.field(0), cleaned[0].type.field(1)
        return pa.map_(key, item, keys_sorted=kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(cleaned[0], kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(cleaned[0])
    return pa.list_(cleaned[0]) if pa.types.is_list(kind) else kind


def _origin(result: Any) -> tuple[str, str]:
    for kind in type(result).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in ("pandas", "polars", "duckdb", "_duckdb", "datafusion"):
            return package, kind.__name__
    return "", ""


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _name(value: Any) -> str:
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"


def _failure(message: str) -> WorkerFailure:
    return WorkerFailure("result", message)

"""Tables in the form that DataFusion reads right.

Arrow lets nested values lie at an offset, and lets what is under a null be anything. Three habits of DataFusion don't
go with that (version 55; `tests/worker/test_datafusion_input.py` tells when one is gone):

- A field of a struct is taken without a look at the struct's own nulls: the field of a null struct is what lies there.
- The items of a null list or map are used by some functions.
- The offset of a struct or a sparse union is added again to the fields of its fields: a panic, or other rows' values.

So structs give their nulls to their fields, null lists are empty, and structs and sparse unions begin at offset 0.

A table without such columns is handed over as it is; to see that, the nulls of nested columns are counted. Else no
value is copied, only bits that say what is null: one per row, and per field that lacks nulls of its struct (those that
polars made or that were read from Parquet lack none). Only a column with a null list that has items is copied whole,
and so are unions and runs in a struct that has nulls.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from zerrow.worker.extension_types import fields_within
from zerrow.worker.failures import WorkerFailure

EXTENSION_KEYS = (b"ARROW:extension:name", b"ARROW:extension:metadata")


def partitions(table: pa.Table, count: int) -> list[list[pa.RecordBatch]]:
    """The table as about `count` runs of batches of equal length, for as many threads; slices, so no value is copied.

    Raises WorkerFailure of kind `input` for a column that DataFusion can't be told of.
    """
    schema = pa.schema([_readable(field) for field in table.schema], _texts(table.schema.metadata))
    columns = [
        pa.chunked_array([_settled(chunk, True) for chunk in column.chunks], column.type)
        if _is_nested(column.type)
        else column
        for column in table.columns
    ]
    if table.num_rows == 0:
        empty = [column.chunk(0).slice(0, 0) if column.num_chunks else pa.nulls(0, column.type) for column in columns]
        return [[_from_offset_0(pa.RecordBatch.from_arrays(empty, schema=schema))]]
    if columns:
        table = pa.Table.from_arrays(columns, schema=schema)
    rows = -(-table.num_rows // count)
    starts = range(0, table.num_rows, rows)
    # The end is said: a slice of a table without columns would go beyond it.
    runs = [table.slice(start, min(rows, table.num_rows - start)) for start in starts]
    return [[_from_offset_0(batch) for batch in run.to_batches()] for run in runs]


def _from_offset_0(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, in whose columns nulls are where they belong, with all structs at offset 0."""
    columns = batch.columns
    settled = [_settled(column, False) for column in columns]
    if all(new is old for new, old in zip(settled, columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(settled, schema=batch.schema)


def _settled(array: pa.Array, with_nulls: bool) -> pa.Array:
    """The array with all structs at offset 0, and where asked `with_nulls` of structs in their fields.

    The very object where nothing has to be done.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = array.storage
        settled = _settled(storage, with_nulls)
        return array if settled is storage else pa.ExtensionArray.from_storage(kind, settled)
    if kinds.is_struct(kind):
        return _settled_struct(array, with_nulls)
    if kinds.is_union(kind):
        return _settled_union(array, with_nulls)
    if kinds.is_dictionary(kind):
        values = array.dictionary
        settled = _settled(values, with_nulls)
        if settled is values:
            return array
        return pa.DictionaryArray.from_arrays(array.indices, settled, ordered=kind.ordered, safe=False)
    if kinds.is_map(kind) or kinds.is_list(kind) or kinds.is_large_list(kind):
        if with_nulls and _has_items_in_nulls(array):
            array = _with_empty_nulls(array)
        return _settled_list(array, with_nulls)
    if kinds.is_fixed_size_list(kind):
        return _settled_fixed_list(array, with_nulls)
    return array


def _settled_struct(array: pa.StructArray, with_nulls: bool) -> pa.Array:
    fields = [array.field(index) for index in range(array.type.num_fields)]
    settled = [_settled(field, with_nulls) for field in _with_nulls_of(array, fields, with_nulls)]
    is_same = all(new is old for new, old in zip(settled, fields, strict=True))
    if not fields or (is_same and array.offset == 0):
        return array
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(settled, fields=list(array.type), mask=mask)


def _with_nulls_of(array: pa.StructArray, fields: list[pa.Array], with_nulls: bool) -> list[pa.Array]:
    """Each field as it is, or with the struct's nulls where it lacks some."""
    if not (with_nulls and array.null_count):
        return fields
    mask = array.is_null()
    able = [index for index, field in enumerate(fields) if not _has_no_nulls(field.type)]
    result = [field if index in able else _copied_with_nulls(field, mask) for index, field in enumerate(fields)]
    if able:
        # A struct of these alone: pyarrow ends the process where it shall give nulls to a union.
        kinds_able = [array.type.field(index) for index in able]
        part = pa.StructArray.from_arrays([fields[index] for index in able], fields=kinds_able, mask=mask)
        for index, nulled in zip(able, part.flatten(), strict=True):
            if nulled.null_count != fields[index].null_count:
                result[index] = nulled
    return result


def _copied_with_nulls(array: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    """A union or runs, which have no bits for nulls of their own, with nulls within."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _copied_with_nulls(array.storage, mask))
    if kinds.is_null(kind):
        return array
    try:
        if kinds.is_union(kind):
            return array.take(pc.if_else(mask, pa.scalar(None, pa.uint64()), _rows(array)))
        values = pc.if_else(mask, pa.scalar(None, kind.value_type), pc.run_end_decode(array))
        return pc.run_end_encode(values, run_end_type=kind.run_end_type)
    except pa.ArrowNotImplementedError:  # unions of runs, and runs of nested values: pyarrow copies neither
        return array


def _settled_union(array: pa.UnionArray, with_nulls: bool) -> pa.Array:
    kind = array.type
    fields = [array.field(index) for index in range(kind.num_fields)]
    settled = [_settled(field, with_nulls) for field in fields]
    is_sparse = kind.mode == "sparse"
    if all(new is old for new, old in zip(settled, fields, strict=True)) and not (is_sparse and array.offset):
        return array
    codes, *offsets = array.buffers()[1 : 2 if is_sparse else 3]
    buffers = [None, codes.slice(array.offset), *(buffer.slice(4 * array.offset) for buffer in offsets)]
    return pa.Array.from_buffers(kind, len(array), buffers, 0, 0, settled)


def _settled_list(array: pa.ListArray | pa.LargeListArray | pa.MapArray, with_nulls: bool) -> pa.Array:
    values = array.values
    settled = _settled(values, with_nulls)
    if settled is values:
        return array
    buffers = array.buffers()[:2]
    return pa.Array.from_buffers(array.type, len(array), buffers, array.null_count, array.offset, [settled])


def _settled_fixed_list(array: pa.FixedSizeListArray, with_nulls: bool) -> pa.Array:
    size = array.type.list_size
    if not (_is_nested(array.type.value_type) and size):
        return array
    values = array.values.slice(array.offset * size, len(array) * size)
    settled = _settled(values, with_nulls)
    if settled is values and array.offset == 0:
        return array
    mask = array.is_null() if array.null_count else None
    return pa.FixedSizeListArray.from_arrays(settled, type=array.type, mask=mask)


def _with_empty_nulls(array: pa.Array) -> pa.Array:
    try:
        return array.take(_rows(array))
    except pa.ArrowNotImplementedError:  # pyarrow takes nothing that has runs in it
        return array


def _rows(array: pa.Array) -> pa.UInt64Array:
    """The numbers of all rows."""
    return pc.indices_nonzero(pa.repeat(True, len(array)))


def _has_items_in_nulls(array: pa.Array) -> bool:
    if not array.null_count:
        return False
    offsets = array.offsets
    lengths = pc.subtract(offsets[1:], offsets[:-1])
    return pc.any(pc.and_(array.is_null(), pc.greater(lengths, 0))).as_py()


def _is_nested(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_nested(kind.storage_type)
    return kinds.is_nested(kind) or (kinds.is_dictionary(kind) and _is_nested(kind.value_type))


def _has_no_nulls(kind: pa.DataType) -> bool:
    """Has an array of this type no bits that say what is null?"""
    if isinstance(kind, pa.BaseExtensionType):
        return _has_no_nulls(kind.storage_type)
    return kinds.is_union(kind) or kinds.is_run_end_encoded(kind) or kinds.is_null(kind)


def _readable(field: pa.Field) -> pa.Field:
    """The field without metadata that is no text, which DataFusion refuses. Raises where that would change its type."""
    for part in fields_within(field):
        metadata = part.metadata or {}
        told = [metadata.get(key, b"") for key in EXTENSION_KEYS]
        if isinstance(part.type, pa.ExtensionType):
            told.append(part.type.__arrow_ext_serialize__())
        if not all(map(_is_text, told)) or (part is not field and metadata != (_texts(metadata) or {})):
            raise WorkerFailure(
                "input",
                f"the column {field.name!r} has metadata that is no text, which DataFusion does not take (extension "
                f"type: {_extension_name(part) or 'none'}): leave the column out, give its storage or drop its "
                "metadata in the model that makes it, or write `-- zerrow: engine = duckdb`",
            )
    return field.with_metadata(_texts(field.metadata))


def _extension_name(field: pa.Field) -> str:
    if isinstance(field.type, pa.BaseExtensionType):
        return field.type.extension_name
    return (field.metadata or {}).get(EXTENSION_KEYS[0], b"").decode(errors="replace")


def _texts(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    return {key: value for key, value in (metadata or {}).items() if _is_text(key) and _is_text(value)} or None


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True

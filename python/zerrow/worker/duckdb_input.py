"""Tables in the form that DuckDB reads right, or an error that names the column.

Of what Arrow allows, DuckDB (version 2.0; `tests/worker/test_duckdb_input.py` tells when one is gone)

- gives columns other names where two differ in case only, or one has none;
- reads a dictionary in a fixed-size list, in runs or in another dictionary as its indices;
- looks at the value under a null of a duration: pandas leaves the least of all there, which is out of range;
- ends the process at fixed-size lists of size 0.

The first and the last are refused. Columns with such dictionaries are decoded, and durations with nulls made anew; all
else is handed over as it is.
"""

from __future__ import annotations

import string

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from zerrow.worker.extension_types import fields_within
from zerrow.worker.failures import WorkerFailure

LOWER_CASE = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""The letters whose case DuckDB disregards."""


def readable(name: str, table: pa.Table) -> pa.Table:
    """The table of that name for DuckDB. Raises WorkerFailure of kind `input`."""
    _check(name, table.schema)
    for index, field in enumerate(table.schema):
        column = table.column(index)
        kind = _without_inner_dictionaries(field.type)
        if kind != field.type:
            table = table.set_column(index, field.with_type(kind), _cast(name, field, column, kind))
        elif kinds.is_duration(kind) and column.null_count:
            table = table.set_column(index, field, pa.chunked_array(map(_with_zeros_under_nulls, column.chunks), kind))
    return table


def _check(table: str, schema: pa.Schema) -> None:
    names: dict[str, str] = {}
    for field in schema:
        first = names.setdefault(field.name.translate(LOWER_CASE), field.name)
        if first != field.name or not field.name:
            what = f"the columns {first!r} and {field.name!r}" if field.name else "the column ''"
            raise WorkerFailure(
                "input",
                f"the table {table!r} has {what}, which DuckDB would call otherwise: "
                "rename it in the model that makes it, or write `-- zerrow: engine = datafusion`",
            )
        if any(kinds.is_fixed_size_list(part.type) and not part.type.list_size for part in fields_within(field)):
            raise WorkerFailure(
                "input", f"the column {field.name!r} of the table {table!r} has lists of no items, which DuckDB has not"
            )


def _without_inner_dictionaries(kind: pa.DataType, is_inner: bool = False) -> pa.DataType:
    """The type with values in place of the dictionaries that DuckDB would read as indices."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind
    if kinds.is_dictionary(kind):
        values = _without_inner_dictionaries(kind.value_type, True)
        return values if is_inner or values != kind.value_type else kind
    if kinds.is_run_end_encoded(kind):
        values = _without_inner_dictionaries(kind.value_type, True)
        return values if values != kind.value_type else kind
    is_inner = is_inner or kinds.is_fixed_size_list(kind)
    fields = [kind.field(index) for index in range(kind.num_fields)]
    changed = [field.with_type(_without_inner_dictionaries(field.type, is_inner)) for field in fields]
    if changed == fields or kinds.is_union(kind):
        return kind
    if kinds.is_struct(kind):
        return pa.struct(changed)
    if kinds.is_map(kind):
        return pa.map_(changed[0].type.field(0), changed[0].type.field(1), keys_sorted=kind.keys_sorted)
    if kinds.is_fixed_size_list(kind):
        return pa.list_(changed[0], kind.list_size)
    return pa.large_list(changed[0]) if kinds.is_large_list(kind) else pa.list_(changed[0])


def _cast(name: str, field: pa.Field, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise WorkerFailure(
            "input",
            f"the column {field.name!r} of the table {name!r} has a dictionary within {field.type}, which DuckDB reads "
            "wrong: decode it in the model that makes it, or write `-- zerrow: engine = datafusion`",
        ) from error


def _with_zeros_under_nulls(array: pa.Array) -> pa.Array:
    filled = pc.fill_null(array, pa.scalar(0, array.type))
    buffers = [array.is_valid().buffers()[1], filled.buffers()[1]]
    return pa.Array.from_buffers(array.type, len(array), buffers, array.null_count, filled.offset)

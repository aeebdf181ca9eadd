"""Columns as texts for files of rows: JSON values, and the fields of CSV before they are quoted.

All is done by whole columns. Dates and times are as in ISO 8601, binary values are hexadecimal, decimals keep their
digits, and what is nested is JSON.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from zerrow.worker.failures import WorkerFailure

_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
_CONTROLS = r"[\x00-\x1f]"


def json_texts(column: pa.Array) -> pa.Array:
    """The JSON texts of a column's values, without nulls: a null is the text `null`."""
    column = _decoded(column)
    kind = column.type
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_decimal(kind):
        texts = _cast(column)
    elif kinds.is_floating(kind):
        # JSON has neither NaN nor infinities.
        numbers = _wide(column)
        texts = _floats(pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, numbers.type)))
    elif kinds.is_struct(kind):
        texts = _struct(column)
    elif kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        texts = _list(column)
    elif kinds.is_map(kind):
        texts = pa.array(
            [None if pairs is None else _map(pairs, kind) for pairs in column.to_pylist()], text(None).type
        )
    elif _is_plain(kind):
        texts = _quoted(_words(column))
    else:
        return pa.array([_dumped(value) for value in _values(column)], pa.large_string())
    return pc.fill_null(texts, text("null"))


def may_need_quotes(kind: pa.DataType) -> bool:
    """Whether a text of a type can have anything but letters, digits and a few signs."""
    if kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return may_need_quotes(kind.value_type)
    return not (kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_temporal(kind))


def plain_texts(column: pa.Array) -> pa.Array:
    """The texts of a column's values; nulls stay nulls."""
    column = _decoded(column)
    kind = column.type
    if kinds.is_floating(kind):
        return _floats(_wide(column))
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_decimal(kind):
        return _cast(column)
    if _is_plain(kind):
        return _words(column)
    texts = json_texts(column)
    return pc.if_else(column.is_valid(), texts, text(None))


def text(value: str | None) -> pa.Scalar:
    """A text of the type that all texts of columns have here."""
    return pa.scalar(value, pa.large_string())


def json_key(name: str) -> str:
    """A column's name as a JSON text."""
    return json.dumps(name, ensure_ascii=False)


def _decoded(column: pa.Array) -> pa.Array:
    """The column with its values side by side: no dictionary, no run, no type of somebody's own that has a storage."""
    if isinstance(column.type, pa.BaseExtensionType):
        if column.type.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        return _decoded(column.storage)
    if kinds.is_dictionary(column.type):
        return _decoded(column.dictionary_decode())
    if kinds.is_run_end_encoded(column.type):
        return _decoded(pc.run_end_decode(column))
    return column


def _is_plain(kind: pa.DataType) -> bool:
    """Whether `_words` knows the type."""
    return (
        _is_text(kind)
        or (kinds.is_temporal(kind) and not kinds.is_interval(kind))
        or kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_fixed_size_binary(kind)
        or kinds.is_binary_view(kind)
    )


def _words(column: pa.Array) -> pa.Array:
    """Texts of values that are texts, moments or bytes."""
    kind = column.type
    if kinds.is_timestamp(kind):
        # A text of a time zone's moment is UTC's, with a Z.
        moments = column.cast(pa.timestamp(kind.unit, "UTC")) if kind.tz is not None else column
        return pc.replace_substring(_cast(moments), " ", "T", max_replacements=1)
    if kinds.is_duration(kind):
        return pa.array([_duration(each, kind.unit) for each in column.cast(pa.int64()).to_pylist()], pa.large_string())
    if kinds.is_temporal(kind):
        return _cast(column)
    if _is_text(kind):
        texts = _cast(column)
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            raise WorkerFailure("result", "a text is not in UTF-8") from None
        return texts
    return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.large_string())


def _duration(ticks: int | None, unit: str) -> str | None:
    """As ISO 8601: PT1.5S."""
    if ticks is None:
        return None
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    whole, part = divmod(abs(ticks), 10**digits)
    fraction = f".{part:0{digits}}".rstrip("0") if part else ""
    return f"{'-' if ticks < 0 else ''}PT{whole}{fraction}S"


def _wide(column: pa.Array) -> pa.Array:
    return column.cast(pa.float32()) if kinds.is_float16(column.type) else column


def _floats(numbers: pa.Array) -> pa.Array:
    """The shortest texts that give these numbers again. 2.0 has its point: no reader is to take it for an integer."""
    texts = _cast(numbers)
    is_whole = pc.equal(numbers, pc.floor(numbers))
    if not pc.any(is_whole).as_py():
        return texts
    whole = pc.binary_join_element_wise(texts, text(".0"), text(""))
    return pc.if_else(pc.match_substring_regex(texts, r"^-?[0-9]+$"), whole, texts)


def _cast(column: pa.Array) -> pa.Array:
    return column.cast(pa.large_string())


def _quoted(texts: pa.Array) -> pa.Array:
    """JSON texts of texts; nulls stay nulls."""
    for letter, escaped in _ESCAPES:
        texts = pc.replace_substring(texts, letter, escaped)
    if pc.any(pc.match_substring_regex(texts, _CONTROLS)).as_py():
        kept = (None if each is None else "".join(map(_escaped, each)) for each in texts.to_pylist())
        texts = pa.array(kept, pa.large_string())
    return pc.binary_join_element_wise(text('"'), texts, text('"'), text(""))


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter < " " else letter


def _struct(column: pa.Array) -> pa.Array:
    fields = [column.type.field(index) for index in range(column.type.num_fields)]
    if not fields:
        return pc.if_else(column.is_valid(), text("{}"), text(None))
    texts = joined(
        [json_texts(child) for child in column.flatten()],
        [("{" if index == 0 else ",") + json_key(field.name) + ":" for index, field in enumerate(fields)],
        "}",
    )
    return pc.if_else(column.is_valid(), texts, text(None))


def _list(column: pa.Array) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    # Only what is in lists that are there.
    there = pc.drop_null(column) if column.null_count else column
    texts = pa.LargeListArray.from_arrays(offsets, json_texts(there.flatten()))
    joined_texts = pc.binary_join_element_wise(text("["), pc.binary_join(texts, text(",")), text("]"), text(""))
    return pc.if_else(column.is_valid(), joined_texts, text(None))


def joined(columns: list[pa.Array], before: list[str], end: str) -> pa.Array:
    """The texts of a row side by side, each with some text before it, and an end."""
    parts: list[Any] = []
    for words, column in zip(before, columns, strict=True):
        parts += [text(words), column]
    return pc.binary_join_element_wise(*parts, text(end), text(""))


def _values(column: pa.Array) -> list[Any]:
    """Python values; texts where a value has no Python form."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, ImportError, pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [None if not value.is_valid else str(value) for value in column]


def _dumped(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _map(pairs: list[tuple[Any, Any]], kind: pa.MapType) -> str:
    """An object where the keys are texts, each of them once, else a list of keys and values."""
    if _is_text(kind.key_type) and len({key for key, _ in pairs}) == len(pairs):
        return _dumped(dict(pairs))
    return _dumped([{"key": key, "value": each} for key, each in pairs])


def _is_text(kind: pa.DataType) -> bool:
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)

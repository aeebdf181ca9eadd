"""The facts that the footers of a source's files give of its table: columns, how these are stored, their decoded sizes.

Footers are bytes that anybody may have written, and a reader in C++ may end its process over them: this runs in the
process of zerrow.plan.footer_reader.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from zerrow.plan.host_files import OWN_FILES
from zerrow.plan.source_files import shown
from zerrow.plan.streamable import Streamable
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.footer import Footer, common_schema
from zerrow.worker.partitions import partition_value, with_partitions

_INDEX_BYTES = 4  # what a dictionary-encoded value takes once decoded
_SLACK_BYTES = 4096  # headers and levels, which weigh in small row groups alone
_CHUNKS_MAX = 50_000  # column chunks of a file that are looked at; more are taken to be like these
_BYTES_MAX = 1 << 50  # what a footer may claim
_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")
_EXACT_DIGITS = 18  # decimals of so many digits meet any constant in 38 digits, where wider ones may fail
BAD_FILES_MAX = 10
"""Unreadable files of one source that are reported; the rest is not looked at."""


class _Conflict(Exception):
    """Files of a source that don't fit each other."""


def read_source(
    request: dict[str, Any], begin: Callable[[int, int], None], tail: Callable[[str], bytes] = OWN_FILES.tail
) -> dict[str, Any]:
    """The answer to a request of zerrow.plan.footer_reader, which says what is in both.

    `begin` is told the number of each file and the bytes of its footer before that is read; `tail` gives a file's end
    from its footer on.
    """
    bad: dict[int, str] = {int(file): why for file, why in request["bad"].items()}
    answer: dict[str, Any] = {"errors": []}
    table = _Table(request, bad, begin, tail)
    try:
        schema = with_partitions(common_schema(table.schemas(), _Conflict), request["partitions"])
        table.add_partitions(schema)
    except _Conflict as error:
        answer["errors"].append(["column-types", str(error), "rewrite one of them, or make two sources of them"])
    except WorkerFailure as error:
        answer["errors"].append(["column-types", error.message, "turn 'hive' off, or give the column another type"])
    files = request["files"]
    for file in sorted(bad)[:BAD_FILES_MAX]:
        problem = f"{shown(files[file])} is no Parquet file that can be read: {bad[file]}"
        answer["errors"].append(["source-unreadable", problem, "remove or replace the file"])
    for file in table.repeated:
        answer["errors"].append(["duplicate-column", f"{shown(files[file])} has two columns of one name", None])
    if answer["errors"]:
        return answer
    return {
        "errors": [],
        "kinds": {field.name: _kind(field.type) for field in schema},
        "schema": base64.b64encode(schema.serialize()).decode(),
        "bytes": {name: max(0, min(int(size), _BYTES_MAX)) for name, size in table.bytes.items()},
        "dictionary": [name for name in schema.names if table.stored.get(name)],
        "streamable": table.streamable.columns(schema),
    }


class _Table:
    """Gathers what the files of a source say, one after the other."""

    def __init__(
        self,
        request: dict[str, Any],
        bad: dict[int, str],
        begin: Callable[[int, int], None],
        tail: Callable[[str], bytes],
    ) -> None:
        self.bytes: dict[str, float] = {}
        self.stored: dict[str, bool] = {}
        self.repeated: list[int] = []
        self.streamable = Streamable()
        self._request = request
        self._bad = bad
        self._begin = begin
        self._tail = tail
        self._rows = [0] * len(request["files"])

    def schemas(self) -> Iterator[tuple[str, pa.Schema]]:
        """The schemas of the files that can be read."""
        for number, file in enumerate(self._request["files"]):
            if number in self._bad:
                continue
            if len(self._bad) + len(self.repeated) >= BAD_FILES_MAX:
                return
            try:
                footer = self._footer(number, file)
                names = footer.schema.names
                if len(names) != len(set(names)):
                    self.repeated.append(number)
                    continue
            except Exception as error:  # pyarrow has many words for it
                self._bad[number] = _first_line(error)
                continue
            self._rows[number] = footer.rows
            # Where a size can't be told the column may yet be read.
            with contextlib.suppress(Exception):
                self._measure(footer)
            try:
                self.streamable.add(footer.schema, footer.metadata)
            except Exception:  # what can't be told of a column is left to a scan
                self.streamable.refuse()
            yield shown(file), footer.schema

    def add_partitions(self, schema: pa.Schema) -> None:
        """Add the columns that folders' names give. Raises WorkerFailure for a text that is no value of its type."""
        for name, column in self._request["partitions"].items():
            kind = schema.field(name).type
            for text in dict.fromkeys(column["texts"]):
                partition_value(name, text, kind)
            rows = sum(self._rows)
            length = sum(len(text or "") * own for text, own in zip(column["texts"], self._rows, strict=True))
            is_text = pa.types.is_string(kind)
            wide = _INDEX_BYTES * rows + length if is_text else 8 * rows
            self.bytes[name] = _INDEX_BYTES * rows if name in (self._request["dictionary"] or ()) else wide
            self.stored[name] = is_text

    def _footer(self, number: int, file: str) -> Footer:
        content = self._tail(file)
        self._begin(number, len(content))
        return Footer(content)

    def _measure(self, footer: Footer) -> None:
        """Count the bytes of a file's columns once decoded, and see which are texts that it holds with dictionaries."""
        asked = self._request["dictionary"]
        leaves = list(_leaves(footer.schema))
        metadata = footer.metadata
        if len(leaves) != metadata.num_columns or not metadata.num_row_groups:
            return
        looked_at = range(max(1, min(metadata.num_row_groups, _CHUNKS_MAX // max(1, len(leaves)))))
        groups = [metadata.row_group(group) for group in looked_at]
        rows = sum(footer.group_rows[group] for group in looked_at)
        scale = footer.rows / rows if rows else 1.0
        for number, (name, kind) in enumerate(leaves):
            is_text = str(kind) in _TEXTS
            stored = is_text and asked is None and all(_is_dictionary(group, number) for group in groups)
            self.stored[name] = stored and self.stored.get(name, True)
            # Columns that are asked for count as dictionaries; if none are named, those that are stored as such do.
            is_dictionary = stored if asked is None else name in asked
            chunks = [group.column(number) for group in groups]
            for chunk in chunks:
                _touch(chunk)
            size = sum(_chunk_bytes(chunk, kind, is_dictionary) for chunk in chunks)
            self.bytes[name] = self.bytes.get(name, 0.0) + max(0.0, min(size * scale, float(_BYTES_MAX)))


def _is_dictionary(row_group: Any, number: int) -> bool:
    """Whether a text is held with a dictionary that is small beside its rows.

    A writer that gives a dictionary up halfway doesn't say so in the footer, but the column chunk is large then.
    """
    chunk, limit = row_group.column(number), _INDEX_BYTES * row_group.num_rows + _SLACK_BYTES
    return chunk.has_dictionary_page and chunk.total_uncompressed_size <= limit


def _chunk_bytes(chunk: Any, kind: pa.DataType, is_dictionary: bool) -> int:
    if is_dictionary:
        return _INDEX_BYTES * chunk.num_values + chunk.total_uncompressed_size
    if pa.types.is_null(kind):
        return 0
    if str(kind) not in (*_TEXTS, *_BYTES):
        return (chunk.num_values * kind.bit_width + 7) // 8
    if not chunk.has_dictionary_page:
        return chunk.total_uncompressed_size
    # A value is stored once: the bytes it takes each time are guessed from the smallest and the largest value.
    lengths = _lengths(chunk)
    length = sum(lengths) // len(lengths) if lengths else 0
    return max(chunk.total_uncompressed_size, (_INDEX_BYTES + length) * chunk.num_values)


def _touch(chunk: Any) -> None:
    """Find out now whether a chunk's statistics end the process: row groups are pruned by them later."""
    with contextlib.suppress(ValueError, TypeError, pa.ArrowException):
        chunk.statistics  # noqa: B018


def _lengths(chunk: Any) -> list[int]:
    """The bytes of the smallest and the largest value; none where that isn't told, or isn't text as it should be."""
    try:
        statistics = chunk.statistics
        ends = (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else ()
        return [len(end.encode() if isinstance(end, str) else end) for end in ends]
    except (ValueError, TypeError, pa.ArrowException):
        return []


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    """The columns that Parquet knows, in order: the table's column that each belongs to, and its type."""
    for field in schema:
        for kind in _leaf_types(field.type):
            yield field.name, kind


def _leaf_types(kind: pa.DataType) -> Iterator[pa.DataType]:
    kind = _plain(kind)
    if not pa.types.is_nested(kind):
        yield kind
        return
    for index in range(kind.num_fields):
        yield from _leaf_types(kind.field(index).type)


def _plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    return _plain(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _kind(column: pa.DataType) -> str:
    types = pa.types
    if types.is_dictionary(column):
        column = column.value_type
    tests = (
        ("bool", types.is_boolean),
        ("int", types.is_integer),
        ("float", types.is_floating),
        ("decimal", lambda kind: types.is_decimal(kind) and kind.precision <= _EXACT_DIGITS),
        ("wide_decimal", types.is_decimal),
        ("date", types.is_date),
        ("timestamptz", lambda kind: types.is_timestamp(kind) and kind.tz is not None),
        ("timestamp", types.is_timestamp),
        ("string", types.is_string),
        ("string", types.is_large_string),
        ("string", types.is_string_view),
    )
    return next((kind for kind, test in tests if test(column)), "other")


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the name of a column, or what else its footer says, is no UTF-8 text"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__

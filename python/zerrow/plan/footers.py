"""What the footers of Parquet files tell of a table: its columns, how these are stored, and what they take decoded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_INDEX_BYTES = 4  # what a dictionary-encoded value takes once decoded
_SLACK_BYTES = 4096  # headers and levels, which weigh in small row groups alone
_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")


class Footer:
    """The footer of one file."""

    def __init__(self, path: str) -> None:
        """Reads it. Raises pa.ArrowException or OSError."""
        self._metadata = pq.read_metadata(path)
        self.schema: pa.Schema = self._metadata.schema.to_arrow_schema()

    def leaves(self) -> Iterator[tuple[str, int, pa.DataType]]:
        """The columns that Parquet knows: the table's column each belongs to, its number, and its type."""
        number = 0
        for field in self.schema:
            for kind in _leaf_types(field.type):
                yield field.name, number, kind
                number += 1

    def dictionary_columns(self) -> dict[str, bool]:
        """The columns by name, but for those of no row group: is it a text that each holds with a small dictionary?

        Small beside its rows, that is. A writer that gives a dictionary up halfway doesn't say so in the footer, but
        the column chunk is large then.
        """
        found = {}
        groups = [self._metadata.row_group(group) for group in range(self._metadata.num_row_groups)]
        texts = {field.name for field in self.schema if str(field.type) in _TEXTS}
        for name, number, _ in self.leaves():
            if groups:
                found[name] = name in texts and all(_is_dictionary(group, number) for group in groups)
        return found

    def decoded_bytes(self, columns: Collection[str] | None, dictionary: Collection[str]) -> int:
        """About what columns, all for None, take once decoded; those in `dictionary` as dictionaries."""
        leaves = [leaf for leaf in self.leaves() if columns is None or leaf[0] in columns]
        total = 0
        for group in range(self._metadata.num_row_groups):
            row_group = self._metadata.row_group(group)
            for name, number, kind in leaves:
                total += _chunk_bytes(row_group.column(number), kind, name in dictionary)
        return total


def _is_dictionary(row_group: Any, number: int) -> bool:
    chunk, limit = row_group.column(number), _INDEX_BYTES * row_group.num_rows + _SLACK_BYTES
    return chunk.has_dictionary_page and chunk.total_uncompressed_size <= limit


def _chunk_bytes(chunk: Any, kind: pa.DataType, is_dictionary: bool) -> int:
    if is_dictionary:
        return _INDEX_BYTES * chunk.num_values + chunk.total_uncompressed_size
    if str(kind) not in (*_TEXTS, *_BYTES):
        return (chunk.num_values * kind.bit_width + 7) // 8 if kind.num_buffers else 0
    if not chunk.has_dictionary_page:
        return chunk.total_uncompressed_size
    # A value is stored once: what it takes each time is guessed from the smallest and the largest one.
    statistics = chunk.statistics
    ends = (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else ()
    lengths = [len(end.encode() if isinstance(end, str) else end) for end in ends]
    length = sum(lengths) // len(lengths) if lengths else 0
    return max(chunk.total_uncompressed_size, (_INDEX_BYTES + length) * chunk.num_values)


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

"""Columns of a Parquet file that are decoded at once, each by one thread from its beginning to its end.

pyarrow divides each batch of rows among its threads by columns, and waits for the last of them before it begins the
next batch: with two threads and columns of different sizes a quarter of the time one of them had nothing to do. Here
threads take whole columns, the largest first, and wait for each other once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def decode_columns(
    open_file: Callable[[], pq.ParquetFile], groups: list[int], columns: Sequence[str], batch_rows: int, threads: int
) -> dict[str, pa.ChunkedArray]:
    """The columns of some row groups, in chunks of `batch_rows` rows, by their names. None may hold a dictionary.

    `open_file` gives each thread a reader of its own, which shares the footer. Raises what the readers raise, of
    several the failure of the column that comes first.
    """
    work = _Work(open_file, groups, columns, batch_rows)
    others = [threading.Thread(target=work.run, daemon=True) for _ in range(min(threads, len(columns)) - 1)]
    for thread in others:
        thread.start()
    work.run()
    for thread in others:
        thread.join()
    for name in columns:
        if name in work.failures:
            raise work.failures[name]
    return {name: work.decoded[name] for name in columns}


class _Work:
    """Columns that wait for a thread, and what became of the others."""

    def __init__(
        self, open_file: Callable[[], pq.ParquetFile], groups: list[int], columns: Sequence[str], batch_rows: int
    ) -> None:
        self._open_file = open_file
        self._groups = groups
        self._batch_rows = batch_rows
        sizes = _sizes(open_file().metadata, groups)
        self._waiting = sorted(columns, key=lambda name: sizes.get(name, 0))
        """The largest is the last, and taken first; taking is atomic."""
        self.decoded: dict[str, pa.ChunkedArray] = {}
        self.failures: dict[str, BaseException] = {}

    def run(self) -> None:
        """Decodes columns as long as one waits and none has failed."""
        file: pq.ParquetFile | None = None
        while self._waiting and not self.failures:
            try:
                name = self._waiting.pop()
            except IndexError:
                return
            try:
                file = file or self._open_file()
                self.decoded[name] = self._decode(file, name)
            except BaseException as error:
                self.failures[name] = error

    def _decode(self, file: pq.ParquetFile, name: str) -> pa.ChunkedArray:
        batches = file.iter_batches(self._batch_rows, row_groups=self._groups, columns=[name], use_threads=False)
        # By its name: `a` means `a.b` as well to pyarrow, be that a part of it or another column.
        chunks = [batch.column(name) for batch in batches]
        return pa.chunked_array(chunks, None if chunks else file.schema_arrow.field(name).type)


def _sizes(metadata: pq.FileMetaData, groups: list[int]) -> dict[str, int]:
    """The bytes of each column once decompressed, by the name of the field that its leaves belong to."""
    sizes: dict[str, int] = {}
    for group in groups:
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            leaf = row_group.column(index)
            name = leaf.path_in_schema.split(".", 1)[0]
            sizes[name] = sizes.get(name, 0) + leaf.total_uncompressed_size
    return sizes

"""The result of a query: an Arrow IPC stream in a file, mapped and not read before somebody looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bauplan.exceptions import BauplanQueryError

if TYPE_CHECKING:
    import pyarrow


class Result:
    """The rows of a query, no more of them than were wanted."""

    def __init__(self, reader: pyarrow.RecordBatchReader, rows_max: int | None) -> None:
        self._reader = reader
        self._rows_max = rows_max

    @staticmethod
    def open(folder: Path, rows_max: int | None) -> Result:
        """The one result that was exported into a folder."""
        import pyarrow

        files = list(folder.glob("*.arrows"))
        if len(files) != 1:
            raise BauplanQueryError(f"the query gave {len(files)} results instead of one")
        return Result(pyarrow.ipc.open_stream(pyarrow.memory_map(str(files[0]))), rows_max)

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns."""
        return self._reader.schema

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The rows, batch by batch; once only."""
        left = self._rows_max
        for batch in self._reader:
            if left is not None:
                batch = batch.slice(0, left)
                left -= batch.num_rows
            if batch.num_rows:
                yield batch
            if left == 0:
                return

    def table(self) -> pyarrow.Table:
        """All rows."""
        import pyarrow

        return pyarrow.Table.from_batches(list(self.batches()), self.schema)

"""Blocks of a source: some columns and some row groups of one file, as DeCache knows them (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure


@dataclass(frozen=True)
class Block:
    """Columns and row groups of the file with that number in the task, decoded as `read` says. Groups ascend."""

    file: int
    read: str
    columns: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def units(self) -> int:
        """How many columns of row groups it has."""
        return len(self.columns) * len(self.groups)

    def as_json(self) -> dict[str, Any]:
        """As a message has it."""
        return {
            "file": self.file,
            "read": self.read,
            "columns": list(self.columns),
            "groups": [[run.start, run.stop] for run in runs(self.groups)],
        }

    @staticmethod
    def from_json(body: Any) -> Block:
        """The block in a message. Raises WorkerFailure of kind `internal` if it is none."""
        if not isinstance(body, dict):
            raise WorkerFailure("internal", "a block is no JSON object")
        file, read, columns, ranges = (body.get(key) for key in ("file", "read", "columns", "groups"))
        is_block = (
            type(file) is int
            and file >= 0
            and isinstance(read, str)
            and isinstance(columns, list)
            and all(isinstance(name, str) for name in columns)
            and isinstance(ranges, list)
            and all(isinstance(run, list) and [type(end) for end in run] == [int, int] for run in ranges)
        )
        if not is_block or not columns or len(set(columns)) < len(columns) or not _ascend(ranges):
            raise WorkerFailure("internal", "a block lacks its file, its columns or its row groups")
        return Block(file, read, tuple(columns), tuple(group for start, stop in ranges for group in range(start, stop)))


GROUPS_MAX = 1 << 20
"""More row groups than any file has that can be read."""


def _ascend(ranges: list[list[int]]) -> bool:
    ends = [end for run in ranges for end in run]
    if not ends or ends[0] < 0 or ends[-1] > GROUPS_MAX or sorted(ends) != ends:
        return False
    return all(start < stop for start, stop in ranges)


def runs(groups: Iterable[int]) -> Iterator[range]:
    """Ascending numbers as ranges of neighbours."""
    start = stop = None
    for group in groups:
        if group != stop:
            if start is not None:
                yield range(start, stop)
            start = group
        stop = group + 1
    if start is not None:
        yield range(start, stop)


class Piece:
    """A block's data: a table whose rows are those of the block's groups in order."""

    def __init__(self, block: Block, table: pa.Table, rows: list[int]) -> None:
        """`rows` has the rows of each row group of the file. Raises WorkerFailure of kind `internal`."""
        self.block = block
        self.table = table
        self.starts: dict[int, int] = {}
        start = 0
        for group in block.groups:
            if group >= len(rows):
                raise WorkerFailure("internal", f"a piece has the row group {group} of a file that has {len(rows)}")
            self.starts[group] = start
            start += rows[group]
        if table.num_rows != start or tuple(table.column_names) != block.columns:
            raise WorkerFailure("internal", "a piece is another table than its block says")

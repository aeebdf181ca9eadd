"""Scans: one for each source table and filter, with the columns of all its readers."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zerrow.plan.inputs import Input
from zerrow.plan.sources import Source

if TYPE_CHECKING:
    from zerrow.plan.filter import Filter


@dataclass
class Scan:
    """A scan of a source table. `columns` of None means all. One that is streamed is no model: its reader does it."""

    name: str
    source: Source
    filter: Filter | None
    columns: tuple[str, ...] | None = ()
    readers: list[Input] = field(default_factory=list)
    is_streamed: bool = False


def merge_scans(
    inputs: list[Input], sources: dict[str, Source], streamed: Container[int] = frozenset()
) -> dict[int, Scan]:
    """The scan of every input that reads a source, by the input's id().

    Inputs of one table and filter share a scan. A condition of a SQL query goes into the scan when no
    other reader shares it. The inputs whose id() is in `streamed` have one of their own, with the filter that it would
    have been.
    """
    readers: dict[tuple[str, Filter | None], list[Input]] = {}
    for input_ in inputs:
        if input_.table in sources:
            readers.setdefault((input_.table, input_.filter), []).append(input_)
    by_condition: dict[tuple[str, Filter | None], list[Input]] = {}
    for (table, condition), group in readers.items():
        if condition is None and len(group) == 1 and group[0].pushed is not None:
            group[0].filter = condition = group[0].pushed
        by_condition.setdefault((table, condition), []).extend(group)
    scans: dict[int, Scan] = {}
    counts: dict[str, int] = {}
    for (table, _), group in by_condition.items():
        for input_ in group:
            if id(input_) in streamed:
                own = Scan(table, sources[table], input_.filter, input_.columns, [input_], is_streamed=True)
                scans[id(input_)] = own
        group = [input_ for input_ in group if id(input_) not in streamed]
        if not group:
            continue
        counts[table] = counts.get(table, 0) + 1
        name = table if counts[table] == 1 else f"{table}#{counts[table]}"
        scan = Scan(name, sources[table], group[0].filter, _union(group, sources[table]), group)
        scans.update({id(input_): scan for input_ in group})
    return scans


def _union(readers: list[Input], source: Source) -> tuple[str, ...] | None:
    """The columns that at least one reader wants, in the files' order; None for all."""
    wanted: set[str] = set()
    for reader in readers:
        if reader.columns is None:
            return None
        wanted.update(reader.columns)
    if source.kinds is None:
        return tuple(sorted(wanted))
    return tuple(name for name in source.kinds if name in wanted) if len(wanted) < len(source.kinds) else None

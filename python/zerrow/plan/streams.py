"""The sources that their readers read by themselves, without a scan before them (docs/decisions/streamed-scans.md)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from zerrow.plan.declarations import Declaration, SqlModel
from zerrow.plan.inputs import Input
from zerrow.plan.scans import Scan
from zerrow.plan.sources import Source
from zerrow.plan.tasks import scan_task

MEMORY_SHARE = 2
"""A source whose columns take more than one part in so many of the memory is decoded for nobody who can stream it."""
_TELLING = re.compile(r"typeof|arrow_metadata|sample", re.IGNORECASE)
"""Words by which a query could tell how a table came to it: of types, and samples, which go by the batches of rows."""
FILES_MAX = 1000
"""The most files of a source that an engine is told of: it opens each one when it plans its query."""


def streamed_inputs(
    models: Mapping[str, Declaration],
    inputs: Iterable[Input],
    sources: Mapping[str, Source],
    memory_bytes: int | None = None,
) -> set[int]:
    """The inputs that are streamed, each by its id(): those of SQL models that are a source's only readers, and all of
    SQL models where the source is too large for half of `memory_bytes`.

    What two read is decoded once, and shared.
    """
    inputs = [each for each in inputs if each.table in sources]
    counts = Counter(each.table for each in inputs)
    return {
        id(each)
        for each in inputs
        if _may_stream(models[each.model], each, sources[each.table])
        and (counts[each.table] == 1 or _is_large(each.table, inputs, sources, memory_bytes))
    }


def asked_for(
    inputs: Iterable[Input], sources: Mapping[str, Source], environments: Mapping[str, str], default: str
) -> set[int]:
    """The inputs of Python models that ask for a source as a stream, each by its id(): their workers read the files.

    `environments` has each model's. In one of its own a model gets a stream of a scan's table: DataFusion, which gives
    filters their meaning, and the pyarrow that scans decode with are in the `default` one.
    """
    return {
        id(each)
        for each in inputs
        if each.is_streamed and each.table in sources and sources[each.table].schema is not None
        if sources[each.table].files and environments[each.model] == default
    }


def _may_stream(model: Declaration, input_: Input, source: Source) -> bool:
    if not isinstance(model, SqlModel) or source.schema is None or not source.files or source.partitions:
        return False
    if len(source.files) > FILES_MAX or _TELLING.search(model.text):
        return False
    columns = source.kinds if input_.columns is None else input_.columns
    # A condition that can be pushed into a scan is on columns of the query.
    return source.streamable.get(model.engine, frozenset()).issuperset(columns or ())


def _is_large(table: str, inputs: list[Input], sources: Mapping[str, Source], memory_bytes: int | None) -> bool:
    if memory_bytes is None:
        return False
    readers = [each.columns for each in inputs if each.table == table]
    columns = None if None in readers else {name for each in readers for name in each or ()}
    return sources[table].decoded_bytes(columns) > memory_bytes // MEMORY_SHARE


def stream(entry: dict[str, Any], scans: list[Scan | None]) -> None:
    """Turn the arguments of a planned model that are streamed from inputs into sources.

    `scans` has the scan of each of its inputs; None for those that no scan gives.
    """
    sources = [scan_task(scan) if scan is not None and scan.is_streamed else None for scan in scans]
    if not any(sources):
        return
    kept = [index for index, source in enumerate(sources) if source is None]
    places = {index: place for place, index in enumerate(kept)}
    arguments = []
    for argument in entry["task"]["arguments"]:
        source = None if "input" not in argument else sources[argument["input"]]
        if source is not None:
            argument = {key: value for key, value in argument.items() if key != "input"} | {"source": source}
        elif "input" in argument:
            argument = {**argument, "input": places[argument["input"]]}
        arguments.append(argument)
    entry["task"]["arguments"] = arguments
    entry["inputs"] = [entry["inputs"][index] for index in kept]
    entry["streamed"] = [
        {
            "table": scan.source.declaration.name,
            "files": len(scan.source.files),
            "bytes": sum(each["bytes"] for each in scan.source.identities),
        }
        for scan in scans
        if scan is not None and scan.is_streamed
    ]

"""The sources that their readers read by themselves, without a scan before them (docs/decisions/streamed-scans.md)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlglot import exp

from zerrow.plan.declarations import Declaration, SqlModel
from zerrow.plan.inputs import Input
from zerrow.plan.scans import Scan
from zerrow.plan.sources import Source
from zerrow.plan.tasks import scan_task

MEMORY_SHARE = 2
"""A source whose columns take more than one part in so many of the memory is decoded for nobody who can stream it."""
_TELLING = re.compile(r"typeof|arrow_metadata|sample", re.IGNORECASE)
"""Words by which a query could tell how a table came to it: of types, and samples, which go by the batches of rows."""
_ADDING = (exp.Sum, exp.Avg, exp.Count)
_JUDGING = (exp.Where, exp.Filter, exp.Window, exp.Distinct, exp.Case, exp.If, exp.Predicate)
_LIST_MIN = 5
BYTES_AT_ONCE = 128 << 20
"""About the most that an engine holds of sources while it streams them, as long as nothing better is known."""
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
    if not source.streamable.get(model.engine, frozenset()).issuperset(columns or ()):
        return False
    if model.engine == "duckdb" and _has_long_list(model):
        return False
    # DuckDB takes statistics for all that is in a row group, which tell nothing of NaNs.
    floats = {name for name in columns or () if (source.kinds or {}).get(name) == "float"}
    return model.engine != "duckdb" or not floats or _only_adds_up(model, floats)


def _has_long_list(model: SqlModel) -> bool:
    """Whether rows may be picked by a list that DuckDB makes a table of, and joins in no order of the rows."""
    return any(len(each.expressions) >= _LIST_MIN for each in model.tree.find_all(exp.In))


def _only_adds_up(model: SqlModel, columns: set[str]) -> bool:
    """Whether a query does nothing with such columns but to add them up and the like: it sorts and compares none."""
    tree, names = model.tree, {name.lower() for name in columns}
    if len(list(tree.find_all(exp.Select, exp.Star, exp.SetOperation))) != 1:
        return False
    return all(
        isinstance(column.find_ancestor(*_ADDING, *_JUDGING), _ADDING)
        for column in tree.find_all(exp.Column)
        if column.name.lower() in names
    )


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
    # Its need of memory is another one than that of the same code over tables.
    entry["code"] = f"{entry['code']}-streamed"
    decoded = sum(scan.source.decoded_bytes(scan.columns) for scan in scans if scan is not None and scan.is_streamed)
    entry["expected_bytes"] = min(decoded, BYTES_AT_ONCE)
    entry["streamed"] = [
        {
            "table": scan.source.declaration.name,
            "files": len(scan.source.files),
            "bytes": sum(each["bytes"] for each in scan.source.identities),
        }
        for scan in scans
        if scan is not None and scan.is_streamed
    ]

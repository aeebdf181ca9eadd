"""The judgement of the engine that will evaluate a filter, before anything runs: wrong types and unknown functions."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from zerrow.plan.filter import Filter
    from zerrow.plan.sources import Source


def filter_problem(filter_: Filter, source: Source) -> str | None:
    """The fault of a filter on a source whose columns are known; None where it can be evaluated.

    The engine is asked with an empty table, so an error that only some rows bring about isn't found here.
    """
    from zerrow.worker.predicate import Predicate, problem_of

    if source.schema is None:
        return None
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(source.schema)))
    read = pa.schema([schema.field(name) for name in filter_.columns])
    return problem_of(read, Predicate(filter_.sql, filter_.columns, None, source.declaration.name))

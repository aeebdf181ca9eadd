"""What the engine that will evaluate a filter says of it, before anything runs: wrong types and unknown functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from zerrow.plan.filter import Filter
    from zerrow.plan.sources import Source


def filter_problem(filter_: Filter, source: Source) -> str | None:
    """What is wrong with a filter on a source whose columns are known; None where it can be evaluated.

    It is asked of an empty table. So an error that only some rows bring about isn't found here.
    """
    from zerrow.worker.predicate import Predicate, PredicateFailure, evaluate

    fields = {}
    for footer in source.footers:
        for name in filter_.columns:
            index = footer.schema.get_field_index(name)
            if index >= 0:
                fields.setdefault(name, footer.schema.field(index))
    if len(fields) < len(filter_.columns):
        return None
    table = pa.schema(list(fields.values())).empty_table()
    try:
        evaluate(table, Predicate(filter_.sql, filter_.columns, None, source.declaration.name))
    except PredicateFailure as failure:
        return failure.said
    return None

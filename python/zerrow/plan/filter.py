"""A filter, which is a SQL predicate over one table → what a worker needs to apply it.

Its meaning is that of DataFusion's WHERE, because DataFusion evaluates it, as it was written. This module finds only
the columns that it names, and a condition by which statistics of files rule rows out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp

from zerrow.plan.conditions import condition_of
from zerrow.plan.dialect import DIALECT
from zerrow.plan.names import did_you_mean
from zerrow.plan.parameter_text import UnknownParameterError, replace_parameters
from zerrow.plan.parameters import Value
from zerrow.plan.pruning import pruning_condition

Kinds = Mapping[str, str | None]

DEPTH_MAX = 3000
"""Conditions in a chain of `and` and `or`, which DataFusion follows one in the other, on a stack that has an end."""
_STEPS = 3
"""The part of that which anything else takes, such as a sum, for each thing that is in another."""

_EXAMPLE = "a filter is a SQL predicate, such as \"amount > 10 and country = 'IT'\""


@dataclass(frozen=True)
class Filter:
    """A filter on one table.

    `sql` is the predicate, `columns` what it reads, and `prune` the condition of `zerrow.plan.pruning`, if any.
    Two filters are equal if their texts are, whatever space and comments are in them: `words` has all the rest.
    """

    words: tuple[str, ...]
    sql: str = field(compare=False)
    columns: tuple[str, ...] = field(compare=False)
    prune: str | None = field(compare=False)

    def as_json(self) -> dict[str, Any]:
        """The filter in the form that a task has."""
        return {"sql": self.sql, "columns": list(self.columns), "prune": self.prune}


class FilterError(Exception):
    """A filter that can't be used. `line` counts from the filter's own first line, which is 1."""

    def __init__(self, code: str, message: str, hint: str | None = None, line: int = 1) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.line = code, message, hint, line


def read_filter(text: str, parameters: Mapping[str, Value], kinds: Kinds | None, table: str) -> Filter:
    """The filter that a text is, on `table`. `kinds` gives each column's kind, None for one not known; None as a whole
    when the columns aren't known at all. Raises FilterError."""
    sql = _with_values(text, parameters)
    predicate = _predicate(sql)
    columns: dict[str, None] = {}
    for column in predicate.find_all(exp.Column):
        columns.setdefault(_column(column, kinds, table))
    condition = condition_of(predicate, lambda node: None if _is_field(node, table) else node.name)
    return Filter(words(sql), sql, tuple(columns), None if kinds is None else pruning_condition(condition, kinds))


def words(sql: str) -> tuple[str, ...]:
    """The tokens of a text as they are written in it."""
    return tuple(sql[token.start : token.end + 1] for token in sqlglot.tokenize(sql, read=DIALECT))


def _with_values(text: str, parameters: Mapping[str, Value]) -> str:
    try:
        return replace_parameters(text, parameters)
    except UnknownParameterError as error:
        name, line = error.unknown[0]
        raise FilterError(
            "unknown-parameter",
            f"the project has no parameter {name!r}",
            did_you_mean(name, parameters, "parameters"),
            line,
        ) from None
    except sqlglot.errors.SqlglotError as error:
        raise FilterError("filter-syntax", f"the filter is no SQL: {str(error).splitlines()[0]}", _EXAMPLE) from None


def _predicate(sql: str) -> exp.Expression:
    try:
        tree = sqlglot.parse_one(f"SELECT 1 WHERE (\n{sql}\n)", dialect=DIALECT)
    except sqlglot.errors.SqlglotError as error:
        raise _syntax_error(error, sql) from None
    except RecursionError:
        raise FilterError("nested-too-deeply", "the filter nests too deeply to be read", _EXAMPLE) from None
    where = tree.args.get("where") if isinstance(tree, exp.Select) else None
    extra = {key for key, value in tree.args.items() if value and key not in ("expressions", "where", "kind")}
    is_single = where is not None and not extra and isinstance(where.this, exp.Paren)
    if not is_single or isinstance(where.this.this, exp.Alias | exp.Tuple):
        raise FilterError("filter-syntax", "the filter is no single predicate", _EXAMPLE)
    predicate = where.this.this
    # The last condition of a chain has parts of its own.
    if _depth(predicate) > DEPTH_MAX + 10 * _STEPS:
        raise FilterError(
            "nested-too-deeply",
            f"the filter is too long, or nests too deeply: {DEPTH_MAX} conditions in a chain are evaluated, and "
            f"{DEPTH_MAX // _STEPS} parts of one in each other",
            "write many values as column in (…), or read their table in a SQL model that joins it",
        )
    for kind, what in ((exp.Query, "a query"), (exp.AggFunc, "an aggregate"), (exp.Window, "a window")):
        found = predicate.find(kind)
        if found is not None:
            raise FilterError(
                "filter-unsupported",
                f"a filter can't use {what}: {_sql(found)}",
                "a filter looks at one row at a time; write a SQL model",
                _line(found),
            )
    return predicate


def _depth(root: exp.Expression) -> int:
    """How far the parts of a predicate are in each other."""
    deepest, pending = 0, [(root, 1)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        step = 1 if isinstance(node, exp.And | exp.Or) else _STEPS
        pending += [(part, depth + step) for part in node.iter_expressions()]
    return deepest


def _syntax_error(error: sqlglot.errors.SqlglotError, text: str) -> FilterError:
    place = (getattr(error, "errors", None) or [{}])[0]
    near = str(place.get("highlight") or "").strip()[:40]
    description = str(place.get("description") or "it is no SQL").split(" but got <")[0].rstrip(".")
    if description == "Expecting )":  # the parenthesis we put round it
        description = "it should end"
    elif description.startswith("Required keyword"):
        description = "something is missing"
    if near and near != ")":
        description += f" at {near!r}"
    line = min(max(int(place.get("line") or 2) - 1, 1), text.count("\n") + 1)
    return FilterError("filter-syntax", f"the filter doesn't parse: {description}", _EXAMPLE, line)


def _is_field(node: exp.Column, table: str) -> bool:
    """Whether a name with a dot means a field of a struct column rather than a column of the table."""
    return len(node.parts) > 1 and not (len(node.parts) == 2 and node.table == table)


def _column(node: exp.Column, kinds: Kinds | None, table: str) -> str:
    """The table's column that a node reads. Raises FilterError for one that the table hasn't."""
    name = node.parts[0].name if _is_field(node, table) else node.name
    if kinds is None or name in kinds:
        return name
    if len(node.parts) > 1 and name == node.parts[0].name:
        hint = "name the table's own columns"
    else:
        hint = did_you_mean(name, kinds, f"columns of {table}")
    raise FilterError("unknown-column", f"the table {table!r} has no column {name!r}", hint, _line(node))


def _sql(node: exp.Expression) -> str:
    return node.sql(dialect=DIALECT)[:60]


def _line(node: exp.Expression) -> int:
    """The line of a node in the filter's own text, as far as sqlglot kept it."""
    for part in node.walk():
        if "line" in part.meta:
            return max(part.meta["line"] - 1, 1)
    return 1

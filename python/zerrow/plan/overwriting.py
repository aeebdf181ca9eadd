"""`overwrite_filter`: the rows of a table that new ones take the place of, as comparisons of its partition columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlglot
from sqlglot import exp

from zerrow.plan.dialect import DIALECT
from zerrow.plan.names import did_you_mean
from zerrow.plan.parameter_text import UnknownParameterError, replace_parameters
from zerrow.plan.parameters import Value

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_DEPTH_MAX = 8
"""So deep a catalog's filter nests; chains of and, and of or, are one level."""
_EXAMPLE = (
    "compare partition columns with values by = != < > <= >= and IN, joined by AND and OR: \"day >= '2024-05-01'\""
)


class OverwriteError(ValueError):
    """A text that is no such filter; `hint` says what would be."""

    def __init__(self, message: str, hint: str = _EXAMPLE) -> None:
        super().__init__(message)
        self.hint = hint


def read_overwrite_filter(
    text: str, parameters: Mapping[str, Value], secrets: Collection[str], columns: Collection[str]
) -> dict[str, Any]:
    """The filter as a task has it. `columns` are those that it may name. Raises OverwriteError."""
    try:
        sql = replace_parameters(text, {name: value for name, value in parameters.items() if name not in secrets})
        tree = sqlglot.parse_one(f"SELECT 1 WHERE (\n{sql}\n)", dialect=DIALECT)
    except UnknownParameterError as error:
        name = error.unknown[0][0]
        if name in secrets:
            raise OverwriteError(f"it names the secret {name!r}, and filters are shown") from None
        hint = did_you_mean(name, parameters, "parameters")
        raise OverwriteError(f"the project has no parameter {name!r}", hint) from None
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise OverwriteError(f"it is no SQL: {str(error).splitlines()[0]}") from None
    where = tree.args.get("where")
    extra = {key for key, value in tree.args.items() if value and key not in ("expressions", "where", "kind")}
    if not isinstance(tree, exp.Select) or where is None or extra or not isinstance(where.this, exp.Paren):
        raise OverwriteError("it is no single condition")
    return _Reader(columns).read(where.this, 0)


class _Reader:
    def __init__(self, columns: Collection[str]) -> None:
        self._columns = columns

    def read(self, node: exp.Expression, depth: int) -> dict[str, Any]:
        while isinstance(node, exp.Paren):
            node = node.this
        if depth > _DEPTH_MAX:
            raise OverwriteError("it nests too deeply")
        match node:
            case exp.And() | exp.Or():
                word = "and" if isinstance(node, exp.And) else "or"
                return {word: [self.read(part, depth + 1) for part in _operands(node)]}
            case exp.In() if not any(node.args.get(key) for key in ("query", "unnest", "field")):
                return self._comparison("in", node.this, node.expressions)
            case exp.Not() if isinstance(_bare(node.this), exp.In):
                inner = self.read(node.this, depth + 1)
                if inner.get("op") == "in":
                    return {**inner, "op": "not in"}
        op = _COMPARISONS.get(type(node))
        if op is None:
            raise OverwriteError(f"it can't use {node.sql(dialect=DIALECT)[:60]!r}")
        if isinstance(_bare(node.this), exp.Column):
            return self._comparison(op, node.this, [node.expression])
        return self._comparison(_FLIPPED[op], node.expression, [node.this])

    def _comparison(self, op: str, column: exp.Expression, values: list[exp.Expression]) -> dict[str, Any]:
        column = _bare(column)
        if not isinstance(column, exp.Column) or len(column.parts) != 1:
            raise OverwriteError(f"{column.sql(dialect=DIALECT)[:60]!r} is no partition column")
        if column.name not in self._columns:
            hint = did_you_mean(column.name, self._columns, "partition columns")
            raise OverwriteError(f"{column.name!r} is no partition column", hint)
        return {"op": op, "column": column.name, "values": [_value(each) for each in values]}


def _operands(node: exp.Expression) -> list[exp.Expression]:
    """The parts of a chain of one connector, in order; such chains can be longer than calls may nest."""
    kind, found, pending = type(node), [], [node]
    while pending:
        part = pending.pop()
        if isinstance(part, kind):
            pending += [part.args["expression"], part.this]
        else:
            found.append(part)
    return found


def _bare(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _value(node: exp.Expression) -> str | int | float | bool:
    """The value of a literal; a date or a moment as its text."""
    node = _bare(node)
    match node:
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal() if node.is_string:
            return str(node.this)
        case exp.Literal():
            return _number(str(node.this))
        case exp.Neg() if isinstance(_bare(node.this), exp.Literal) and not _bare(node.this).is_string:
            return _number("-" + str(_bare(node.this).this))
        case exp.Cast() if isinstance(node.this, exp.Literal) and node.this.is_string:
            return str(node.this.this)
    raise OverwriteError(f"{node.sql(dialect=DIALECT)[:60]!r} is no literal")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)

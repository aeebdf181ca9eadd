"""Conditions as far as they can be known without running them: comparisons of a column with constants, joined by and
and or. `not` is moved into the comparisons, which three-valued logic allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from zerrow.plan.constants import Constant, constant_of

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OPPOSITES = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not in",
    "not in": "in",
    "between": "not between",
    "not between": "between",
    "is null": "is not null",
    "is not null": "is null",
    "like": "not like",
    "not like": "like",
}
# Parts of sqlglot's nodes that are read here, or that only repeat what the dialect means anyway. A node with any other
# part means something else than it seems to.
_UNDERSTOOD = frozenset({"this", "expression", "expressions", "low", "high", "is_string", "quoted", "table", "negate"})
_UNDERSTOOD |= {"typed", "safe", "to", "_type", "unit", "nested"}
_DEPTH_MAX = 100


@dataclass(frozen=True)
class Comparison:
    """A column compared with constants by an `op` out of = != < <= > >=, in, not in, between, not between, is null,
    is not null, like, not like, and is nan, which no reader makes of a text but others may."""

    op: str
    column: str
    constants: tuple[Constant, ...] = ()


@dataclass(frozen=True)
class Every:
    """True where all its parts are."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """True where one of its parts is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Unknown:
    """True, false or null: only the engine can tell."""


Condition = Comparison | Every | Some | Unknown
ColumnOf = Callable[[exp.Column], str | None]


def condition_of(node: exp.Expression, column_of: ColumnOf) -> Condition:
    """What is known of a condition. `column_of` gives the name of the column a node means, None for another table's."""
    return _Reader(column_of).read(node, negated=False, depth=0)


class _Reader:
    def __init__(self, column_of: ColumnOf) -> None:
        self._column_of = column_of

    def read(self, node: exp.Expression, negated: bool, depth: int) -> Condition:
        if depth > _DEPTH_MAX or any(value and key not in _UNDERSTOOD for key, value in node.args.items()):
            return Unknown()
        negated ^= bool(node.args.get("negate"))
        match node:
            case exp.Paren():
                return self.read(node.this, negated, depth + 1)
            case exp.Not():
                return self.read(node.this, not negated, depth + 1)
            case exp.And() | exp.Or():
                parts = tuple(self.read(part, negated, depth + 1) for part in _operands(node))
                return Every(parts) if isinstance(node, exp.And) != negated else Some(parts)
        comparison = self._comparison(node)
        if comparison is None:
            return Unknown()
        if negated:
            return Comparison(_OPPOSITES[comparison.op], comparison.column, comparison.constants)
        return comparison

    def _comparison(self, node: exp.Expression) -> Comparison | None:
        match node:
            case exp.Column():
                column = self._column(node)
                return None if column is None else Comparison("=", column, (Constant("true", "bool"),))
            case exp.Is() if isinstance(node.expression, exp.Null):
                return self._made("is null", node.this, ())
            case exp.Between():
                return self._made("between", node.this, (node.args["low"], node.args["high"]))
            case exp.In() if not {"query", "unnest", "field"} & {key for key, value in node.args.items() if value}:
                return self._made("in", node.this, node.expressions)
            case exp.Like():
                return self._made("like", node.this, (node.expression,))
        op = _COMPARISONS.get(type(node))
        if op is None:
            return None
        found = self._made(op, node.this, (node.expression,))
        return found or self._made(_FLIPPED[op], node.expression, (node.this,))

    def _made(self, op: str, node: exp.Expression, others: tuple[exp.Expression, ...]) -> Comparison | None:
        while isinstance(node, exp.Paren):
            node = node.this
        column = self._column(node) if isinstance(node, exp.Column) else None
        constants = [constant_of(other) for other in others]
        if column is None or None in constants:
            return None
        return Comparison(op, column, tuple(constants))

    def _column(self, node: exp.Column) -> str | None:
        return None if isinstance(node.this, exp.Star) else self._column_of(node)


def _operands(node: exp.And | exp.Or) -> list[exp.Expression]:
    """The operands of a chain of one operator, in their order: a long chain is a deep tree in sqlglot."""
    found: list[exp.Expression] = []
    pending: list[exp.Expression] = [node]
    while pending:
        part = pending.pop()
        if type(part) is type(node):
            pending += [part.expression, part.this]
        else:
            found.append(part)
    return found

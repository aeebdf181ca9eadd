"""Conditions of a query's WHERE that its table's scan can apply as well, without changing the query's result.

The query keeps its conditions. So a condition may be pushed down when every row the scan leaves out is one that the
query leaves out too. Scans evaluate conditions with DataFusion, so a DataFusion query's comparisons of columns with
constants are pushed as they are, wherever they can't fail. For a DuckDB query what is pushed keeps every row that
either of the engines keeps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from sqlglot import exp

from zerrow.plan.conditions import Comparison, Condition, Every, Some, condition_of
from zerrow.plan.constants import Constant
from zerrow.plan.declarations import SqlModel
from zerrow.plan.filter import DEPTH_MAX, Filter, Kinds, words
from zerrow.plan.pruning import column_name, is_comparable, pruning_condition
from zerrow.plan.sql_file import table_nodes, with_query, written_name

_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?\Z", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,19}(\.\d{1,18})?\Z", re.ASCII)
_FLOAT_SLACK = 1e-6  # more than a 32-bit float differs from the number it was written as


def pushed_down(model: SqlModel, table: str, tables: Mapping[str, Kinds | None]) -> Filter | None:
    """The condition that a scan of `table` can apply for `model`; None when there is none.

    `tables` has the columns of each table the model reads, None where they aren't known.
    """
    kinds = tables[table]
    if kinds is None:
        return None
    nodes = [node for node in table_nodes(model.tree) if written_name(node) == table]
    if len(nodes) != 1 or nodes[0].args.get("sample") or nodes[0].args.get("pivots"):
        return None
    select = _plain_select(nodes[0])
    if select is None:
        return None
    own = _own_names(select, table, tables)
    alias = nodes[0].alias_or_name

    def column_of(node: exp.Column) -> str | None:
        if len(node.parts) == 2 and node.table == alias:
            return node.name if node.name in kinds else None
        return node.name if len(node.parts) == 1 and node.name in own else None

    condition = _Pusher(kinds, model.engine).every(condition_of(select.args["where"].this, column_of))
    if condition is None or len(_columns(condition)) > DEPTH_MAX:
        return None
    sql, columns = _written(condition), tuple(dict.fromkeys(_columns(condition)))
    return Filter(words(sql), sql, columns, pruning_condition(condition, kinds))


def _plain_select(table: exp.Table) -> exp.Select | None:
    """The SELECT with a WHERE that reads the table, if all it does before the WHERE is to take or pair rows."""
    clause = table.parent
    select = clause.parent if isinstance(clause, exp.From | exp.Join) else None
    if not isinstance(select, exp.Select) or select.args.get("where") is None:
        return None
    if select.args.get("laterals") or select.args.get("sample") or select.args.get("connect"):
        return None
    for join in select.args.get("joins") or ():
        if join.side or join.method or join.kind not in ("", "INNER", "CROSS"):
            return None
    return select


def _own_names(select: exp.Select, table: str, tables: Mapping[str, Kinds | None]) -> set[str]:
    """The columns whose names alone mean a column of the table in this SELECT."""
    source = select.args.get("from_")
    if source is None:  # joins without a FROM: no engine takes that, but it parses
        return set()
    clauses = [source, *(select.args.get("joins") or ())]
    others: set[str] = set()
    for clause in clauses:
        is_table = isinstance(clause.this, exp.Table) and with_query(clause.this) is None
        name = written_name(clause.this) if is_table else None
        kinds = tables.get(name) if name is not None else None
        if kinds is None:
            return set()
        if name != table:
            others.update(column.lower() for column in kinds)
    return {column for column in tables[table] or () if column.lower() not in others}


def _columns(condition: Condition) -> list[str]:
    if isinstance(condition, Comparison):
        return [condition.column]
    return [name for part in getattr(condition, "parts", ()) for name in _columns(part)]


def _written(condition: Condition) -> str:
    """A condition as SQL."""
    if isinstance(condition, Every | Some):
        joint = " and " if isinstance(condition, Every) else " or "
        return joint.join(f"({_written(part)})" for part in condition.parts)
    assert isinstance(condition, Comparison)
    column, op, texts = column_name(condition.column), condition.op, [each.text for each in condition.constants]
    match op:
        case "is null" | "is not null" | "is nan":
            return f"isnan({column})" if op == "is nan" else f"{column} {op}"
        case "between" | "not between":
            return f"{column} {op} {texts[0]} and {texts[1]}"
        case "in" | "not in":
            return f"{column} {op} ({', '.join(texts)})"
    return f"{column} {op} {texts[0]}"


class _Pusher:
    """Derives from a condition the part that may be pushed, for a query of one engine."""

    def __init__(self, kinds: Kinds, engine: str) -> None:
        self._kinds = kinds
        self._engine = engine

    def every(self, condition: Condition) -> Condition | None:
        """The parts of a condition that may be pushed, where all of them have to be met anyway."""
        if not isinstance(condition, Every):
            return self._whole(condition)
        found = [each for each in map(self.every, condition.parts) if each is not None]
        if len(found) == 1:
            return found[0]
        return Every(tuple(found)) if found else None

    def _whole(self, condition: Condition) -> Condition | None:
        """The condition, or one that keeps more; None where that can't be told."""
        match condition:
            case Comparison():
                return self._comparison(condition)
            case Every(parts) | Some(parts):
                every = [self._whole(part) for part in parts]
                return None if None in every else type(condition)(tuple(every))
        return None

    def _comparison(self, comparison: Comparison) -> Condition | None:
        op, constants = comparison.op, comparison.constants
        kind = self._kinds.get(comparison.column)
        if op in ("is null", "is not null"):
            return comparison
        is_list = op in ("in", "not in")
        if not is_comparable(kind, constants) or not (is_list or all(c.kind != "null" for c in constants)):
            return None
        # A part that can fail stays where the query may have sorted out the rows on which it does: decimals that
        # overflow, and days that no timestamp reaches.
        if kind == "wide_decimal" or (kind == "date" and any(each.kind == "timestamp" for each in constants)):
            return None
        if kind == "float" and op in ("=", "!=", "in", "not in") and not self._tells_zeros_alike(constants):
            return None
        if self._engine == "datafusion":
            return comparison
        if kind == "float":
            return _with_slack(comparison)
        common = [_common(str(kind), constant) for constant in constants]
        if None in common or (op in ("like", "not like") and "\\" in common[0].text):
            return None
        return Comparison(op, comparison.column, tuple(common))

    def _tells_zeros_alike(self, constants: tuple[Constant, ...]) -> bool:
        """DataFusion takes the zeros for one number, but in lists of some length, which it also makes by itself of
        several comparisons, for two. DuckDB has another order of NaNs."""
        return self._engine == "datafusion" and not any(_may_be_zero(constant) for constant in constants)


def _may_be_zero(constant: Constant) -> bool:
    return constant.kind != "null" and (constant.plain is None or float(constant.plain) == 0)


def _common(kind: str, constant: Constant) -> Constant | None:
    """A constant that DataFusion reads as DuckDB reads the one in the query; None where that isn't sure."""
    plain = constant.plain
    if constant.kind == "null" or (kind == "bool" and constant.kind == "bool"):
        return constant
    if plain is None:
        return None
    if kind == "decimal" and constant.kind in ("int", "float") and _DECIMAL.match(plain):
        digits, scale = len(plain.lstrip("-").replace(".", "")), len(plain.partition(".")[2])
        text = f"arrow_cast('{plain}', 'Decimal128({max(digits, scale)}, {scale})')"
        return Constant(text, constant.kind, plain)
    is_common = (
        (kind == "string" and constant.kind == "string")
        or (kind == "int" and constant.kind == "int" and len(plain) <= 20 and abs(int(plain)) < 2**63)
        or (kind == "date" and constant.kind in ("string", "date") and _DATE.match(plain) is not None)
        or (kind == "timestamp" and constant.kind != "int" and _MOMENT.match(plain) is not None)
    )
    return constant if is_common else None


def _with_slack(comparison: Comparison) -> Condition | None:
    """A float column's comparison made wider, for DuckDB rounds constants to the column's width: and every NaN stays,
    because DuckDB's order has one of them where DataFusion's has two."""
    op, column = comparison.op, comparison.column
    if op not in ("<", "<=", ">", ">=", "between") or any(each.plain is None for each in comparison.constants):
        return None
    ends = []
    for constant, sign in zip(comparison.constants, (1 if op in ("<", "<=") else -1, 1), strict=False):
        number = float(constant.plain or "")
        number += sign * abs(number) * _FLOAT_SLACK
        if not math.isfinite(number):
            return None
        ends.append(Constant(f"cast('{number!r}' as double)", "float"))
    wider = op if op == "between" else f"{op[0]}="
    return Some((Comparison(wider, column, tuple(ends)), Comparison("is nan", column)))

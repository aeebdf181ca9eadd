"""Conditions of a query's WHERE that its table's scan can apply as well, without changing the query's result.

The query keeps its conditions. So a condition may be pushed down when every row the scan leaves out is one that the
query leaves out too, in whichever engine: comparisons of integers, texts, dates, booleans and decimals with literals,
on which all engines and the scan agree. Floats (NaN), timestamps (time zones) and what is computed stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from zerrow.plan.declarations import SqlModel
from zerrow.plan.filter_expression import Expr, FilterError, FilterReader, Kinds
from zerrow.plan.sql_file import table_nodes, with_query

_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">=", "in"})


def pushed_down(model: SqlModel, table: str, tables: Mapping[str, Kinds | None]) -> Expr | None:
    """The condition that a scan of `table` can apply for `model`; None when there is none.

    `tables` has the columns of each table the model reads, None where they aren't known.
    """
    kinds = tables[table]
    if kinds is None:
        return None
    nodes = [node for node in table_nodes(model.tree) if node.name == table]
    if len(nodes) != 1 or nodes[0].args.get("sample") or nodes[0].args.get("pivots"):
        return None
    select = _plain_select(nodes[0])
    if select is None:
        return None
    own = _own_names(select, table, tables)
    conditions = []
    for condition in _conjuncts(select.args["where"].this):
        if _is_of(condition, nodes[0].alias_or_name, own):
            try:
                expression, _ = FilterReader({}, kinds, nodes[0].alias_or_name).read(condition)
            except FilterError:
                continue
            if _is_exact(expression, kinds, model.engine):
                conditions.append(expression)
    if len(conditions) > 1:
        return {"op": "and", "args": conditions}
    return conditions[0] if conditions else None


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


def _conjuncts(condition: exp.Expression) -> list[exp.Expression]:
    found: list[exp.Expression] = []
    pending = [condition]
    while pending:
        node = pending.pop()
        if isinstance(node, exp.Paren):
            pending.append(node.this)
        elif isinstance(node, exp.And):
            pending += [node.expression, node.this]
        else:
            found.append(node)
    return found


def _own_names(select: exp.Select, table: str, tables: Mapping[str, Kinds | None]) -> set[str]:
    """The columns whose names alone mean a column of the table in this SELECT."""
    source = select.args.get("from_")
    if source is None:  # joins without a FROM: no engine takes that, but it parses
        return set()
    clauses = [source, *(select.args.get("joins") or ())]
    others: set[str] = set()
    for clause in clauses:
        name = clause.this.name if isinstance(clause.this, exp.Table) and with_query(clause.this) is None else None
        kinds = tables.get(name) if name is not None else None
        if kinds is None:
            return set()
        if name != table:
            others.update(column.lower() for column in kinds)
    return {column for column in tables[table] or () if column.lower() not in others}


def _is_of(condition: exp.Expression, alias: str, own: set[str]) -> bool:
    """Whether the condition speaks of columns of the table and of nothing else."""
    if condition.find(exp.Query):
        return False
    columns = list(condition.find_all(exp.Column))
    return bool(columns) and all(
        len(column.parts) <= 2 and (column.table == alias or (not column.table and column.name in own))
        for column in columns
    )


def _is_exact(expression: Expr, kinds: Kinds, engine: str) -> bool:
    op, args = expression.get("op"), expression.get("args", [])
    if op in ("and", "or", "not"):
        return all(_is_exact(part, kinds, engine) for part in args)
    if op == "is_null":
        return "column" in args[0]
    if op not in _COMPARISONS:
        return False
    columns = [part for part in args if "column" in part]
    literals = [part for part in args if "literal" in part]
    if len(columns) != 1 or len(columns) + len(literals) != len(args):
        return False
    kind = kinds.get(columns[0]["column"])
    allowed = {"int": {"int"}, "string": {"string"}, "date": {"date"}, "bool": {"bool"}, "decimal": {"int"}}
    types = allowed.get(str(kind), set())
    if kind == "decimal" and engine == "duckdb":  # DataFusion reads 0.05 as a float
        types = {"int", "decimal"}
    return bool(literals) and {literal["type"] for literal in literals} <= types

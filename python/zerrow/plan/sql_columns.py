"""Which columns of its inputs a SQL query can read, and which columns it gives.

Reading a column too many costs time, leaving one out breaks the query: so a column counts as read wherever its name
could mean it, and a query with parts whose names can't be followed reads all. An unknown column is reported only when
nothing in the query could explain its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sqlglot import exp

from zerrow.plan.declarations import SqlModel
from zerrow.plan.filter import Kinds
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean
from zerrow.plan.sql_file import table_nodes, with_query, written_name

# Parts that name columns by pattern, by position or by value.
_OPAQUE = (exp.Pivot, exp.Columns, exp.PositionalColumn)
# Parts that bring in names of their own.
_NAMING = (*_OPAQUE, exp.Lambda, exp.Comprehension, exp.Unnest, exp.Values, exp.Lateral, exp.MatchRecognize)
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_ENGINE_COLUMNS = frozenset({"rowid", "current_date", "current_time", "current_timestamp", "localtime", "today"})
_CHEAP_KINDS = ("bool", "int", "date", "float", "decimal", "timestamp")


def columns_read(model: SqlModel, tables: Mapping[str, Kinds | None]) -> dict[str, tuple[str, ...] | None]:
    """For each table the query reads, the columns to give it, in the table's order; None for all.

    `tables` has the columns of each, None where they aren't known.
    """
    uses = _Uses(model.tree, tables)
    return {name: uses.columns(name) for name in tables}


class _Uses:
    """Marks, for each table, the columns that names in a query could mean."""

    def __init__(self, tree: exp.Query, tables: Mapping[str, Kinds | None]) -> None:
        self._tables = tables
        self._read: dict[str, set[str]] = {name: set() for name in tables}
        self._whole: set[str] = {name for name, kinds in tables.items() if kinds is None}
        self._aliases: dict[str, set[str]] = {}
        for table in table_nodes(tree):
            if (name := written_name(table)) in tables:
                self._aliases.setdefault(table.alias_or_name.lower(), set()).add(name)
        if tree.find(*_OPAQUE):
            self._whole.update(tables)
        for star in tree.find_all(exp.Star):
            self._mark_star(star)
        for join in tree.find_all(exp.Join):
            if join.method:
                self._whole.update(tables)  # a natural join compares all columns of one name
            for column in join.args.get("using") or ():
                self._mark(column.name)
        for column in tree.find_all(exp.Column):
            self._mark_column(column)

    def columns(self, table: str) -> tuple[str, ...] | None:
        kinds = self._tables[table]
        if kinds is None or table in self._whole:
            return None
        found = tuple(name for name in kinds if name in self._read[table])
        if not found and kinds:  # the query only counts rows: the narrowest column will do
            ranked = [name for wanted in _CHEAP_KINDS for name, kind in kinds.items() if kind == wanted]
            found = (ranked or list(kinds))[:1]
            return tuple(found)
        return found if len(found) < len(kinds) else None

    def _mark_star(self, star: exp.Star) -> None:
        parent = star.parent
        if isinstance(parent, exp.Count):
            return
        if isinstance(parent, exp.Column) and parent.table:
            self._whole.update(self._aliases.get(parent.table.lower(), ()))
            return
        select = star.find_ancestor(exp.Select)
        direct = self._tables if select is None else map(written_name, _direct_tables(select))
        self._whole.update(direct)

    def _mark_column(self, column: exp.Column) -> None:
        parts = [part.name for part in column.parts]
        # A table's name alone is the whole row. Any other part but the first may be a field of a struct.
        if len(parts) == 1 or len(parts) > 2:
            self._whole.update(self._aliases.get(parts[0].lower(), ()))
        if len(parts) == 2 and parts[0].lower() in self._aliases:
            for table in self._aliases[parts[0].lower()]:
                self._mark(parts[1], table)
            self._mark(parts[0])
        else:
            for part in parts:
                self._mark(part)

    def _mark(self, name: str, only: str | None = None) -> None:
        for table, kinds in self._tables.items():
            if only in (None, table) and kinds is not None:
                self._read[table].update(column for column in kinds if column.lower() == name.lower())


def check_columns(model: SqlModel, tables: Mapping[str, Kinds | None], findings: Findings) -> None:
    """Reports columns that the query names and nothing has."""
    exact = model.engine == "datafusion"
    tables_of: dict[str, list[str | None]] = {}
    for alias, table in _named_relations(model.tree):
        tables_of.setdefault(alias.lower(), []).append(table)
    known = [name for kinds in tables.values() for name in kinds or ()]
    defined = _defined_names(model.tree) | set(tables_of)
    unqualified = None not in tables.values() and not model.tree.find(*_NAMING)
    for column in model.tree.find_all(exp.Column):
        name = column.name
        if isinstance(column.this, exp.Star) or not _PLAIN_NAME.match(name) or len(column.parts) > 2:
            continue
        if column.table:
            _check_qualified(column, tables_of, tables, exact, known, model, findings)
        elif unqualified and not _has(known, name, exact) and name.lower() not in defined | _ENGINE_COLUMNS:
            what = f"columns of {', '.join(tables)}"
            message = f"the query names the column {name!r}, which none of its tables has"
            _report(column, message, did_you_mean(name, known, what), model, findings)


def _check_qualified(
    column: exp.Column,
    tables_of: Mapping[str, list[str | None]],
    tables: Mapping[str, Kinds | None],
    exact: bool,
    known: list[str],
    model: SqlModel,
    findings: Findings,
) -> None:
    named = tables_of.get(column.table.lower())
    if named is None:
        if not _has(known, column.table, False) and None not in tables.values() and not model.tree.find(*_NAMING):
            hint = did_you_mean(column.table, tables_of, "tables of the query")
            _report(column, f"the query has no table {column.table!r}", hint, model, findings)
        return
    if any(table is None or tables.get(table) is None for table in named):
        return
    names = [name for table in named for name in tables[table] or ()]
    if not _has(names, column.name, exact) and not _has(known, column.table, False):
        message = f"the table {named[0]!r} has no column {column.name!r}"
        _report(column, message, did_you_mean(column.name, names, f"columns of {named[0]}"), model, findings)


def _report(column: exp.Column, message: str, hint: str, model: SqlModel, findings: Findings) -> None:
    line = column.this.meta.get("line", 1)
    findings.error("unknown-column", message, model=model.name, file=model.file, line=line, hint=hint)


def _has(names: list[str], name: str, exact: bool) -> bool:
    return name in names or (not exact and name.lower() in {other.lower() for other in names})


def _named_relations(tree: exp.Query) -> Iterator[tuple[str, str | None]]:
    """Every name that may stand before a dot: of a table, with the table, or of a query, with None."""
    for table in tree.find_all(exp.Table):
        yield table.alias_or_name, written_name(table) if with_query(table) is None else None
    for alias in tree.find_all(exp.TableAlias):
        if not isinstance(alias.parent, exp.Table):
            yield alias.name, None


def _defined_names(tree: exp.Query) -> set[str]:
    """Names of columns that the query itself makes, in lower case."""
    names = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    for alias in tree.find_all(exp.TableAlias):
        names.update(column.name.lower() for column in alias.args.get("columns") or ())
    for aliases in tree.find_all(exp.Aliases):
        names.update(name.lower() for name in aliases.aliases)
    return names


def _direct_tables(select: exp.Select) -> Iterator[exp.Table]:
    """The tables in the FROM and JOIN clauses of a SELECT itself, the names of WITH queries left out."""
    from_ = select.args.get("from_")
    for clause in [from_, *(select.args.get("joins") or ())]:
        if clause is None:
            continue
        for table in clause.find_all(exp.Table):
            if table.find_ancestor(exp.Select) is select and with_query(table) is None:
                yield table


def output_columns(tree: exp.Expression, tables: Mapping[str, Kinds | None]) -> dict[str, str | None] | None:
    """Names and kinds of the columns a query gives; None when they can't be told from the text alone."""
    names = _output(tree, tables)
    return None if names is None else dict(names)


def duplicate_outputs(tree: exp.Query, tables: Mapping[str, Kinds | None]) -> list[str]:
    """Names that more than one column of the result has, as far as the text tells."""
    names = [name for name, _ in _output(tree, tables) or ()]
    return sorted({name for name in names if names.count(name) > 1})


def _output(tree: exp.Expression, tables: Mapping[str, Kinds | None]) -> list[tuple[str, str | None]] | None:
    while isinstance(tree, exp.Subquery | exp.SetOperation):
        if isinstance(tree, exp.SetOperation) and tree.args.get("by_name"):
            return None
        tree = tree.this
    if not isinstance(tree, exp.Select) or tree.find(*_OPAQUE):
        return None
    columns: list[tuple[str, str | None]] = []
    for item in tree.expressions:
        if isinstance(item, exp.Star):
            starred = _star(tree, tables)
            if starred is None or item.args.get("except_") or item.args.get("replace") or item.args.get("rename"):
                return None
            columns += starred
        elif isinstance(item, exp.Alias):
            columns.append((item.alias, _column_kind(item.this, tree, tables)))
        elif isinstance(item, exp.Column) and not isinstance(item.this, exp.Star) and len(item.parts) <= 2:
            columns.append((item.name, _column_kind(item, tree, tables)))
        else:
            return None
    return columns


def _star(select: exp.Select, tables: Mapping[str, Kinds | None]) -> list[tuple[str, str | None]] | None:
    """What `*` stands for, when there is one plain table or WITH query to take it from."""
    from_ = select.args.get("from_")
    if from_ is None or select.args.get("joins") or not isinstance(from_.this, exp.Table):
        return None
    query = with_query(from_.this)
    if query is not None:
        recursive = query.parent is not None and query.parent.args.get("recursive")
        has_names = query.args["alias"].args.get("columns")
        return None if recursive or has_names else _output(query.this, tables)
    kinds = tables.get(written_name(from_.this))
    return None if kinds is None else list(kinds.items())


def _column_kind(node: exp.Expression, select: exp.Select, tables: Mapping[str, Kinds | None]) -> str | None:
    """The kind of a column taken as it is from the one table of a SELECT; None for anything else."""
    starred = _star(select, tables) if isinstance(node, exp.Column) else None
    return dict(starred).get(node.name) if starred is not None and len(node.parts) <= 2 else None

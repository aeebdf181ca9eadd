"""A filter, which is a SQL predicate → EXPR, the tree of docs/plan.md that workers evaluate.

What needs no table is done here: parameters get their values, arithmetic on literals is folded (exactly, as decimals),
and where the table's types are known a literal gets the type of the column it is compared with.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp

from zerrow.plan.names import did_you_mean
from zerrow.plan.parameters import Value

DIALECT = "duckdb"  # the widest of those sqlglot knows that DataFusion's SQL looks like

Expr = dict[str, Any]
Kinds = Mapping[str, str | None]

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_NUMBERS = ("int", "decimal", "float")
_MOMENTS = ("date", "timestamp")
_CASTS = {
    "int": ("BIGINT", "INT"),
    "float": ("DOUBLE",),
    "string": ("TEXT", "VARCHAR"),
    "bool": ("BOOLEAN",),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP", "TIMESTAMPTZ"),
}
_SUPPORTED = "filters know and, or, not, = != < <= > >=, between, in, like, ilike, is null, + - * /, cast and literals"
# Parts of sqlglot's nodes that are read here, or that only repeat what the dialect means anyway.
_UNDERSTOOD = frozenset({"this", "expression", "expressions", "low", "high", "to", "table", "is_string", "negate"})
_UNDERSTOOD |= {"query", "unnest", "field", "typed", "safe", "jdbc"}
_DEPTH_MAX = 200
_EXACT = decimal.Context(prec=38, traps=[decimal.Overflow, decimal.InvalidOperation])


class FilterError(Exception):
    """A filter that can't be used. `line` counts from the filter's own first line, which is 1."""

    def __init__(self, code: str, message: str, hint: str | None = None, line: int = 1) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.line = code, message, hint, line


def parse_filter(text: str, parameters: Mapping[str, Value], kinds: Kinds | None, table: str) -> Expr:
    """The EXPR of a filter on `table`. `kinds` gives each column's kind, None for one not known; None as a whole when
    the columns aren't known at all. Raises FilterError."""
    try:
        tree = sqlglot.parse_one(f"SELECT 1 WHERE (\n{text}\n)", dialect=DIALECT)
    except sqlglot.errors.SqlglotError as error:
        raise _syntax_error(error, text) from None
    except RecursionError:
        raise FilterError("filter-syntax", "the filter is nested too deeply") from None
    where = tree.args.get("where") if isinstance(tree, exp.Select) else None
    extra = {key for key, value in tree.args.items() if value and key not in ("expressions", "where", "kind")}
    if where is None or extra or not isinstance(where.this, exp.Paren):
        raise FilterError("filter-syntax", "the filter is no single predicate", _SUPPORTED)
    expression, kind = FilterReader(parameters, kinds, table).read(where.this.this)
    if kind not in ("bool", None):
        raise FilterError(
            "filter-type", f"the filter gives {_said(kind)}, not true or false", "compare it with something"
        )
    return expression


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
    return FilterError(
        "filter-syntax",
        f"the filter doesn't parse: {description}",
        "a filter is a SQL predicate, such as \"amount > 10 and country = 'IT'\"",
        min(max(int(place.get("line") or 2) - 1, 1), text.count("\n") + 1),
    )


class FilterReader:
    """Turns sqlglot trees into EXPR over one table, and finds the kind of each part (None where it isn't known)."""

    def __init__(self, parameters: Mapping[str, Value], kinds: Kinds | None, table: str) -> None:
        self._parameters = parameters
        self._kinds = kinds
        self._table = table
        self._depth = 0

    def read(self, node: exp.Expression) -> tuple[Expr, str | None]:
        """The EXPR of a node, and its kind. Raises FilterError."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise FilterError("filter-syntax", "the filter is nested too deeply")
        try:
            # A part of a node that isn't looked at here would change the meaning unseen.
            if any(value and key not in _UNDERSTOOD for key, value in node.args.items()):
                raise _unsupported(node)
            expression, kind = self._read(node)
            return (_op("not", expression) if node.args.get("negate") else expression), kind
        finally:
            self._depth -= 1

    def _read(self, node: exp.Expression) -> tuple[Expr, str | None]:
        match node:
            case exp.Paren():
                return self.read(node.this)
            case exp.And() | exp.Or():
                return self._logic(node)
            case exp.Not():
                return _op("not", self._bool(node.this)), "bool"
            case exp.Is() if isinstance(node.expression, exp.Null):
                return _op("is_null", self.read(node.this)[0]), "bool"
            case exp.Between():
                low = self._comparison(">=", node.this, node.args["low"])
                return _op("and", low, self._comparison("<=", node.this, node.args["high"])), "bool"
            case exp.In():
                return self._membership(node), "bool"
            case exp.Like() | exp.ILike():
                return self._like(node), "bool"
            case exp.Column():
                return self._column(node)
            case exp.Cast() if not isinstance(node, exp.TryCast):
                return self._cast(node)
        if type(node) in _COMPARISONS:
            return self._comparison(_COMPARISONS[type(node)], node.this, node.expression), "bool"
        if type(node) in _ARITHMETIC:
            return self._arithmetic(node)
        literal = self._literal(node)
        if literal is None:
            raise _unsupported(node)
        return literal, literal["type"]

    def _logic(self, node: exp.And | exp.Or) -> tuple[Expr, str]:
        # A long chain of ands is a deep tree in sqlglot; EXPR takes any number of arguments.
        parts: list[exp.Expression] = []
        pending = [node]
        while pending:
            part = pending.pop()
            if isinstance(part, type(node)):
                pending += [part.expression, part.this]
            else:
                parts.append(part)
        return _op("and" if isinstance(node, exp.And) else "or", *(self._bool(part) for part in parts)), "bool"

    def _bool(self, node: exp.Expression) -> Expr:
        expression, kind = self.read(node)
        if kind not in ("bool", "null", None):
            raise FilterError(
                "filter-type",
                f"{_sql(node)} is {_said(kind)}, where true or false is needed",
                "compare it with something",
                _line(node),
            )
        return expression

    def _column(self, node: exp.Column) -> tuple[Expr, str | None]:
        name = node.name
        if len(node.parts) > 1:
            if node.table != self._table or len(node.parts) > 2:
                raise FilterError(
                    "filter-unsupported",
                    f"a filter can't use {_sql(node)}",
                    "name the table's own columns",
                    _line(node),
                )
        elif name.startswith("$"):
            return self._parameter(name[1:], node)
        if self._kinds is None:
            return {"column": name}, None
        if name not in self._kinds:
            raise FilterError(
                "unknown-column",
                f"the table {self._table!r} has no column {name!r}",
                did_you_mean(name, self._kinds, f"columns of {self._table}"),
                _line(node),
            )
        return {"column": name}, self._kinds[name]

    def _parameter(self, name: str, node: exp.Expression) -> tuple[Expr, str | None]:
        if name not in self._parameters:
            raise FilterError(
                "unknown-parameter",
                f"the project has no parameter {name!r}",
                did_you_mean(name, self._parameters, "parameters"),
                _line(node),
            )
        literal = literal_of(self._parameters[name])
        return literal, literal["type"]

    def _literal(self, node: exp.Expression) -> Expr | None:
        """The literal a node is, or comes to; None for anything else."""
        match node:
            case exp.Null():
                return _literal(None, "null")
            case exp.Boolean():
                return _literal(bool(node.this), "bool")
            case exp.Literal() if node.is_string:
                return _literal(node.this, "string")
            case exp.Literal():
                return _number(node.this)
            case exp.Neg():
                expression, kind = self.read(node.this)
                if "literal" in expression and kind in _NUMBERS:
                    return _fold("-", _literal(0, "int"), expression)
                return None
            case exp.Placeholder() | exp.Parameter():
                name = node.this if isinstance(node.this, str) else getattr(node.this, "name", "")
                return self._parameter(name, node)[0]
        return None

    def _comparison(self, op: str, left: exp.Expression, right: exp.Expression) -> Expr:
        (a, a_kind), (b, b_kind) = self.read(left), self.read(right)
        if "null" in (a_kind, b_kind):
            raise FilterError(
                "filter-type", f"comparing with null is never true: {_sql(left)} {op} {_sql(right)}", "write 'is null'"
            )
        a, a_kind, b, b_kind = self._fitted(a, a_kind, b, b_kind, left)
        if a_kind is not None and b_kind is not None and not _comparable(a_kind, b_kind):
            hint = "write the number without quotes" if {a_kind, b_kind} & set(_NUMBERS) else None
            raise FilterError(
                "filter-type",
                f"{_sql(left)} is {_said(a_kind)} and {_sql(right)} is {_said(b_kind)}: they can't be compared",
                hint,
                _line(left),
            )
        return _op(op, a, b)

    def _fitted(
        self, a: Expr, a_kind: str | None, b: Expr, b_kind: str | None, node: exp.Expression
    ) -> tuple[Expr, str | None, Expr, str | None]:
        """A text literal beside a date or a timestamp becomes one."""
        if "literal" in b and b_kind == "string" and a_kind in _MOMENTS:
            b = _moment(b["literal"], a_kind, node)
            b_kind = b["type"]
        elif "literal" in a and a_kind == "string" and b_kind in _MOMENTS:
            a = _moment(a["literal"], b_kind, node)
            a_kind = a["type"]
        return a, a_kind, b, b_kind

    def _membership(self, node: exp.In) -> Expr:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise FilterError(
                "filter-unsupported", "a filter can't use 'in' with a query", "use a SQL model", _line(node)
            )
        value, kind = self.read(node.this)
        members = []
        for item in node.expressions:
            member, member_kind = self.read(item)
            if "literal" not in member:
                raise FilterError(
                    "filter-unsupported", f"{_sql(item)} is no literal", "list literals after 'in'", _line(item)
                )
            _, _, member, member_kind = self._fitted(value, kind, member, member_kind, node.this)
            if kind is not None and member_kind not in ("null", None) and not _comparable(kind, member_kind):
                raise FilterError(
                    "filter-type",
                    f"{_sql(node.this)} is {_said(kind)} and {_sql(item)} is {_said(member_kind)}",
                    None,
                    _line(item),
                )
            members.append(member)
        return _op("in", value, *members)

    def _like(self, node: exp.Like | exp.ILike) -> Expr:
        value, kind = self.read(node.this)
        pattern, pattern_kind = self.read(node.expression)
        if "literal" not in pattern or pattern_kind != "string":
            raise FilterError("filter-unsupported", "the pattern of like must be a text literal", None, _line(node))
        if kind not in ("string", None):
            raise FilterError(
                "filter-type", f"{_sql(node.this)} is {_said(kind)}, and like needs a text", None, _line(node)
            )
        return _op("ilike" if isinstance(node, exp.ILike) else "like", value, pattern)

    def _arithmetic(self, node: exp.Expression) -> tuple[Expr, str | None]:
        op = _ARITHMETIC[type(node)]
        if isinstance(node.expression, exp.Interval):
            return self._shifted(node, op)
        (a, a_kind), (b, b_kind) = self.read(node.this), self.read(node.expression)
        for kind, part in ((a_kind, node.this), (b_kind, node.expression)):
            if kind is not None and kind not in _NUMBERS:
                raise FilterError("filter-type", f"{_sql(part)} is {_said(kind)}, not a number", None, _line(part))
        if "literal" in a and "literal" in b:
            folded = _fold(op, a, b)
            return folded, folded["type"]
        kind = None if None in (a_kind, b_kind) else max(a_kind, b_kind, key=_NUMBERS.index)
        return _op(op, a, b), kind

    def _shifted(self, node: exp.Expression, op: str) -> tuple[Expr, str]:
        """A date literal plus or minus an interval of whole days, weeks, months or years."""
        start, kind = self.read(node.this)
        interval = node.expression
        amount = interval.this.name if interval.this is not None else ""
        unit = interval.unit.name.lower().rstrip("s") if interval.unit is not None else ""
        if kind != "date" or "literal" not in start or op not in "+-" or not amount.lstrip("-").isdecimal():
            raise _unsupported(node)
        count = int(amount) * (1 if op == "+" else -1)
        date = datetime.date.fromisoformat(start["literal"])
        try:
            if unit in ("day", "week"):
                date += datetime.timedelta(days=count * (7 if unit == "week" else 1))
            elif unit in ("month", "year"):
                date = _add_months(date, count * (12 if unit == "year" else 1))
            else:
                raise FilterError("filter-unsupported", f"a filter can't use intervals in {unit!r}", None, _line(node))
        except (ValueError, OverflowError):
            raise FilterError("filter-type", f"{_sql(node)} is no date", None, _line(node)) from None
        return _literal(date.isoformat(), "date"), "date"

    def _cast(self, node: exp.Cast) -> tuple[Expr, str | None]:
        to = node.to.sql(dialect=DIALECT).upper()
        kind = next((kind for kind, names in _CASTS.items() if to in names), None)
        value, value_kind = self.read(node.this)
        if kind is None and to.startswith("DECIMAL") and "literal" in value and value_kind in ("decimal", "int"):
            return value, value_kind
        if kind is None:
            raise FilterError(
                "filter-unsupported", f"a filter can't cast to {to}", "casts: " + ", ".join(_CASTS), _line(node)
            )
        if "literal" in value and value_kind == "string" and kind in _MOMENTS:
            moment = _moment(value["literal"], kind, node)
            if moment["type"] != kind:
                moment = _literal(moment["literal"][:10] if kind == "date" else moment["literal"] + "T00:00:00", kind)
            return moment, kind
        if value_kind == kind:
            return value, kind
        if "literal" in value and kind == "float" and value_kind in ("int", "decimal"):
            return _literal(float(value["literal"]), "float"), "float"
        return {"op": "cast", "args": [value], "type": kind}, kind


def _unsupported(node: exp.Expression) -> FilterError:
    return FilterError("filter-unsupported", f"a filter can't use {_sql(node)}", _SUPPORTED, _line(node))


def literal_of(value: Value) -> Expr:
    """The EXPR of a parameter's value: what its text would mean in the filter, so that 0.05 is a decimal."""
    if isinstance(value, float):
        return _fold("-", _literal(0, "int"), _number(repr(-value))) if value < 0 else _number(repr(value))
    kind = "null" if value is None else {bool: "bool", int: "int", str: "string"}[type(value)]
    return _literal(value, kind)


def _literal(value: Any, kind: str) -> Expr:
    return {"literal": value, "type": kind}


def _op(op: str, *args: Expr) -> Expr:
    return {"op": op, "args": list(args)}


def _number(text: str) -> Expr:
    """As in SQL: digits are an int, a point makes a decimal, an exponent a float."""
    if text.isdecimal():
        value = int(text)
        if value < 2**63:
            return _literal(value, "int")
    elif "e" in text.lower():
        return _literal(float(text), "float")
    number = decimal.Decimal(text)
    return _literal(str(number), "decimal") if len(number.as_tuple().digits) <= 38 else _literal(float(text), "float")


def _fold(op: str, a: Expr, b: Expr) -> Expr:
    """The literal that arithmetic on two number literals comes to; exact unless one is a float or it divides."""
    floats = "float" in (a["type"], b["type"])
    ints = a["type"] == b["type"] == "int"
    try:
        if op == "/" and not ints:
            return _literal(float(a["literal"]) / float(b["literal"]), "float")
        if floats:
            x, y = float(a["literal"]), float(b["literal"])
            return _literal({"+": x + y, "-": x - y, "*": x * y}[op], "float")
        p, q = decimal.Decimal(a["literal"]), decimal.Decimal(b["literal"])
        if op == "/":
            return _literal(int(p / q), "int")
        value = {"+": _EXACT.add, "-": _EXACT.subtract, "*": _EXACT.multiply}[op](p, q)
    except (ZeroDivisionError, decimal.DecimalException):
        raise FilterError("filter-type", f"{a['literal']} {op} {b['literal']} can't be computed") from None
    if ints:
        if abs(value) < 2**63:
            return _literal(int(value), "int")
        raise FilterError("filter-type", f"{a['literal']} {op} {b['literal']} doesn't fit 64 bits")
    return _literal(format(value, "f"), "decimal")


def _moment(text: str, kind: str, node: exp.Expression) -> Expr:
    """A date or timestamp literal. A date's text beside a timestamp stays a date; the reverse becomes a timestamp."""
    try:
        return _literal(datetime.date.fromisoformat(text.strip()).isoformat(), "date")
    except ValueError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        example = "1995-12-31" if kind == "date" else "1995-12-31 23:59:00"
        raise FilterError("filter-type", f"{text!r} is no {kind}", f"write it as '{example}'", _line(node)) from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC)
    return _literal(moment.isoformat(), "timestamp")


def _add_months(date: datetime.date, months: int) -> datetime.date:
    """The same day so many months on, or the last day of a shorter month, as SQL has it."""
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    for day in (date.day, 30, 29, 28):
        try:
            return datetime.date(year, month + 1, min(day, date.day))
        except ValueError:
            continue
    raise ValueError("no such date")


def _comparable(a: str, b: str) -> bool:
    return a == b != "other" or (a in _NUMBERS and b in _NUMBERS) or (a in _MOMENTS and b in _MOMENTS)


def _said(kind: str | None) -> str:
    articles = {
        "int": "an integer",
        "string": "a text",
        "bool": "true or false",
        "other": "of a type filters don't know",
    }
    return articles.get(str(kind), f"a {kind}")


def _sql(node: exp.Expression) -> str:
    return node.sql(dialect=DIALECT)[:60]


def _line(node: exp.Expression) -> int:
    """The line of a node in the filter's own text, as far as sqlglot kept it."""
    for part in node.walk():
        if "line" in part.meta:
            return max(part.meta["line"] - 1, 1)
    return 1

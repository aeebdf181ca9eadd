"""EXPR of docs/plan.md → a pyarrow expression over a table of a known schema.

The meaning is SQL's: three-valued logic, and a literal takes the type of the column it meets (a decimal column compared
with 0.05 is compared exactly; a date column with '1995-01-01' as dates). pyarrow alone would widen or refuse.
"""

from __future__ import annotations

import datetime
import decimal
import difflib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import is_view

COMPARISONS = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
CASTS = {
    "int": pa.int64(),
    "integer": pa.int64(),
    "bigint": pa.int64(),
    "smallint": pa.int16(),
    "float": pa.float64(),
    "double": pa.float64(),
    "real": pa.float32(),
    "string": pa.string(),
    "varchar": pa.string(),
    "text": pa.string(),
    "bool": pa.bool_(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
DECIMAL_DIGITS_MAX = 38


@dataclass(frozen=True)
class Operand:
    """Part of an expression: its pyarrow form, its type where known, and for a literal its Python value."""

    expression: pc.Expression
    type: pa.DataType | None
    is_literal: bool = False
    value: Any = None
    name: str = "the expression"


def columns_of(tree: dict[str, Any]) -> list[str]:
    """The columns an EXPR reads, in the order of their first appearance."""
    if "column" in tree:
        return [tree["column"]]
    return list(dict.fromkeys(name for part in tree.get("args", ()) for name in columns_of(part)))


def compile_filter(tree: dict[str, Any], schema: pa.Schema, table: str) -> pc.Expression:
    """The pyarrow expression that is true for the rows to keep. Raises WorkerFailure of kind `input`."""
    return _Compiler(schema, table).compile(tree, positive=True).expression


def keep_rows(table: pa.Table, tree: dict[str, Any], name: str) -> pa.Table:
    """The rows of a table for which a filter is true. Raises WorkerFailure of kind `input`.

    Columns of views come out as plain large ones: pyarrow cannot filter views.
    """
    predicate = compile_filter(tree, table.schema, name)
    for index, field in enumerate(table.schema):
        if is_view(field.type):
            kind = pa.large_string() if kinds.is_string_view(field.type) else pa.large_binary()
            table = table.set_column(index, field.with_type(kind), table.column(index).cast(kind))
    try:
        return table.filter(predicate)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise WorkerFailure("input", f"the filter on {name!r} does not work: {error}") from error


def missing_column(name: str, schema: pa.Schema, table: str) -> WorkerFailure:
    """The failure for a column the table does not have, with the nearest name."""
    near = difflib.get_close_matches(name, schema.names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(schema.names[:20])}"
    return WorkerFailure("input", f"the table {table!r} has no column {name!r}: {hint}")


class _Compiler:
    def __init__(self, schema: pa.Schema, table: str) -> None:
        self._schema = schema
        self._table = table

    def compile(self, tree: dict[str, Any], positive: bool) -> Operand:
        """`positive` says that null counts as false here, which lets `in` be pushed down into Parquet statistics."""
        if "column" in tree:
            return self._column(tree["column"])
        if "literal" in tree:
            return _literal(tree["literal"], tree.get("type"))
        op, parts = tree.get("op"), tree.get("args", [])
        if op in ("and", "or"):
            compiled = [self.compile(part, positive).expression for part in parts]
            whole = compiled[0]
            for part in compiled[1:]:
                whole = whole & part if op == "and" else whole | part
            return Operand(whole, pa.bool_())
        if op == "in":
            return self._membership(parts, positive)
        args = [self.compile(part, positive=False) for part in parts]
        if op == "not":
            return Operand(~args[0].expression, pa.bool_())
        if op == "is_null":
            return Operand(pc.is_null(args[0].expression), pa.bool_())
        if op == "is_not_null":
            return Operand(~pc.is_null(args[0].expression), pa.bool_())
        if op == "between":
            low, high = self._compare(">=", args[0], args[1]), self._compare("<=", args[0], args[2])
            return Operand(low.expression & high.expression, pa.bool_())
        if op in COMPARISONS:
            return self._compare(op, args[0], args[1])
        if op in ARITHMETIC:
            return self._arithmetic(op, args)
        if op in ("like", "ilike"):
            return self._like(args[0], args[1], op == "ilike")
        if op == "cast":
            return self._cast(args, tree)
        raise self._failure(f"the operator {op!r} cannot be used in a filter")

    def _column(self, name: str) -> Operand:
        if self._schema.get_field_index(name) < 0:
            raise missing_column(name, self._schema, self._table)
        kind, field = self._schema.field(name).type, pc.field(name)
        if kinds.is_dictionary(kind):
            kind, field = kind.value_type, field.cast(kind.value_type)
        if is_view(kind):  # no comparison takes views
            kind = pa.large_string() if kinds.is_string_view(kind) else pa.large_binary()
            field = field.cast(kind)
        return Operand(field, kind, name=f"the column {name!r}")

    def _compare(self, op: str, a: Operand, b: Operand) -> Operand:
        a, b = self._unify(a, b)
        return Operand(COMPARISONS[op](a.expression, b.expression), pa.bool_())

    def _unify(self, a: Operand, b: Operand) -> tuple[Operand, Operand]:
        """Give a literal the type of the other side."""
        if a.is_literal and not b.is_literal:
            b, a = self._unify(b, a)
            return a, b
        if not b.is_literal or a.is_literal or a.type is None:
            return a, b
        if b.value is None:
            return a, _typed(None, a.type)
        return self._fit(a, b)

    def _fit(self, a: Operand, b: Operand) -> tuple[Operand, Operand]:
        kind, value = a.type, b.value
        number = isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool)
        if kinds.is_decimal(kind) and number:
            return _fit_decimal(a, decimal.Decimal(str(value)))
        if kinds.is_integer(kind) and number:
            return a, _fit_integer(kind, value)
        if kinds.is_floating(kind) and number:
            return a, _typed(float(value), pa.float64())
        if kinds.is_timestamp(kind) and isinstance(value, str | datetime.date):
            return a, self._moment(a, value)
        if kinds.is_date(kind) and isinstance(value, str | datetime.date):
            return self._fit_date(a, value)
        text = kinds.is_string(kind) or kinds.is_large_string(kind)
        if text != isinstance(value, str) and not (kinds.is_temporal(kind) or kinds.is_binary(kind)):
            raise self._failure(f"{a.name} is {kind} and cannot be compared with {value!r}")
        try:
            return a, Operand(pc.scalar(pa.scalar(value).cast(kind)), kind, True, value)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise self._failure(f"{a.name} is {kind} and cannot be compared with {value!r}: {error}") from error

    def _fit_date(self, a: Operand, value: Any) -> tuple[Operand, Operand]:
        moment = _parse(value) if isinstance(value, str) else value
        if moment is None:
            raise self._failure(f"{a.name} is {a.type} and {value!r} is no date: write it as 1995-12-31")
        if isinstance(moment, datetime.datetime):
            if moment.time() != datetime.time() or moment.tzinfo is not None:
                stamps = Operand(a.expression.cast(pa.timestamp("us")), pa.timestamp("us"), name=a.name)
                return stamps, self._moment(stamps, moment)
            moment = moment.date()
        return a, _typed(moment, a.type)

    def _moment(self, a: Operand, value: Any) -> Operand:
        moment = _parse(value) if isinstance(value, str) else value
        if moment is None:
            raise self._failure(f"{a.name} is {a.type} and {value!r} is no time: write it as 1995-12-31 23:59:00")
        if not isinstance(moment, datetime.datetime):
            moment = datetime.datetime.combine(moment, datetime.time())
        moment = moment.replace(tzinfo=moment.tzinfo or datetime.UTC).astimezone(datetime.UTC)
        if a.type.tz is None:
            moment = moment.replace(tzinfo=None)
        unit = a.type.unit if a.type.unit in ("us", "ns") else "us"
        kind = pa.timestamp(unit, a.type.tz)
        return Operand(pc.scalar(pa.scalar(moment, pa.timestamp("us", a.type.tz)).cast(kind)), kind, True, moment)

    def _arithmetic(self, op: str, args: list[Operand]) -> Operand:
        if len(args) == 1 and op == "-":
            return Operand(pc.negate(args[0].expression), args[0].type)
        a, b = args
        if a.type is not None and b.type is not None and kinds.is_decimal(a.type) != kinds.is_decimal(b.type):
            a, b = _as_decimal(a), _as_decimal(b)
        result = ARITHMETIC[op](a.expression, b.expression)
        return Operand(result, self._type_of(result))

    def _membership(self, parts: list[dict[str, Any]], positive: bool) -> Operand:
        value, *rest = [self.compile(part, positive=False) for part in parts]
        members = [member for member in rest if member.value is not None]
        if not all(member.is_literal for member in rest):
            raise self._failure("the values of IN must be literals")
        pairs = [self._unify(value, member) for member in members]
        if value.type is not None and all(left is value for left, _ in pairs):
            values = pa.array([right.value for _, right in pairs], pairs[0][1].type if pairs else value.type)
            same = all(right.type == values.type for _, right in pairs) and values.type == value.type
        else:
            same = False
        if same:
            found = value.expression.isin(values)
        else:
            found = pc.scalar(False)
            for left, right in pairs:
                found = found | (left.expression == right.expression)
        if positive:
            return Operand(found, pa.bool_())
        unknown = pc.is_null(value.expression)
        if len(members) < len(rest):
            unknown = unknown | ~found
        return Operand(pc.if_else(unknown, pc.scalar(pa.scalar(None, pa.bool_())), found), pa.bool_())

    def _like(self, value: Operand, pattern: Operand, ignore_case: bool) -> Operand:
        if not (pattern.is_literal and isinstance(pattern.value, str)):
            raise self._failure("the pattern of LIKE must be a literal string")
        if value.type is not None and not (kinds.is_string(value.type) or kinds.is_large_string(value.type)):
            raise self._failure(f"{value.name} is {value.type}: LIKE needs a string")
        plain = pattern.value.replace("\\", "\\\\")  # pyarrow has an escape character, EXPR has not
        return Operand(pc.match_like(value.expression, plain, ignore_case=ignore_case), pa.bool_())

    def _cast(self, args: list[Operand], tree: dict[str, Any]) -> Operand:
        name = tree.get("type") or tree.get("to") or (args[1].value if len(args) > 1 else None)
        kind = CASTS.get(str(name).lower())
        if kind is None:
            raise self._failure(f"a filter cannot cast to {name!r}: use one of {', '.join(CASTS)}")
        value = args[0]
        if value.is_literal:
            return self._fit(Operand(pc.scalar(True), kind, name=f"the cast to {name}"), value)[1]
        return Operand(value.expression.cast(kind), kind, name=value.name)

    def _type_of(self, expression: pc.Expression) -> pa.DataType | None:
        """The type pyarrow gives the expression on this schema, found by running it on no rows."""
        import pyarrow.acero as acero

        empty = self._schema.empty_table()
        source = acero.Declaration("table_source", acero.TableSourceNodeOptions(empty))
        node = acero.Declaration("project", acero.ProjectNodeOptions([expression], ["value"]), [source])
        try:
            return node.to_table(use_threads=False).schema.field("value").type
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise self._failure(str(error)) from error

    def _failure(self, message: str) -> WorkerFailure:
        return WorkerFailure("input", f"the filter on {self._table!r} does not work: {message}")


def _literal(value: Any, kind: str | None) -> Operand:
    if value is None or kind == "null":
        return Operand(pc.scalar(None), None, True, None)
    if kind == "decimal":
        value = decimal.Decimal(str(value))
    elif kind in ("date", "timestamp"):
        parsed = _parse(str(value))
        if parsed is None:
            raise WorkerFailure("input", f"{value!r} in a filter is no {kind}")
        value = parsed
    try:
        scalar = pa.scalar(value)
    except OverflowError:  # an integer beyond 64 bits
        scalar = pa.scalar(float(value))
    return Operand(pc.scalar(scalar), scalar.type, True, value)


def _typed(value: Any, kind: pa.DataType) -> Operand:
    return Operand(pc.scalar(pa.scalar(value, kind)), kind, True, value)


def _fit_integer(kind: pa.DataType, value: Any) -> Operand:
    if value % 1:
        return _typed(float(value), pa.float64())
    value = int(value)
    try:
        return _typed(value, kind)
    except (pa.ArrowInvalid, OverflowError):
        return Operand(pc.scalar(pa.scalar(float(value))), pa.float64(), True, float(value))


def _fit_decimal(a: Operand, value: decimal.Decimal) -> tuple[Operand, Operand]:
    """The literal at the column's scale where it is exact; else both at a larger scale, or as floats."""
    if not value.is_finite():
        return Operand(a.expression.cast(pa.float64()), pa.float64(), name=a.name), _typed(float(value), pa.float64())
    scale = max(a.type.scale, -value.normalize().as_tuple().exponent)
    whole = max(a.type.precision - a.type.scale, value.adjusted() + 1, 1)
    if whole + scale > DECIMAL_DIGITS_MAX:
        return Operand(a.expression.cast(pa.float64()), pa.float64(), name=a.name), _typed(float(value), pa.float64())
    kind = a.type
    if scale > a.type.scale or whole > a.type.precision - a.type.scale:
        kind = pa.decimal128(whole + scale, scale)
        a = Operand(a.expression.cast(kind), kind, name=a.name)
    return a, _typed(value.quantize(decimal.Decimal(1).scaleb(-scale), context=decimal.Context(prec=60)), kind)


def _as_decimal(operand: Operand) -> Operand:
    """A number literal beside a decimal column, as the shortest decimal; others as they are."""
    if not operand.is_literal or not isinstance(operand.value, int | float):
        return operand
    value = decimal.Decimal(str(operand.value))
    return Operand(pc.scalar(pa.scalar(value)), pa.scalar(value).type, True, value)


def _parse(text: str) -> datetime.datetime | datetime.date | None:
    for form in (datetime.date, datetime.datetime):
        try:
            return form.fromisoformat(text.strip())
        except ValueError:
            continue
    return None

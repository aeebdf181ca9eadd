"""Constants of a condition: parts that name no column, as SQL text that means the same to the engines as the text that
was written."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

NUMBERS = ("int", "float")
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_MOMENTS = {
    exp.DataType.Type.DATE: ("date", "date"),
    exp.DataType.Type.TIMESTAMP: ("timestamp", "timestamp"),
    exp.DataType.Type.TIMESTAMPNTZ: ("timestamp", "timestamp"),
}
_DEPTH_MAX = 20


@dataclass(frozen=True)
class Constant:
    """A constant's SQL text and its kind: int, float (a number with a point or an exponent), string, bool, null, date
    or timestamp.

    `plain` is the number or the text itself where it was written as one literal, else None.
    """

    text: str
    kind: str
    plain: str | None = None


def constant_of(node: exp.Expression, depth: int = 0) -> Constant | None:
    """The constant that a node is: a literal, a date or timestamp literal, or arithmetic of such; None for others."""
    if depth > _DEPTH_MAX:
        return None
    match node:
        case exp.Paren():
            return constant_of(node.this, depth + 1)
        case exp.Null():
            return Constant("null", "null")
        case exp.Boolean():
            return Constant("true" if node.this else "false", "bool")
        case exp.Literal() if node.is_string:
            return Constant(quoted(node.this), "string", node.this)
        case exp.Literal():
            return _number(node.this)
        case exp.Neg():
            return _negative(constant_of(node.this, depth + 1))
        case exp.Cast() if not isinstance(node, exp.TryCast):
            return _moment(node)
    if type(node) in _ARITHMETIC:
        return _computed(node, depth)
    return None


def quoted(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _number(text: str) -> Constant | None:
    if not text.isascii():
        return None
    if text.isdigit():
        return Constant(text, "int", text)
    try:
        float(text)
    except ValueError:
        return None
    return Constant(text, "float", text) if text[0].isdigit() else None


def _negative(number: Constant | None) -> Constant | None:
    if number is None or number.kind not in NUMBERS or number.plain is None or number.plain.startswith("-"):
        return None
    return Constant(f"-{number.text}", number.kind, f"-{number.plain}")


def _moment(node: exp.Cast) -> Constant | None:
    """A text that is cast to a date or a timestamp, which is what `date '…'` is too."""
    to = node.args.get("to")
    known = _MOMENTS.get(to.this) if isinstance(to, exp.DataType) and not to.expressions else None
    extra = {key for key, value in node.args.items() if value and key not in ("this", "to", "_type")}
    if known is None or extra or not isinstance(node.this, exp.Literal) or not node.this.is_string:
        return None
    name, kind = known
    return Constant(f"cast({quoted(node.this.this)} as {name})", kind, node.this.this)


def _computed(node: exp.Expression, depth: int) -> Constant | None:
    """Arithmetic of numbers, or a date or timestamp moved by an interval; the engine computes it."""
    op = _ARITHMETIC[type(node)]
    left = constant_of(node.this, depth + 1)
    if left is None:
        return None
    if isinstance(node.expression, exp.Interval):
        interval = _interval(node.expression)
        if interval is None or op not in "+-" or left.kind not in ("date", "timestamp"):
            return None
        return Constant(f"({left.text} {op} {interval})", left.kind)
    right = constant_of(node.expression, depth + 1)
    if right is None or left.kind not in NUMBERS or right.kind not in NUMBERS:
        return None
    return Constant(f"({left.text} {op} {right.text})", "float" if "float" in (left.kind, right.kind) else "int")


def _interval(node: exp.Interval) -> str | None:
    amount, unit = node.this, node.args.get("unit")
    if not isinstance(amount, exp.Literal) or not isinstance(unit, exp.Var) or not unit.name.isalpha():
        return None
    if not amount.name.lstrip("-").isdigit() or not amount.name.isascii():
        return None
    return f"interval '{amount.name} {unit.name.lower()}'"

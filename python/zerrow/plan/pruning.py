"""Which rows of a file a condition rules out by the smallest and the largest value of each column.

The answer is a second condition, over columns that hold what is known of each part of a file (a row group, for
instance): `min a`, `max a`, `nulls a` and `rows`, all of them null where unknown. The engine that evaluates the
condition itself evaluates this one as well, so a constant meets the smallest value as it meets each value, with the
same conversions. What can't be judged counts as true: pruning never decides which rows are kept, it only spares those
that can't be.

A float column may hold NaNs that no minimum or maximum tells of, so the evaluation is done for NaNs too.
"""

from __future__ import annotations

from collections.abc import Mapping

from zerrow.plan.conditions import Comparison, Condition, Every, Some
from zerrow.plan.constants import NUMBERS, Constant

MEMBERS_MAX = 1000
"""The most members of an `in` that are looked at: each is a comparison for each part of each file."""

_FAMILIES = {
    "int": NUMBERS,
    "decimal": NUMBERS,
    "wide_decimal": NUMBERS,
    "float": NUMBERS,
    "string": ("string",),
    "bool": ("bool",),
    "date": ("string", "date", "timestamp"),
    "timestamp": ("string", "date", "timestamp"),
    "timestamptz": ("string", "timestamp"),
}
"""The kinds of constants that columns of a kind are compared with in their own order, after any conversion."""

_INT64 = range(-(2**63), 2**63)


def pruning_condition(condition: Condition, kinds: Mapping[str, str | None]) -> str | None:
    """The SQL condition that is false where no row can meet `condition`; None when nothing can be ruled out.

    `kinds` has the kinds of the table's columns.
    """
    match condition:
        case Comparison():
            return _comparison(condition, kinds.get(condition.column))
        case Every(parts):
            known = [part for part in (pruning_condition(part, kinds) for part in parts) if part is not None]
            return _joined(" and ", known) if known else None
        case Some(parts):
            every = [pruning_condition(part, kinds) for part in parts]
            return None if None in every else _joined(" or ", every)
    return None


def is_comparable(kind: str | None, constants: tuple[Constant, ...]) -> bool:
    """Whether a column of that kind keeps its order when it is compared with the constants, and all of them become the
    same type there: several constants of different types would lend each other theirs."""
    present = {constant.kind for constant in constants} - {"null"}
    if not present <= set(_FAMILIES.get(str(kind), ())):
        return False
    if len(present) > 1:
        return kind == "float"  # whose type no number changes
    if len(constants) > 1 and present == {"int"}:
        texts = [constant.plain or "" for constant in constants if constant.kind != "null"]
        return all(0 < len(text) <= 20 and int(text) in _INT64 for text in texts)
    return True


def column_name(text: str) -> str:
    """The name of a column as SQL text."""
    return '"' + text.replace('"', '""') + '"'


def _comparison(comparison: Comparison, kind: str | None) -> str | None:
    op, column, constants = comparison.op, comparison.column, comparison.constants
    nulls = column_name(f"nulls {column}")
    if op == "is null":
        return f"coalesce({nulls} > 0, true)"
    if op == "is not null":
        return f'coalesce({nulls} < "rows", true)'
    if op == "is nan":
        return f"coalesce(isnan({column_name(f'min {column}')}), true)"
    if not is_comparable(kind, constants) or len(constants) > MEMBERS_MAX:
        return None
    texts = [constant.text for constant in constants if constant.kind != "null"]
    if kind == "float" and op in ("!=", "not in"):
        return None  # DataFusion tells zeros apart in some lists, and equates them elsewhere
    low, high = column_name(f"min {column}"), column_name(f"max {column}")
    ruled = _ruled(op, low, high, texts)
    return None if ruled is None else f'(coalesce({nulls} < "rows", true) and {ruled})'


def _ruled(op: str, low: str, high: str, texts: list[str]) -> str | None:
    """The condition on the smallest and the largest value, and null where one of these is unknown and matters."""
    match op:
        case "<" | "<=":
            found = [f"{low} {op} {text}" for text in texts]
        case ">" | ">=":
            found = [f"{high} {op} {text}" for text in texts]
        case "=" | "in":
            found = [f"{low} <= {text} and {text} <= {high}" for text in texts]
            return _joined(" or ", [_or_unknown(each) for each in found]) if found else None
        case "!=" | "not in":
            found = [f"not ({low} = {text} and {high} = {text})" for text in texts]
            return _joined(" and ", [_or_unknown(each) for each in found]) if found else None
        case "between" if len(texts) == 2:
            return _or_unknown(f"{high} >= {texts[0]} and {low} <= {texts[1]}")
        case "not between" if len(texts) == 2:
            return _joined(" or ", [_or_unknown(f"{low} < {texts[0]}"), _or_unknown(f"{high} > {texts[1]}")])
        case "like" if texts:
            return _prefix(low, high, texts[0])
        case _:
            return None
    return _or_unknown(found[0]) if found else None


def _prefix(low: str, high: str, pattern: str) -> str | None:
    """A pattern that starts with plain text: matching values lie between that text and the one that follows all
    such."""
    text = pattern[1:-1].replace("''", "'")
    plain = ""
    for letter in text:
        if letter in "%_\\":
            break
        plain += letter
    if not plain or ord(plain[-1]) >= 0xD7FF:
        return None
    after = plain[:-1] + chr(ord(plain[-1]) + 1)
    start, stop = ("'" + each.replace("'", "''") + "'" for each in (plain, after))
    return _or_unknown(f"{high} >= {start} and {low} < {stop}")


def _or_unknown(text: str) -> str:
    return f"coalesce({text}, true)"


def _joined(joint: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({joint.join(parts)})"

"""Parameters in SQL text: each `$name` becomes the parameter's value as one would write it in SQL."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import sqlglot
from sqlglot.tokens import TokenType

from zerrow.plan.dialect import DIALECT
from zerrow.plan.parameters import Value


class UnknownParameterError(Exception):
    """A text names parameters that the project doesn't have: each with its line, which counts from 1."""

    def __init__(self, unknown: list[tuple[str, int]]) -> None:
        super().__init__(", ".join(name for name, _ in unknown))
        self.unknown = unknown


def replace_parameters(text: str, parameters: Mapping[str, Value], secrets: Collection[str] = ()) -> str:
    """The text with the values of its parameters, but for `secrets`; its lines stay where they are.

    Raises UnknownParameterError, and sqlglot's errors for a text that is no SQL at all.
    """
    tokens = sqlglot.tokenize(text, read=DIALECT)
    pieces, end = [], 0
    unknown: list[tuple[str, int]] = []
    for dollar, name in itertools.pairwise(tokens):
        if dollar.token_type != TokenType.PARAMETER or dollar.text != "$" or name.start != dollar.end + 1:
            continue
        if name.text in secrets:
            continue
        if name.text not in parameters:
            unknown.append((name.text, text.count("\n", 0, dollar.start) + 1))
            continue
        pieces += [text[end : dollar.start], sql_literal(parameters[name.text])]
        end = name.end + 1
    if unknown:
        raise UnknownParameterError(unknown)
    return "".join(pieces) + text[end:]


def sql_literal(value: Value) -> str:
    """A parameter's value as one would write it in SQL."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return repr(value) if value >= 0 else f"({value!r})"
        case _:
            return "'" + value.replace("'", "''") + "'"

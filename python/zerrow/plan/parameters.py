"""A project's parameters: their declared types, and the values of one run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from zerrow.plan.declarations import finite
from zerrow.plan.findings import Findings, shown_value

PARAMETER_TYPES = ("str", "int", "float", "bool", "secret", "vault")
SECRET_TYPES = ("secret", "vault")
"""Texts that are shown nowhere. A default of theirs is encrypted, or names a place, so it is no value."""
Value = str | int | float | bool | None

_PYTHON_TYPES = {"str": str, "int": int, "float": float, "bool": bool}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class ParameterDeclaration:
    """A parameter of the project file. `default` has the declared type; None when there is none."""

    name: str
    kind: str
    default: Value
    required: bool
    line: int
    file: str

    @property
    def is_secret(self) -> bool:
        """Whether its value is shown nowhere."""
        return self.kind in SECRET_TYPES


@dataclass(frozen=True)
class Given:
    """A value that is given as a text; `where` is said of it in messages, as in "--param"."""

    text: str
    where: str = "--param"


def default_problem(kind: str, default: object) -> str | None:
    """Why `default` is no value of a parameter of the type `kind`; None if it is one, or there is none."""
    if default is None or kind in SECRET_TYPES:
        return None
    if kind == "float" and isinstance(default, int) and not isinstance(default, bool):
        return None if finite(default) is not None else "is a number that no float is near to"
    if not isinstance(default, _PYTHON_TYPES[kind]) or (kind == "int" and isinstance(default, bool)):
        return f"is {shown_value(default)}, which is no {kind}"
    return _range_problem(default)


def parameter_values(
    declarations: Mapping[str, ParameterDeclaration], given: Mapping[str, Given], findings: Findings
) -> dict[str, Value]:
    """The value of every parameter: what was given as text, or else its default.

    One that isn't declared is a text. A secret that nobody gave has none; that is an error only where it is read.
    """
    values: dict[str, Value] = {name: each.text for name, each in given.items() if name not in declarations}
    for name, declaration in declarations.items():
        default = None if declaration.is_secret else declaration.default
        values[name] = float(default) if declaration.kind == "float" and default is not None else default
        if name in given:
            value, problem = _parse(declaration, given[name].text)
            values[name] = value
            if problem:
                findings.error(
                    "parameter-type",
                    f"the parameter {name!r} {problem}",
                    file=declaration.file,
                    line=declaration.line,
                    hint=f"give it as {_example(declaration)}",
                )
        elif default is None and declaration.required and not declaration.is_secret:
            findings.error(
                "missing-parameter",
                f"the parameter {name!r} has no value and no default",
                file=declaration.file,
                line=declaration.line,
                hint=f"give it as {_example(declaration)}, or add a default",
            )
    return values


def names_parameter(text: str, name: str) -> bool:
    """Whether a SQL text names the parameter, be it in a comment."""
    return re.search(rf"\${re.escape(name)}\b", text) is not None


_EXAMPLES = {"str": "text", "int": "42", "float": "0.5", "bool": "true"}


def _example(declaration: ParameterDeclaration) -> str:
    return f"--param {declaration.name}={_EXAMPLES[declaration.kind]}"


def _parse(declaration: ParameterDeclaration, text: str) -> tuple[Value, str | None]:
    """The value of a given text, and what is wrong with it."""
    kind = declaration.kind
    if kind == "str" or declaration.is_secret:
        return text, None
    if kind == "bool":
        lower = text.strip().lower()
        if lower not in ("true", "false"):
            return False, f"is {shown_value(text)}, which is neither true nor false"
        return lower == "true", None
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        return None, f"is {shown_value(text)}, which is no {kind}"
    problem = _range_problem(value)
    return (None if problem else value), problem


def _range_problem(value: object) -> str | None:
    """Numbers have to fit the columns and the JSON they go into."""
    if isinstance(value, int) and value not in _INT64:
        return f"is {shown_value(value)}, which doesn't fit 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {shown_value(value)}, which is no finite number"
    return None

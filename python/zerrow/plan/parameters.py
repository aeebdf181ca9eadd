"""A project's parameters: their declared types, and the values of one run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean

PARAMETER_TYPES = ("str", "int", "float", "bool")
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


def default_problem(kind: str, default: object) -> str | None:
    """Why `default` is no value of a parameter of the type `kind`; None if it is one, or there is none."""
    if default is None:
        return None
    if kind == "float" and isinstance(default, int) and not isinstance(default, bool):
        return None
    if not isinstance(default, _PYTHON_TYPES[kind]) or (kind == "int" and isinstance(default, bool)):
        return f"is {default!r}, which is no {kind}"
    return _range_problem(default)


def parameter_values(
    declarations: Mapping[str, ParameterDeclaration], given: Mapping[str, str], file: str, findings: Findings
) -> dict[str, Value]:
    """The value of every parameter: what was given on the command line as text, or else its default."""
    for name in given:
        if name not in declarations:
            findings.error(
                "unknown-parameter",
                f"the project has no parameter {name!r}",
                file=file,
                hint=did_you_mean(name, declarations, "parameters"),
            )
    values: dict[str, Value] = {}
    for name, declaration in declarations.items():
        default = declaration.default
        values[name] = float(default) if declaration.kind == "float" and default is not None else default
        if name in given:
            value, problem = _parse(declaration.kind, given[name])
            values[name] = value
            if problem:
                findings.error(
                    "parameter-type",
                    f"the parameter {name!r} {problem}",
                    file=file,
                    line=declaration.line,
                    hint=f"give it as --param {name}={_EXAMPLES[declaration.kind]}",
                )
        elif default is None and declaration.required:
            findings.error(
                "missing-parameter",
                f"the parameter {name!r} has no value and no default",
                file=file,
                line=declaration.line,
                hint=f"give it as --param {name}={_EXAMPLES[declaration.kind]}, or add a default",
            )
    return values


_EXAMPLES = {"str": "text", "int": "42", "float": "0.5", "bool": "true"}


def _parse(kind: str, text: str) -> tuple[Value, str | None]:
    """The value of a command line's text, and what is wrong with it."""
    if kind == "str":
        return text, None
    if kind == "bool":
        lower = text.strip().lower()
        return lower == "true", None if lower in ("true", "false") else f"is {text!r}, which is neither true nor false"
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        return None, f"is {text!r}, which is no {kind}"
    problem = _range_problem(value)
    return (None if problem else value), problem


def _range_problem(value: object) -> str | None:
    """Numbers have to fit the columns and the JSON they go into."""
    if isinstance(value, int) and value not in _INT64:
        return f"is {value}, which doesn't fit 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, which is no finite number"
    return None

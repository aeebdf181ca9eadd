"""The arguments of declaring calls: literals, checked, each with its line."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from zerrow import pieces
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean

_DEPTH_MAX = 50

Options = dict[str, tuple[Any, int]]
"""Values by the names of their arguments, each with its line."""


class CallReader:
    """Reads the declaring calls of one file."""

    def __init__(self, file: str, findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self.constants: dict[str, ast.expr] = {}
        """Expressions by the names that the file gives them, once and for all."""

    def error(self, code: str, message: str, model: str | None, line: int, hint: str | None = None) -> None:
        """Notes an error in the file."""
        self._findings.error(code, message, model=model, file=self._file, line=line, hint=hint)

    def warning(self, code: str, message: str, line: int, hint: str | None = None) -> None:
        """Notes a warning about the file."""
        self._findings.warning(code, message, file=self._file, line=line, hint=hint)

    def literals(
        self, call: ast.Call, known: tuple[str, ...], model: str, what: str, *, tolerates_others: bool = False
    ) -> Options:
        """The arguments of a call. One that is no literal is an error, and so is one that isn't known, which is a
        warning where the call `tolerates_others`."""
        named: list[tuple[str | None, ast.expr]] = list(zip(known, call.args, strict=False))
        if len(call.args) > len(known):
            self.error("bad-argument", f"{what} takes at most {len(known)} arguments", model, call.lineno)
        named += [(keyword.arg, keyword.value) for keyword in call.keywords]
        literals: Options = {}
        for key, node in named:
            if key is None or isinstance(node, ast.Starred):
                self.not_literal(what, model, node)
            elif key not in known and tolerates_others:
                hint = did_you_mean(key, known, f"arguments of {what}")
                self.warning("unknown-argument", f"{what} ignores the argument {key!r}", node.lineno, hint)
            elif key not in known:
                hint = did_you_mean(key, known, f"arguments of {what}")
                self.error("bad-argument", f"{what} has no argument {key!r}", model, node.lineno, hint)
            elif key in literals:
                self.error("bad-argument", f"{what} is given {key!r} twice", model, node.lineno)
            else:
                try:
                    literals[key] = (self._value(node), node.lineno)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    self.not_literal(f"{key!r} of {what}", model, node)
        return literals

    def _value(self, node: ast.expr, depth: int = 0) -> Any:
        """The value of a literal, of a name that stands for one, or of such that are added. Raises ValueError, or what
        literal_eval raises."""
        if depth > _DEPTH_MAX:
            raise ValueError("names of names")
        match node:
            case ast.Name(id=name) if name in self.constants:
                return self._value(self.constants[name], depth + 1)
            case ast.BinOp(op=ast.Add()):
                left, right = self._value(node.left, depth + 1), self._value(node.right, depth + 1)
                if type(left) is type(right) and isinstance(left, str | list | tuple):
                    return left + right
                raise ValueError("numbers are not added")
            case ast.List() | ast.Tuple():
                values = [self._value(each, depth + 1) for each in node.elts]
                return values if isinstance(node, ast.List) else tuple(values)
        return ast.literal_eval(node)

    def not_literal(self, what: str, model: str, node: ast.expr) -> None:
        """Notes an argument that can't be read."""
        self.error(
            "not-literal",
            f"{what} is no literal: {ast.unparse(node)[:60]}",
            model,
            node.lineno,
            "declarations are read without running the file: write the value itself, or use a $parameter in a filter",
        )

    def option(self, options: Options, key: str, kind: str, model: str, convert: Callable[[Any], Any]) -> Any:
        """The converted value of an option; None when it is absent, is None, or doesn't convert, which is an error."""
        value, line = options.get(key, (None, 0))
        if value is None:
            return None
        converted = convert(value)
        if converted is None:
            self.error("bad-argument", f"{key}={value!r} should be {kind}", model, line)
        return converted


def constants_of(tree: ast.Module) -> dict[str, ast.expr]:
    """The names that a file's top level gives to expressions, but for those that it, or a function, gives twice."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if node.value is not None:
                    found[name] = node.value
    given: dict[str, int] = {}
    for node in pieces.nodes(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in found:
            given[node.id] = given.get(node.id, 0) + 1
    return {name: value for name, value in found.items() if given.get(name) == 1}


def text(value: object) -> str | None:
    """A text that isn't empty; None for anything else."""
    return value if isinstance(value, str) and value else None


def words(value: object) -> str | None:
    """A text, which may be empty; None for anything else."""
    return value if isinstance(value, str) else None


def column_list(value: object) -> tuple[str, ...] | None:
    """A list of names; None for anything else."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


def names_in(value: object) -> tuple[str, ...] | None:
    """Names in a list, or in one text with commas between them; None for anything else.

    A comma in parentheses, as in `bucket(4, id)`, is part of a name.
    """
    if not isinstance(value, str):
        return column_list(value)
    parts, depth = [""], 0
    for letter in value:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(stripped for part in parts if (stripped := part.strip())) or None


def boolean(value: object) -> bool | None:
    """True or False; None for anything else."""
    return value if isinstance(value, bool) else None


def packages(value: object) -> dict[str, str] | None:
    """Packages with their versions; None for anything else."""
    if isinstance(value, dict) and all(isinstance(item, str) for pair in value.items() for item in pair):
        return dict(value)
    return None

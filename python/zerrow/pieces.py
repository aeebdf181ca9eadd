"""A Python file in pieces: its statements compiled so that functions which nobody needs can be left out.

The planner compiles, workers run. Pieces that run one after the other in a module's namespace do what the whole file
would: names at a module's top level are looked up when they are used.
"""

from __future__ import annotations
import __future__

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.util import decode_source
from types import CodeType

COMPILED_FOR = f"{sys.implementation.cache_tag} {importlib.util.MAGIC_NUMBER.hex()} {sys.flags.optimize}"
"""Tells whether code that one Python has compiled is fit for another one."""


def is_built_in(name: str) -> bool:
    """Whether Python finds a module before it looks into any folder; our own are never a project's either."""
    if name in sys.builtin_module_names or name in ("encodings", "zerrow"):
        return True
    return importlib.machinery.FrozenImporter.find_spec(name) is not None


def parse(source: bytes | str, path: str) -> ast.Module:
    """The syntax tree of a file's bytes, read as Python reads them: its encoding, its ends of lines. Or that of a text.

    Raises what compile() raises: SyntaxError, ValueError, RecursionError, MemoryError.
    """
    return compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree, in no order: what ast.walk gives, in a third of the time."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for value in node.__dict__.values():
            if isinstance(value, list):
                pending += [each for each in value if isinstance(each, ast.AST)]
            elif isinstance(value, ast.AST):
                pending.append(value)


def split(body: list[ast.stmt], optional: Collection[int]) -> Iterator[tuple[int | None, list[ast.stmt]]]:
    """Runs of statements that belong together, in the file's order; each optional one alone, by its index."""
    run: list[ast.stmt] = []
    for index, statement in enumerate(body):
        if index in optional:
            if run:
                yield None, run
            run = []
            yield index, [statement]
        else:
            run.append(statement)
    if run:
        yield None, run


def compile_piece(tree: ast.Module, statements: list[ast.stmt], path: str) -> CodeType:
    """Statements of a file's tree as a module of their own."""
    is_first = bool(tree.body) and statements[0] is tree.body[0]
    # A text at the beginning of a module is its documentation; elsewhere it does nothing.
    while statements and not is_first and _is_text(statements[0]):
        statements = statements[1:]
    module = ast.Module(statements, [])
    return compile(module, path, "exec", _future_flags(tree), dont_inherit=True)


def lines_of(statement: ast.stmt) -> tuple[int, int]:
    """The first and the last line of a statement, with its decorators."""
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(each.lineno for each in decorators)])
    return first, statement.end_lineno or statement.lineno


def compile_kept(
    source: bytes, path: str, optional: Sequence[Sequence[int]], kept: Iterable[Sequence[int]]
) -> CodeType:
    """A file's code without the optional statements that aren't kept, whose lines are not even parsed.

    `optional` has their first and last lines, which are nobody else's; `kept` has ranges of numbers in that list.
    """
    numbers = set(range(len(optional))).difference(*(range(start, end) for start, end in kept))
    if not numbers:
        return compile(source, path, "exec", dont_inherit=True)
    lines = decode_source(source).split("\n")
    for first, last in (optional[number] for number in numbers):
        lines[first - 1 : last] = [""] * (last + 1 - first)
    tree = parse("\n".join(lines), path)
    # A text that now comes first, and did not before, is no documentation.
    body = tree.body
    while body and _is_text(body[0]) and optional[min(numbers)][0] < body[0].lineno:
        body = body[1:]
    return compile(ast.Module(body, []), path, "exec", _future_flags(tree), dont_inherit=True)


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                # A name that doesn't exist is an error that compiling finds.
                flags |= getattr(getattr(__future__, alias.name, None), "compiler_flag", 0)
        elif not _is_text(statement):
            break
    return flags


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )

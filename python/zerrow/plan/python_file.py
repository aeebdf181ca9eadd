"""Reads the models of a Python file from its syntax tree. The file is never imported."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from zerrow import pieces
from zerrow.plan.call_reader import CallReader, constants_of
from zerrow.plan.declarations import PythonModel
from zerrow.plan.findings import Findings, too_much
from zerrow.plan.model_reader import Function, ModelReader, arguments_of
from zerrow.plan.names import did_you_mean
from zerrow.plan.schemas import Schema, read_schemas
from zerrow.plan.spelling import MARKS, NODES, SETTINGS, Spelling, last_name

FILE_BYTES_MAX = 16 << 20


@dataclass(frozen=True)
class SourceText:
    """A Python file as it was read, and its syntax tree where it has been parsed."""

    source: bytes
    tree: ast.Module | None


_DECLARING_WORDS = (b"zerrow", b"bauplan", b"bpln_sdk")
"""One of these is in every file that declares a model."""


class PythonFile:
    """One Python file of a project: its models, its schemas, and the top-level names of the modules it imports.

    `imported` has where names come from that it imports from modules, as (module, name); `stars` the modules that it
    imports all names of; `modules` those that it imports, by the names it gives them.
    """

    def __init__(self, file: str, source: bytes, findings: Findings) -> None:
        """Parses what is in the file; `file` is its name relative to the project folder. Errors go to `findings`."""
        self.file = file
        self.text = SourceText(source, None)
        self.findings = findings
        self.models: list[PythonModel] = []
        self._by_function: dict[str, PythonModel] = {}
        self.schemas: dict[str, Schema] = {}
        self.imports: set[str] = set()
        self.imported: dict[str, tuple[str, str]] = {}
        self.stars: list[str] = []
        self.modules: dict[str, str] = {}
        self._calls = CallReader(file, findings)
        try:
            with warnings.catch_warnings():  # what Python warns of is for those who run the file
                warnings.simplefilter("ignore")
                tree = pieces.parse(source, file)
        except SyntaxError as error:
            self._syntax_error(source, error)
            return
        except ValueError as error:
            findings.error("python-syntax", f"the file can't be parsed: {error}", file=file)
            return
        except (RecursionError, MemoryError) as error:
            too_much(file, error, findings)
            return
        self.text = SourceText(source, tree)
        nodes = list(pieces.nodes(tree))
        self._spelling = Spelling(nodes)
        self._understood = set(self._spelling.aliases)
        self._read_imports(nodes)
        functions = sorted((node for node in nodes if isinstance(node, Function)), key=_place)
        if self._spelling.declares:
            self._calls.constants = constants_of(tree)
            self.schemas = read_schemas(tree, self._spelling, self._calls, file)
            self._read_functions(tree, functions)
            self._report_what_is_not_understood(nodes)
        else:
            self._report_strangers(functions)

    def _syntax_error(self, source: bytes, error: SyntaxError) -> None:
        """Says what is wrong. It may be newer syntax than that of this Python, which a model's own Python may know; a
        file without a word that could declare a model leaves none out."""
        version = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
        message = f"Python syntax error: {error.msg}"
        if any(word in source for word in _DECLARING_WORDS):
            hint = (
                f"files that declare models are read with {version}: if this is newer syntax, write it into a module "
                "of its own, which models with a newer Python import"
            )
            self.findings.error("python-syntax", message, file=self.file, line=error.lineno, hint=hint)
            return
        hint = f"models that import it need a newer Python than {version}, if this is newer syntax"
        self.findings.warning("python-syntax", message, file=self.file, line=error.lineno, hint=hint)

    def _read_imports(self, nodes: list[ast.AST]) -> None:
        for node in nodes:
            if isinstance(node, ast.Import):
                self.imports |= {alias.name.split(".")[0] for alias in node.names}
                self.modules |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                if node.module and not node.level:
                    self.imports.add(node.module.split(".")[0])
                for alias in node.names:
                    module = node.module or ""
                    if alias.name == "*":
                        self.stars.append(module)
                    else:
                        self.imported[alias.asname or alias.name] = (module, alias.name)

    def _read_functions(self, tree: ast.Module, functions: list[Function]) -> None:
        top_level = set(_top_level_functions(tree.body))
        reader = ModelReader(self.file, self._spelling, self._calls, self.text.source)
        for node in functions:
            kinds = [self._spelling.declaration(_called(item)) for item in node.decorator_list]
            self._understood |= {
                id(_called(item)) for item, kind in zip(node.decorator_list, kinds, strict=True) if kind
            }
            is_declared = any(kind in NODES for kind in kinds)
            marks = list(self._marks(node))
            if is_declared and node not in top_level:
                self._calls.error(
                    "model-not-top-level",
                    f"the model {node.name!r} is declared inside a class or another function",
                    node.name,
                    node.lineno,
                    "move it to the top level of the file",
                )
            elif unknown := next(filter(self._spelling.is_unknown, map(_called, node.decorator_list)), None):
                self._calls.error(
                    "not-understood",
                    f"the function {node.name!r} is under @{self._spelling.path(unknown)}, which is not known",
                    node.name,
                    unknown.lineno,
                    did_you_mean(last_name(unknown) or "", (*NODES, *SETTINGS), "decorators"),
                )
            elif is_declared:
                if model := reader.read(node):
                    self._add(model)
            elif node in top_level and any(kind in SETTINGS for kind in kinds):
                self._calls.error(
                    "no-model-decorator",
                    f"the function {node.name!r} has a decorator of models but is no model",
                    node.name,
                    node.lineno,
                    f"put @{self._family(node)}.model() above it",
                )
            elif marks and node.decorator_list:
                shown = ast.unparse(_called(node.decorator_list[0]))[:60]
                self._calls.error(
                    "not-understood",
                    f"the function {node.name!r} has inputs, and its decorator {shown!r} is none that declares a model",
                    node.name,
                    node.decorator_list[0].lineno,
                    f"put @{self._spelling.family(marks[0][0])}.model() above it, by that name",
                )
            elif node in top_level and marks:
                self._calls.warning(
                    "no-model-decorator",
                    f"the function {node.name!r} has inputs but is no model",
                    node.lineno,
                    f"put @{self._spelling.family(marks[0][0])}.model() above it",
                )
            # What marks of functions in functions mean, their own callers know.
            self._understood |= {id(mark) for _, mark in marks}
        self._report_strangers([node for node in functions if id(node) not in reader.seen])

    def _add(self, model: PythonModel) -> None:
        other = self._by_function.setdefault(model.function, model)
        if other.name != model.name:
            self._calls.error(
                "duplicate-name",
                f"the models {other.name!r} and {model.name!r} are both functions named {model.function!r}",
                model.name,
                model.line,
                "rename one of the functions: the file keeps only the last of a name",
            )
        self.models.append(model)

    def _marks(self, node: Function) -> Iterator[tuple[ast.expr, ast.expr]]:
        """The marks of a function's arguments as inputs: what is called, or named, and the mark as a whole."""
        for argument, default in arguments_of(node):
            for part in (default, *(self._spelling.annotated(argument.annotation) or ())):
                if part is not None and (called := self._spelling.mark(part)) is not None:
                    yield called, part

    def _family(self, node: Function) -> str:
        return next(
            self._spelling.family(_called(item))
            for item in node.decorator_list
            if self._spelling.declaration(_called(item))
        )

    def _report_what_is_not_understood(self, nodes: list[ast.AST]) -> None:
        """A declaration that isn't read where it stands would be a model, or an input, that is left out in silence."""
        for node in nodes:
            if isinstance(node, ast.Name | ast.Attribute) and id(node) not in self._understood:
                if not isinstance(node.ctx, ast.Load):
                    continue
                name = self._spelling.declaration(node)
                if name in NODES:
                    self._not_understood(node, f"@{self._spelling.family(node)}.{name}")
            elif isinstance(node, ast.Call) and id(node) not in self._understood:
                name = self._spelling.declaration(node.func)
                if name in MARKS:
                    self._not_understood(node, f"{self._spelling.family(node.func)}.{name}")

    def _not_understood(self, node: ast.expr, what: str) -> None:
        is_mark = what.endswith(MARKS)
        self._calls.error(
            "not-understood",
            f"{what} is used in a way that isn't understood, so a model would be left out: {ast.unparse(node)[:60]}",
            None,
            node.lineno,
            'write it in the function\'s own head: table=Model("…")' if is_mark else "write it above a function",
        )

    def _report_strangers(self, functions: list[Function]) -> None:
        """Functions that look like models, by names that mean nothing here, would be left out in silence too."""
        for node in functions:
            decorator = next((item for item in node.decorator_list if last_name(item) in NODES), None)
            if decorator is None or self._spelling.declaration(_called(decorator)):
                continue
            parts = [
                part
                for argument, default in arguments_of(node)
                for part in (default, *ast.walk(argument.annotation or ast.Pass()))
            ]
            if any(isinstance(part, ast.Call) and last_name(part) in MARKS for part in parts):
                self._calls.error(
                    "not-understood",
                    f"the function {node.name!r} looks like a model, but {ast.unparse(_called(decorator))!r} is "
                    "neither zerrow's nor bauplan's as far as this file tells",
                    node.name,
                    decorator.lineno,
                    "import zerrow or bauplan in this file itself",
                )


def _place(node: ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _top_level_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Functions that exist once the file is imported: also those under a top-level if, try or with."""
    for node in body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            blocks = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            blocks += [handler.body for handler in getattr(node, "handlers", [])]
            for block in blocks:
                yield from _top_level_functions(block)

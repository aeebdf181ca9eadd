"""Reads the models of a Python file from its syntax tree. The file is never imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zerrow import pieces
from zerrow.plan.declarations import Limits, ParameterArgument, PythonModel, TableArgument, is_cached, memory_bytes
from zerrow.plan.findings import Findings, too_much
from zerrow.plan.names import did_you_mean, name_problem

# Modules whose `model`, `Model` and `Parameter` are declarations.
_DECLARING_MODULES = ("zerrow",)
_MODEL_OPTIONS = ("name", "columns", "internet_access", "memory", "timeout", "cache_strategy")
_INPUT_OPTIONS = ("name", "columns", "filter")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


FILE_BYTES_MAX = 16 << 20


@dataclass(frozen=True)
class SourceText:
    """A Python file as it was read, and its syntax tree where it has been parsed."""

    source: bytes
    tree: ast.Module | None


class PythonFile:
    """One Python file of a project: its models, and the top-level names of the modules it imports."""

    def __init__(self, file: str, source: bytes, findings: Findings) -> None:
        """Parses what is in the file; `file` is its name relative to the project folder. Errors go to `findings`."""
        self.file = file
        self.text = SourceText(source, None)
        self.findings = findings
        self.models: list[PythonModel] = []
        self.imports: set[str] = set()
        self._modules: set[str] = set()
        self._declared: dict[str, str] = {}
        try:
            with warnings.catch_warnings():  # what Python warns of is for those who run the file
                warnings.simplefilter("ignore")
                tree = pieces.parse(source, file)
        except SyntaxError as error:
            findings.error("python-syntax", f"Python syntax error: {error.msg}", file=file, line=error.lineno)
            return
        except ValueError as error:
            findings.error("python-syntax", f"the file can't be parsed: {error}", file=file)
            return
        except (RecursionError, MemoryError) as error:
            too_much(file, error, findings)
            return
        self.text = SourceText(source, tree)
        kinds = (ast.Import, ast.ImportFrom, *_Function.__args__)
        self._nodes = sorted((each for each in pieces.nodes(tree) if isinstance(each, kinds)), key=_place)
        self._read_imports()
        self._read_functions(tree)

    def _read_imports(self) -> None:
        for node in self._nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports.add(alias.name.split(".")[0])
                    if alias.name in _DECLARING_MODULES:
                        self._modules.add(alias.asname or alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self.imports.add(node.module.split(".")[0])
                if node.module in _DECLARING_MODULES:
                    for alias in node.names:
                        self._declared[alias.asname or alias.name] = alias.name

    def _read_functions(self, tree: ast.Module) -> None:
        top_level = set(_top_level_functions(tree.body))
        for node in self._nodes:
            if not isinstance(node, _Function):
                continue
            decorators = [item for item in node.decorator_list if self._declaration(_called(item)) == "model"]
            if decorators and node not in top_level:
                self._error(
                    "model-not-top-level",
                    f"the model {node.name!r} is declared inside a class or another function",
                    node.name,
                    node.lineno,
                    "move it to the top level of the file",
                )
            elif decorators:
                self._read_model(node, decorators)
            elif node in top_level and any(self._is_input(value) for _, value in _defaults(node)):
                self.findings.warning(
                    "no-model-decorator",
                    f"the function {node.name!r} has inputs but is no model",
                    file=self.file,
                    line=node.lineno,
                    hint="put @zerrow.model() above it",
                )

    def _declaration(self, node: ast.expr) -> str | None:
        """The name in zerrow that an expression stands for, such as "Model"; None for anything else."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in self._modules:
            return node.attr
        return self._declared.get(node.id) if isinstance(node, ast.Name) else None

    def _is_input(self, node: ast.expr | None) -> bool:
        return isinstance(node, ast.Call) and self._declaration(node.func) in ("Model", "Parameter")

    def _error(self, code: str, message: str, model: str | None, line: int, hint: str | None = None) -> None:
        self.findings.error(code, message, model=model, file=self.file, line=line, hint=hint)

    def _read_model(self, node: _Function, decorators: list[ast.expr]) -> None:
        if len(decorators) > 1:
            self._error("two-decorators", f"{node.name!r} has two model decorators", node.name, node.lineno)
            return
        options: dict[str, tuple[Any, int]] = {}
        if isinstance(decorators[0], ast.Call):
            options = self._literals(decorators[0], _MODEL_OPTIONS, node.name, "@zerrow.model")
        else:
            self._error(
                "decorator",
                "@zerrow.model is missing its parentheses",
                node.name,
                decorators[0].lineno,
                "write @zerrow.model()",
            )
        name = self._option(options, "name", "a text", node.name, lambda value: value if _is_text(value) else None)
        name = node.name if name is None else name
        if problem := name_problem(name):
            line = options["name"][1] if "name" in options else node.lineno
            self._error("invalid-name", problem, node.name, line, 'name the model with @zerrow.model(name="…")')
            return
        columns = self._option(options, "columns", "a list of texts", name, _column_list)
        cached = self._option(options, "cache_strategy", '"DEFAULT" or "NONE"', name, is_cached)
        self._check_function(node, name)
        self.models.append(
            PythonModel(
                name=name,
                file=self.file,
                line=node.lineno,
                function=node.name,
                arguments=self._arguments(node, name),
                columns=columns if columns and "*" not in columns else None,
                limits=Limits(
                    self._option(options, "internet_access", "True or False", name, _boolean) or False,
                    self._option(options, "memory", 'bytes, or a text such as "2G"', name, memory_bytes),
                    self._option(options, "timeout", "a positive number of seconds", name, _seconds),
                    is_cached=cached is not False,
                    is_always_cached=cached is True,
                ),
            )
        )

    def _check_function(self, node: _Function, model: str) -> None:
        if isinstance(node, ast.AsyncFunctionDef):
            self._error("async-model", f"the model {model!r} is an async function", model, node.lineno, "use plain def")
        elif b"yield" in self.text.source and (yield_line := _yield_line(node)):
            self._error(
                "generator-model",
                f"the model {model!r} is a generator: it yields",
                model,
                yield_line,
                "return one table, or a pyarrow.RecordBatchReader made from the batches",
            )

    def _arguments(self, node: _Function, model: str) -> list[TableArgument | ParameterArgument]:
        arguments: list[TableArgument | ParameterArgument] = []
        for argument, default in _defaults(node):
            if default is None:
                self._error(
                    "parameter-without-default",
                    f"nothing says what the argument {argument.arg!r} of {model!r} is",
                    model,
                    argument.lineno,
                    f'give it a default: {argument.arg}=zerrow.Model("…") or zerrow.Parameter("…")',
                )
            elif isinstance(default, ast.Call) and self._declaration(default.func) == "Model":
                table = self._table_argument(argument.arg, default, model)
                arguments.extend([table] if table else [])
            elif isinstance(default, ast.Call) and self._declaration(default.func) == "Parameter":
                options = self._literals(default, ("name",), model, "zerrow.Parameter")
                if name := self._required_name(options, default, model, "zerrow.Parameter"):
                    arguments.append(ParameterArgument(argument.arg, name, default.lineno))
        return arguments

    def _table_argument(self, argument: str, call: ast.Call, model: str) -> TableArgument | None:
        options = self._literals(call, _INPUT_OPTIONS, model, "zerrow.Model")
        table = self._required_name(options, call, model, "zerrow.Model")
        columns = self._option(options, "columns", "a list of texts", model, _column_list)
        filter_ = self._option(options, "filter", "a text", model, lambda value: value if _is_text(value) else None)
        if columns == ():
            self._error("no-columns", f"the input {argument!r} selects no column", model, options["columns"][1])
            columns = None
        if columns and (twice := sorted({column for column in columns if columns.count(column) > 1})):
            self._error(
                "duplicate-column",
                f"the input {argument!r} selects {', '.join(map(repr, twice))} more than once",
                model,
                options["columns"][1],
                "name each column once",
            )
            columns = tuple(dict.fromkeys(columns))
        if table is None:
            return None
        columns = None if columns and "*" in columns else columns
        filter_line = options["filter"][1] if "filter" in options else call.lineno
        return TableArgument(argument, table, columns, filter_, call.lineno, filter_line)

    def _required_name(self, options: dict[str, tuple[Any, int]], call: ast.Call, model: str, what: str) -> str | None:
        if "name" not in options:
            if not call.args and not any(keyword.arg == "name" for keyword in call.keywords):
                self._error("no-name", f"{what} names nothing", model, call.lineno, f'write {what}("…")')
            return None
        return self._option(options, "name", "a text", model, lambda value: value if _is_text(value) else None)

    def _option(self, options: dict[str, tuple[Any, int]], key: str, kind: str, model: str, convert: Any) -> Any:
        """The converted value of an option; None when it is absent, is None, or doesn't convert, which is an error."""
        value, line = options.get(key, (None, 0))
        if value is None:
            return None
        converted = convert(value)
        if converted is None:
            self._error("bad-argument", f"{key}={value!r} should be {kind}", model, line)
        return converted

    def _literals(self, call: ast.Call, known: tuple[str, ...], model: str, what: str) -> dict[str, tuple[Any, int]]:
        """The arguments of a declaring call, with their lines. One that is no literal, or not known, is an error."""
        named: list[tuple[str | None, ast.expr]] = list(zip(known, call.args, strict=False))
        if len(call.args) > len(known):
            self._error("bad-argument", f"{what} takes at most {len(known)} arguments", model, call.lineno)
        named += [(keyword.arg, keyword.value) for keyword in call.keywords]
        literals: dict[str, tuple[Any, int]] = {}
        for key, node in named:
            if key is None or isinstance(node, ast.Starred):
                self._not_literal(what, model, node)
            elif key not in known:
                hint = did_you_mean(key, known, f"arguments of {what}")
                self._error("bad-argument", f"{what} has no argument {key!r}", model, node.lineno, hint)
            elif key in literals:
                self._error("bad-argument", f"{what} is given {key!r} twice", model, node.lineno)
            else:
                try:
                    literals[key] = (ast.literal_eval(node), node.lineno)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    self._not_literal(f"{key!r} of {what}", model, node)
        return literals

    def _not_literal(self, what: str, model: str, node: ast.expr) -> None:
        self._error(
            "not-literal",
            f"{what} is no literal: {ast.unparse(node)[:60]}",
            model,
            node.lineno,
            "declarations are read without running the file: write the value itself, or use a $parameter in a filter",
        )


def _place(node: ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _top_level_functions(body: list[ast.stmt]) -> Iterator[_Function]:
    """Functions that exist once the file is imported: also those under a top-level if, try or with."""
    for node in body:
        if isinstance(node, _Function):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            blocks = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            blocks += [handler.body for handler in getattr(node, "handlers", [])]
            for block in blocks:
                yield from _top_level_functions(block)


def _defaults(node: _Function) -> list[tuple[ast.arg, ast.expr | None]]:
    """The arguments of a function with their defaults, but for *args and **kwargs, which may stay empty."""
    positional = [*node.args.posonlyargs, *node.args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    pairs = list(zip(positional, missing + node.args.defaults, strict=True))
    return pairs + list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))


def _yield_line(function: _Function) -> int | None:
    """The line of the first yield of the function itself, not of functions inside it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return node.lineno
        if not isinstance(node, _Function | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _column_list(value: object) -> tuple[str, ...] | None:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None

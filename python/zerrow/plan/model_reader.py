"""A function with its decorators and its arguments → the model that it declares."""

from __future__ import annotations

import ast

from zerrow.plan.call_reader import (
    CallReader,
    Options,
    boolean,
    column_list,
    names_in,
    packages,
    text,
)
from zerrow.plan.declarations import (
    STRATEGIES,
    EnvironmentRequest,
    Limits,
    Materialization,
    ParameterArgument,
    Promise,
    PythonModel,
    TableArgument,
    is_cached,
    memory_bytes,
    seconds,
)
from zerrow.plan.names import table_name_problem
from zerrow.plan.spelling import NODES, Spelling

Function = ast.FunctionDef | ast.AsyncFunctionDef

MODEL_OPTIONS = (
    "name", "columns", "internet_access", "memory", "timeout", "cache_strategy", "materialization_strategy",
    "partitioned_by", "overwrite_filter", "materialize", "tags",
)  # fmt: skip
_EXPECTATION_OPTIONS = ("name", "internet_access", "memory", "timeout", "tags")
_PYTHON_OPTIONS = ("version", "pip")
_RESOURCES_OPTIONS = ("cpus", "memory", "memory_swap", "timeout")
_INPUT_OPTIONS = ("name", "columns", "filter", "stream")
_ELSEWHERE = ("ref", "connector", "connector_config_key", "connector_config_uri")
"""Arguments of bauplan.Model that say where a table is; here the project's sources say that."""
_LEAST_LIMIT = 1 << 20


class ModelReader:
    """Reads the declared functions of one file."""

    def __init__(self, file: str, spelling: Spelling, calls: CallReader, source: bytes) -> None:
        self._file = file
        self._spelling = spelling
        self._calls = calls
        self._may_yield = b"yield" in source
        self.seen: set[int] = set()
        """The ids of the functions that were read."""

    def read(self, node: Function) -> PythonModel | None:
        """The model that a function is declared as; None after an error that leaves none."""
        self.seen.add(id(node))
        decorators: dict[str, ast.expr] = {}
        for item in node.decorator_list:
            called = item.func if isinstance(item, ast.Call) else item
            kind = self._spelling.declaration(called)
            if kind is None:
                continue
            if kind in decorators or (kind in NODES and any(other in decorators for other in NODES)):
                what = "model" if kind in NODES else kind
                self._calls.error("two-decorators", f"{node.name!r} has two {what} decorators", node.name, node.lineno)
                return None
            decorators[kind] = item
        kind = next(each for each in NODES if each in decorators)
        declared = decorators[kind]
        family = self._spelling.family(declared.func if isinstance(declared, ast.Call) else declared)
        options = self._options(declared, MODEL_OPTIONS if kind == "model" else _EXPECTATION_OPTIONS, node, kind)
        name = self._calls.option(options, "name", "a text", node.name, text) or node.name
        # Nobody reads an expectation, and Bauplan's models may have names that SQL has to quote.
        if problem := table_name_problem(name, may_need_quotes=kind == "expectation" or family == "bauplan"):
            line = options["name"][1] if "name" in options else node.lineno
            hint = f'name the model with @{family}.{kind}(name="…")'
            self._calls.error("invalid-name", problem, node.name, line, hint)
            return None
        self._check_function(node, name)
        limits = self._limits(options, name)
        if "resources" in decorators:
            self._add_resources(limits, self._options(decorators["resources"], _RESOURCES_OPTIONS, node, "resources"))
        arguments, is_typed = self._arguments(node, name, family)
        columns = self._calls.option(options, "columns", "a list of texts", name, column_list)
        promise = Promise(columns if columns and "*" not in columns else None, line=node.lineno)
        is_strict = True if is_typed else None if family == "zerrow" else False
        if kind == "model":
            promise.returns = self._returns(node, name, is_typed)
            is_strict = True if promise.returns is not None else is_strict
        promise.is_strict = is_strict
        environment = self._environment(decorators["python"], node) if "python" in decorators else None
        return PythonModel(
            name=name,
            file=self._file,
            line=node.lineno,
            function=node.name,
            arguments=arguments,
            promise=promise,
            limits=limits,
            family=family,
            is_expectation=kind == "expectation",
            materialization=self._materialization(options, name),
            environment=environment,
            doc=ast.get_docstring(node),
            tags=self._calls.option(options, "tags", "a list of texts", name, names_in) or (),
        )

    def _options(self, decorator: ast.expr, known: tuple[str, ...], node: Function, kind: str) -> Options:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        family = self._spelling.family(called)
        what = f"@{family}.{kind}"
        if isinstance(decorator, ast.Call):
            tolerates = family == "bauplan"
            return self._calls.literals(decorator, known, node.name, what, tolerates_others=tolerates)
        message = f"{what} is missing its parentheses"
        self._calls.error("decorator", message, node.name, decorator.lineno, f"write {what}()")
        return {}

    def _limits(self, options: Options, name: str) -> Limits:
        option = self._calls.option
        cached = option(options, "cache_strategy", '"DEFAULT" or "NONE"', name, is_cached)
        return Limits(
            option(options, "internet_access", "True or False", name, boolean) or False,
            option(options, "memory", 'bytes, or a text such as "2G"', name, memory_bytes),
            option(options, "timeout", "a positive number of seconds", name, seconds),
            is_cached=cached is not False,
            is_always_cached=cached is True,
        )

    @staticmethod
    def _add_resources(limits: Limits, options: Options) -> None:
        """Takes the limits of an older decorator where the model's own don't say. A number too small to be bytes is in
        another unit, and is left alone."""
        memory = memory_bytes(options.get("memory", (None, 0))[0])
        if limits.memory_bytes_max is None and memory is not None and memory >= _LEAST_LIMIT:
            limits.memory_bytes_max = memory
        limits.timeout_s = limits.timeout_s or seconds(options.get("timeout", (None, 0))[0])

    def _materialization(self, options: Options, name: str) -> Materialization:
        option = self._calls.option
        kinds = " or ".join(f'"{each}"' for each in STRATEGIES)
        strategy = option(options, "materialization_strategy", kinds, name, strategy_of)
        # The older word for it.
        is_kept = option(options, "materialize", "True or False", name, boolean)
        strategy = strategy or ("REPLACE" if is_kept else None)
        partitions = option(options, "partitioned_by", "names of columns", name, names_in)
        overwritten = option(options, "overwrite_filter", "a text", name, text)
        keys = ("materialization_strategy", "partitioned_by", "overwrite_filter")
        lines = [options[key][1] if key in options else 1 for key in keys]
        return Materialization(strategy or "NONE", partitions or (), overwritten, *lines)

    def _environment(self, decorator: ast.expr, node: Function) -> EnvironmentRequest:
        options = self._options(decorator, _PYTHON_OPTIONS, node, "python")
        version = self._calls.option(options, "version", 'a text such as "3.12"', node.name, text)
        pip = self._calls.option(options, "pip", 'packages with versions, as {"pandas": "2.2.2"}', node.name, packages)
        return EnvironmentRequest(version, pip or {}, decorator.lineno)

    def _check_function(self, node: Function, model: str) -> None:
        if isinstance(node, ast.AsyncFunctionDef):
            message = f"the model {model!r} is an async function"
            self._calls.error("async-model", message, model, node.lineno, "use plain def")
        elif self._may_yield and (yield_line := _yield_line(node)):
            self._calls.error(
                "generator-model",
                f"the model {model!r} is a generator: it yields",
                model,
                yield_line,
                "return one table, or a pyarrow.RecordBatchReader made from the batches",
            )

    def _arguments(
        self, node: Function, model: str, family: str
    ) -> tuple[list[TableArgument | ParameterArgument], bool]:
        """The arguments that are inputs, and whether one is declared by its annotation."""
        arguments: list[TableArgument | ParameterArgument] = []
        is_typed = False
        for argument, default in arguments_of(node):
            mark = default if default is not None and self._spelling.mark(default) is not None else None
            if mark is None:
                parts = self._spelling.annotated(argument.annotation) or ()
                mark = next((part for part in parts if self._spelling.mark(part) is not None), None)
                is_typed = is_typed or mark is not None
            if mark is None and default is None:
                self._calls.error(
                    "parameter-without-default",
                    f"nothing says what the argument {argument.arg!r} of {model!r} is",
                    model,
                    argument.lineno,
                    f'give it a default: {argument.arg}={family}.Model("…") or {family}.Parameter("…")',
                )
            elif isinstance(mark, ast.Call) and self._spelling.declaration(mark.func) == "Model":
                table = self._table_argument(argument.arg, mark, model)
                arguments.extend([table] if table else [])
            elif isinstance(mark, ast.Attribute):
                arguments.append(ParameterArgument(argument.arg, mark.attr, mark.lineno))
            elif isinstance(mark, ast.Call):
                what = f"{self._spelling.family(mark.func)}.Parameter"
                tolerates = what.startswith("bauplan")
                options = self._calls.literals(mark, ("name",), model, what, tolerates_others=tolerates)
                if name := self._required_name(options, mark, model, what):
                    arguments.append(ParameterArgument(argument.arg, name, mark.lineno))
        return arguments, is_typed

    def _table_argument(self, argument: str, call: ast.Call, model: str) -> TableArgument | None:
        family = self._spelling.family(call.func)
        what, calls = f"{family}.Model", self._calls
        plain, projection = self._without_projection(call, what, model)
        known = _INPUT_OPTIONS if family == "zerrow" else (*_INPUT_OPTIONS, *_ELSEWHERE)
        options = calls.literals(plain, known, model, what, tolerates_others=family == "bauplan")
        for key in _ELSEWHERE:
            if options.get(key, (None, 0))[0] is not None:
                hint = "a source of the project file of the table's name is what is read"
                calls.warning("unknown-argument", f"{what} ignores the argument {key!r}", options[key][1], hint)
        table = self._required_name(options, call, model, what)
        columns = calls.option(options, "columns", "a list of texts", model, column_list)
        filter_ = calls.option(options, "filter", "a text", model, text)
        is_streamed = calls.option(options, "stream", "True or False", model, boolean) or False
        if columns == ():
            calls.error("no-columns", f"the input {argument!r} selects no column", model, options["columns"][1])
            columns = None
        if columns and (twice := sorted({column for column in columns if columns.count(column) > 1})):
            calls.error(
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
        return TableArgument(
            argument, table, columns, filter_, call.lineno, filter_line, projection, is_streamed=is_streamed
        )

    def _without_projection(self, call: ast.Call, what: str, model: str) -> tuple[ast.Call, str | None]:
        """A Model(…) without its schema, and the schema's name: by keyword, or second, where columns may be too."""
        schema = next((each.value for each in call.keywords if each.arg == "projection_schema"), None)
        keywords = [each for each in call.keywords if each.arg != "projection_schema"]
        args = list(call.args)
        if len(args) > 1 and isinstance(args[1], ast.Name | ast.Attribute):
            schema, args[1] = args[1], ast.copy_location(ast.Constant(None), args[1])
        name = ast.unparse(schema) if isinstance(schema, ast.Name | ast.Attribute) else None
        if schema is not None and name is None and not (isinstance(schema, ast.Constant) and schema.value is None):
            message = f"the projection_schema of {what} is no name of a schema: {ast.unparse(schema)[:60]}"
            self._calls.error(
                "bad-argument", message, model, schema.lineno, "name a class that derives from TableSchema"
            )
        return ast.copy_location(ast.Call(call.func, args, keywords), call), name

    def _required_name(self, options: Options, call: ast.Call, model: str, what: str) -> str | None:
        if "name" not in options:
            if not call.args and not any(keyword.arg == "name" for keyword in call.keywords):
                self._calls.error("no-name", f"{what} names nothing", model, call.lineno, f'write {what}("…")')
            return None
        return self._calls.option(options, "name", "a text", model, text)

    def _returns(self, node: Function, model: str, is_typed: bool) -> str | None:
        """The name of the schema that a model says it returns. A model of annotated arguments has to say one."""
        parts = self._spelling.annotated(node.returns)
        if parts is not None and len(parts) == 2 and isinstance(parts[1], ast.Name | ast.Attribute):
            return ast.unparse(parts[1])
        if is_typed or parts is not None:
            problem = f"Model must have a valid return type annotation, and {model!r} has none"
            if node.returns is not None:
                problem = "Model return type annotation must be of the form: Annotated[pyarrow.Table, SchemaType]"
                problem += f", and {model!r} returns {ast.unparse(node.returns)[:60]}"
            hint = "write -> Annotated[pyarrow.Table, S] with a class S(TableSchema) of its columns"
            self._calls.error("return-type", problem, model, node.lineno, hint)
        return None


def strategy_of(value: object) -> str | None:
    """The strategy that a text means; None for anything else."""
    return value.upper() if isinstance(value, str) and value.upper() in STRATEGIES else None


def arguments_of(node: Function) -> list[tuple[ast.arg, ast.expr | None]]:
    """The arguments of a function with their defaults, but for *args and **kwargs, which may stay empty."""
    positional = [*node.args.posonlyargs, *node.args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    pairs = list(zip(positional, missing + node.args.defaults, strict=True))
    return pairs + list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))


def _yield_line(function: Function) -> int | None:
    """The line of the first yield of the function itself, not of functions inside it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return node.lineno
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
    return None

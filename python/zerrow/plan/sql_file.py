"""Reads a SQL model: its header directives, its parameters, its one query and the tables that reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePath

import sqlglot
from sqlglot import exp

from zerrow.plan.call_reader import names_in
from zerrow.plan.declarations import (
    STRATEGIES,
    Limits,
    Materialization,
    Promise,
    SqlModel,
    is_cached,
    memory_bytes,
    seconds,
)
from zerrow.plan.dialect import DIALECT
from zerrow.plan.findings import Findings, shown_value
from zerrow.plan.model_reader import strategy_of
from zerrow.plan.names import did_you_mean, table_name_problem
from zerrow.plan.parameter_text import UnknownParameterError, replace_parameters
from zerrow.plan.parameters import Value, names_parameter

ENGINES = ("datafusion", "duckdb")
_DIRECTIVES = (
    "name", "engine", "memory", "internet_access", "timeout", "cache_strategy", "columns", "output_schema",
    "materialization_strategy", "partitioned_by", "overwrite_filter", "materialize", "tags",
)  # fmt: skip
_DIRECTIVE = re.compile(r"\s*--\s*(?P<family>zerrow|bauplan)\s*:\s*(?P<rest>.*)\Z")
_KEY_VALUE = re.compile(r"(?P<key>[\w.]+)\s*=\s*(?P<value>.*)\Z")
_TABLE_FUNCTIONS = frozenset({"unnest", "generateseries", "explode"})  # those that read nothing


def read_sql_file(
    file: str,
    text: str,
    parameters: Mapping[str, Value],
    secrets: Collection[str],
    findings: Findings,
    *,
    may_need_quotes: bool = False,
) -> SqlModel | None:
    """The model in a SQL file, `file` being its name relative to the project folder. None after an error.

    The values of `secrets` don't come into its text. Its name may be one that SQL has to quote if it `may_need_quotes`.
    """
    return _SqlFile(file, findings, may_need_quotes).read(text, parameters, secrets)


class _SqlFile:
    def __init__(self, file: str, findings: Findings, may_need_quotes: bool) -> None:
        self.file = file
        self.findings = findings
        self.may_need_quotes = may_need_quotes
        self.model = PurePath(file).stem

    def _error(self, code: str, message: str, line: int, hint: str | None = None) -> None:
        self.findings.error(code, message, model=self.model, file=self.file, line=line, hint=hint)

    def read(self, text: str, parameters: Mapping[str, Value], secrets: Collection[str]) -> SqlModel | None:
        options = self._directives(text)
        name, name_line = options.pop("name", (self.model, 1))
        if problem := table_name_problem(name, may_need_quotes=self.may_need_quotes):
            self._error("invalid-name", problem, name_line, "rename the file, or add a line '-- zerrow: name = …'")
            return None
        self.model = name
        engine, engine_line = options.pop("engine", ("datafusion", 1))
        if engine not in ENGINES:
            self._error(
                "bad-directive", f"there is no engine {engine!r}", engine_line, "engines: " + ", ".join(ENGINES)
            )
            engine = "datafusion"
        materialization = self._materialization(options)
        promise = self._promise(options)
        written, _ = options.pop("tags", ("", 1))
        tags = tuple(_unquoted(each) for each in names_in(written.strip("[]()")) or ())
        limits = self._limits(options)
        replaced = self._replace_parameters(text, parameters, secrets)
        tree = None if replaced is None else self._parse(replaced)
        if tree is None:
            return None
        used = tuple(sorted(each for each in secrets if names_parameter(text, each)))
        model = SqlModel(
            name, self.file, 1, text, replaced or "", engine, limits, tree, promise=promise,
            materialization=materialization, secrets=used, tags=tags,
        )  # fmt: skip
        model.tables = self._tables(tree)
        return model

    def _directives(self, text: str) -> dict[str, tuple[str, int]]:
        """The lines `-- zerrow: key = value` and `-- bauplan: …` among the comments before the query, numbered."""
        options: dict[str, tuple[str, int]] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("--"):
                break
            found = _DIRECTIVE.match(line)
            if not found:
                continue
            pair = _KEY_VALUE.match(found["rest"])
            if not pair and found["family"] == "bauplan":
                message = f"{found['rest']!r} is no directive and is ignored"
                hint = "write -- bauplan: key = value"
                self.findings.warning("unknown-argument", message, file=self.file, line=number, hint=hint)
            elif not pair:
                self._error(
                    "bad-directive", f"{found['rest']!r} is no directive", number, "write -- zerrow: key = value"
                )
            elif pair["key"] not in _DIRECTIVES and found["family"] == "bauplan":
                message = f"the directive {pair['key']!r} is not known and is ignored"
                hint = did_you_mean(pair["key"], _DIRECTIVES, "directives")
                self.findings.warning("unknown-argument", message, file=self.file, line=number, hint=hint)
            elif pair["key"] not in _DIRECTIVES:
                hint = did_you_mean(pair["key"], _DIRECTIVES, "directives")
                self._error("bad-directive", f"there is no directive {pair['key']!r}", number, hint)
            elif pair["key"] in options:
                self._error("bad-directive", f"the directive {pair['key']!r} occurs twice", number, "remove one")
            else:
                options[pair["key"]] = (_unquoted(pair["value"].strip()), number)
        return options

    def _limits(self, options: dict[str, tuple[str, int]]) -> Limits:
        limits = Limits()
        for key, (value, line) in options.items():
            if key == "memory":
                limits.memory_bytes_max = memory_bytes(value)
                problem = limits.memory_bytes_max is None
                example = "2G"
            elif key == "internet_access":
                limits.internet_access = value.lower() == "true"
                problem = value.lower() not in ("true", "false")
                example = "true"
            elif key == "cache_strategy":
                cached = is_cached(value)
                limits.is_cached, limits.is_always_cached = cached is not False, cached is True
                problem = cached is None
                example = "NONE"
            else:
                limits.timeout_s = seconds(float(value)) if re.fullmatch(r"\d+(\.\d+)?", value) else None
                problem = limits.timeout_s is None
                example = "60"
            if problem:
                self._error(
                    "bad-directive", f"{key} = {shown_value(value)} has no meaning", line, f"write {key} = {example}"
                )
        return limits

    def _materialization(self, options: dict[str, tuple[str, int]]) -> Materialization:
        """Takes out of the options how the table is kept."""
        # The older word for it.
        is_kept, line = options.pop("materialize", ("false", 1))
        if is_kept.lower() not in ("true", "false"):
            self._error("bad-directive", f"materialize = {is_kept} has no meaning", line, "write materialize = true")
        strategy, line = options.pop(
            "materialization_strategy", ("REPLACE" if is_kept.lower() == "true" else "NONE", line)
        )
        if strategy_of(strategy) is None:
            message = f"there is no materialization_strategy {strategy!r}"
            self._error("bad-directive", message, line, "strategies: " + ", ".join(STRATEGIES))
        written, partitions_line = options.pop("partitioned_by", ("", 1))
        written = written.strip()
        if written[:1] + written[-1:] in ("[]", "()"):
            written = written[1:-1]
        partitions = tuple(_unquoted(each) for each in names_in(written) or ())
        overwritten, filter_line = options.pop("overwrite_filter", (None, 1))
        return Materialization(
            strategy_of(strategy) or "NONE", partitions, overwritten, line, partitions_line, filter_line
        )

    def _promise(self, options: dict[str, tuple[str, int]]) -> Promise:
        """Takes out of the options what the result is to be."""
        columns, _ = options.pop("columns", ("", 1))
        names = tuple(_unquoted(each) for each in names_in(columns.strip("[]()")) or ())
        schema, line = options.pop("output_schema", (None, 1))
        is_strict = schema is not None
        return Promise(names if names and "*" not in names else None, schema, line, is_strict=is_strict)

    def _replace_parameters(self, text: str, parameters: Mapping[str, Value], secrets: Collection[str]) -> str | None:
        """The text with each `$name` replaced by its value as a SQL literal; lines stay. None after an error."""
        try:
            return replace_parameters(text, parameters, secrets)
        except UnknownParameterError as error:
            for name, line in error.unknown:
                hint = f"{did_you_mean(name, parameters, 'parameters')} Else give it as --param {name}=…"
                self._error("unknown-parameter", f"the project has no parameter {name!r}", line, hint)
        except sqlglot.errors.SqlglotError as error:
            self._error("sql-syntax", f"SQL syntax error: {str(error).splitlines()[0]}", _text_line(error))
        return None

    def _parse(self, text: str) -> exp.Query | None:
        try:
            statements = [statement for statement in sqlglot.parse(text, read=DIALECT) if statement is not None]
        except sqlglot.errors.ParseError as error:
            place = error.errors[0] if error.errors else {}
            description = str(place.get("description") or error).split(" but got <")[0].rstrip(".")
            near = str(place.get("highlight") or "").strip()
            message = f"SQL syntax error: {description}" + (f", at {near[:40]!r}" if near else "")
            self._error("sql-syntax", message, int(place.get("line") or 1))
            return None
        except (sqlglot.errors.SqlglotError, RecursionError) as error:
            self._error("sql-syntax", f"SQL syntax error: {str(error).splitlines()[0]}", 1)
            return None
        statements = [statement for statement in statements if not isinstance(statement, exp.Semicolon)]
        if len(statements) > 1:
            line = _first_line(statements[1])
            self._error(
                "several-statements", "a SQL model is one query, and the file has several", line, "keep one SELECT"
            )
            return None
        tree = statements[0] if statements else None
        if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
            what = "is empty" if tree is None else f"starts with {tree.key.upper()}"
            self._error("no-select", f"a SQL model is one SELECT, and this file {what}", 1, "write a SELECT")
            return None
        return tree

    def _tables(self, tree: exp.Query) -> dict[str, int]:
        tables: dict[str, int] = {}
        for table in table_nodes(tree):
            if isinstance(table.this, exp.Func):
                if table.this.key not in _TABLE_FUNCTIONS:
                    name = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name().lower()
                    message = f"a SQL model reads models and sources, not {name}(…)"
                    self._error("table-function", message, _first_line(table), "name the files under 'sources:'")
            elif table.name:
                tables.setdefault(written_name(table), _first_line(table))
        return tables


def table_nodes(tree: exp.Query) -> Iterator[exp.Table]:
    """The tables that a query reads, in the text's order, each use of them; its own WITH queries are no tables."""
    for table in tree.find_all(exp.Table, bfs=False):
        if not with_query(table):
            yield table


def written_name(table: exp.Table) -> str:
    """A table's name as the query writes it, with the namespace if it has one, without quotes."""
    return ".".join(part.name for part in table.parts)


def with_query(table: exp.Table) -> exp.CTE | None:
    """The WITH query that a table's name means where it stands; None when it means a table."""
    if table.args.get("db") is not None or isinstance(table.this, exp.Func):
        return None
    node: exp.Expression = table
    while node.parent is not None:
        child, node = node, node.parent
        if isinstance(node, exp.With):
            # A query of WITH sees those before it, and itself only if it is recursive.
            position = next(index for index, query in enumerate(node.expressions) if query is child)
            visible = node.expressions[: position + bool(node.args.get("recursive"))]
        else:
            with_ = node.args.get("with_")
            visible = with_.expressions if with_ is not None and with_ is not child else []
        for query in visible:
            if query.alias.lower() == table.name.lower():
                return query
    return None


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _first_line(node: exp.Expression) -> int:
    return min((part.meta["line"] for part in node.walk() if "line" in part.meta), default=1)


def _text_line(error: Exception) -> int:
    found = re.search(r"\bline:? (\d+)", str(error), re.IGNORECASE)
    return int(found[1]) if found else 1

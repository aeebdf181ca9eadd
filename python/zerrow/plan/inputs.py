"""The inputs of the models with their columns and filters, checked against what is known of each table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zerrow.plan.declarations import Declaration, PythonModel, SqlModel, TableArgument
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean
from zerrow.plan.project import Project
from zerrow.plan.sources import Source

if TYPE_CHECKING:
    from zerrow.plan.filter import Filter, FilterError, Kinds


@dataclass
class Input:
    """One table argument of one model. `columns` of None means all; `pushed` is a condition of the model's own query
    that a scan may apply too, where that costs no scan more; `is_streamed`: it is wanted as a reader of batches."""

    model: str
    argument: str
    table: str
    columns: tuple[str, ...] | None
    filter: Filter | None
    pushed: Filter | None = None
    is_streamed: bool = False


class InputReader:
    """Makes the inputs of models that come in the graph's order, so that a model's columns are known to its readers."""

    def __init__(
        self, project: Project, sources: dict[str, Source], findings: Findings, checks_filters: bool = False
    ) -> None:
        """With `checks_filters`, the engine that will evaluate filters is asked about them, which takes a while."""
        self._project = project
        self._sources = sources
        self._checks_filters = checks_filters
        self._findings = findings
        self._kinds: dict[str, Kinds | None] = {name: source.kinds for name, source in sources.items()}

    def read(self, model: Declaration) -> list[Input]:
        """The model's table inputs, in the order of its arguments."""
        if isinstance(model, PythonModel):
            self._kinds[model.name] = model.promise.known_columns
            arguments = [argument for argument in model.arguments if isinstance(argument, TableArgument)]
            return [self._python_input(model, argument) for argument in arguments]
        return self._sql_inputs(model)

    def _sql_inputs(self, model: SqlModel) -> list[Input]:
        from zerrow.plan import pushdown, sql_columns

        tables = {name: self._kinds.get(model.table(name)) for name in model.tables}
        sql_columns.check_columns(model, tables, self._findings)
        for name in sql_columns.duplicate_outputs(model.tree, tables):
            self._findings.error(
                "duplicate-column",
                f"the query gives two columns named {name!r}",
                model=model.name,
                file=model.file,
                line=model.line,
                hint="rename one with AS",
            )
        self._kinds[model.name] = sql_columns.output_columns(model.tree, tables)
        columns = sql_columns.columns_read(model, tables)
        inputs = []
        for name in model.tables:
            table = model.table(name)
            is_source = table in self._project.file.sources and table not in self._project.models
            pushed = pushdown.pushed_down(model, name, tables) if is_source else None
            inputs.append(Input(model.name, name, table, columns[name] if is_source else None, None, pushed))
        return inputs

    def _python_input(self, model: PythonModel, argument: TableArgument) -> Input:
        kinds = self._kinds.get(argument.table)
        if kinds is not None:
            for column in argument.columns or ():
                if column not in kinds:
                    self._findings.error(
                        "unknown-column",
                        f"the table {argument.table!r} has no column {column!r}",
                        model=model.name,
                        file=model.file,
                        line=argument.line,
                        hint=did_you_mean(column, kinds, f"columns of {argument.table}"),
                    )
        filter_ = self._filter(model, argument, kinds) if argument.filter is not None else None
        return Input(
            model.name, argument.argument, argument.table, argument.columns, filter_, is_streamed=argument.is_streamed
        )

    def _filter(self, model: PythonModel, argument: TableArgument, kinds: Kinds | None) -> Filter | None:
        from zerrow.plan.filter import FilterError, read_filter

        text = argument.filter or ""
        try:
            filter_ = read_filter(text, self._project.parameters, kinds, argument.table)
        except FilterError as error:
            self._filter_error(model, argument, error)
            return None
        source = self._sources.get(argument.table)
        if self._checks_filters and source is not None and source.kinds is not None:
            from zerrow.plan.filter_check import filter_problem

            problem = filter_problem(filter_, source)
            if problem is not None:
                self._filter_error(model, argument, FilterError("filter-type", problem))
        return filter_

    def _filter_error(self, model: PythonModel, argument: TableArgument, error: FilterError) -> None:
        self._findings.error(
            error.code,
            f"{error.message}, in the filter {_shown(argument.filter or '')}",
            model=model.name,
            file=model.file,
            line=argument.filter_line + error.line - 1,
            hint=error.hint,
        )


def _shown(text: str) -> str:
    one_line = " ".join(text.split())
    return repr(one_line if len(one_line) <= 80 else one_line[:79] + "…")

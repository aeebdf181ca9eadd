"""Materializations: the nodes of a plan that write models' tables to the catalog."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from zerrow.plan.declarations import Declaration, PythonModel
from zerrow.plan.findings import Findings, shown_value
from zerrow.plan.names import namespace_of, table_name_problem
from zerrow.plan.overwriting import OverwriteError, read_overwrite_filter
from zerrow.plan.partitioning import Partition, PartitionError, read_partitions
from zerrow.plan.project import Project
from zerrow.plan.project_file import SourceDeclaration


@dataclass
class Target:
    """The table of the catalog that a model's table is written to.

    `rewritten` are the table's files of which only a part of the rows is overwritten, by their names in the warehouse;
    `kept` is a source of them.
    """

    model: Declaration
    table: str
    partitions: tuple[Partition, ...]
    filter: dict[str, Any] | None
    fields: list[dict[str, Any]] | None = None
    rewritten: tuple[str, ...] = ()
    kept: SourceDeclaration | None = None

    @property
    def name(self) -> str:
        """The node's name, which no model can have."""
        return f"publish {self.table}"

    def as_json(self) -> dict[str, Any]:
        """The part of a plan's entry that the engine reads."""
        rewritten = {"rewritten": list(self.rewritten)} if self.rewritten else {}
        return {"table": self.table, "strategy": self.model.materialization.strategy, **rewritten}

    def task(self) -> dict[str, Any]:
        """The task of the node."""
        contract = self.model.promise.contract
        is_strict = self.model.promise.is_strict is not False
        required = [each.name for each in contract.columns if not each.is_nullable] if contract and is_strict else []
        return {
            "kind": "materialize",
            "model": self.model.name,
            "table": self.table,
            "file": self.model.file,
            "line": self.model.materialization.line,
            "strategy": self.model.materialization.strategy,
            "partitions": [each.as_json() for each in self.partitions],
            "filter": self.filter,
            "fields": self.fields,
            "required": required,
        }


def find_targets(project: Project, findings: Findings) -> dict[str, Target]:
    """The targets of the models that are materialized, by the models' names. What is wrong goes to `findings`."""
    found = {}
    for model in project.models.values():
        is_expectation = isinstance(model, PythonModel) and model.is_expectation
        if model.materialization.strategy != "NONE" and not is_expectation:
            target = _Reader(project, findings, model).read()
            if target is not None:
                found[model.name] = target
    return found


class _Reader:
    def __init__(self, project: Project, findings: Findings, model: Declaration) -> None:
        self._project = project
        self._findings = findings
        self._model = model
        self._asked = model.materialization

    def read(self) -> Target | None:
        table = self._table()
        partitions = self._partitions()
        if table is None or partitions is None:
            return None
        known = self._project.catalog.tables.get(table) if self._asked.strategy != "REPLACE" else None
        if known is not None and not partitions:
            partitions = tuple(Partition(**each) for each in known.partitions)
        if self._asked.strategy == "OVERWRITE_PARTITIONS" and not partitions:
            message = f"the model {self._model.name!r} overwrites partitions, and nothing says what they are"
            self._error("no-partitions", message, self._asked.line, "add partitioned_by")
            return None
        condition = self._filter(partitions)
        fields = None if known is None else known.fields
        target = Target(self._model, table, partitions, condition, fields)
        if condition is not None and known is not None and [each.as_json() for each in partitions] == known.partitions:
            self._keep_parts(target, condition)
        return target

    def _keep_parts(self, target: Target, condition: dict[str, Any]) -> None:
        """Finds the files of which a part stays: its rows have to be written anew."""
        from zerrow.worker.ordered_values import type_of
        from zerrow.worker.overwriting import as_json, extent, with_values

        table = self._project.catalog.table(target.table)
        assert table is not None
        types = {each["name"]: each["type"] for each in table.fields}
        try:
            valued = as_json(with_values(condition, lambda name: type_of(types.get(name, ""))))
        except ValueError:
            return  # the worker says so, beside the columns of the new rows
        partial = []
        for file in table.data:
            bounds = dict(zip((each.column for each in target.partitions), file["bounds"], strict=True))
            if extent(valued, bounds, file["rows"]) == "some":
                partial.append(file["path"])
        if partial:
            warehouse = self._project.catalog.warehouse
            paths = tuple(os.path.join(warehouse, path) for path in partial)
            target.rewritten = tuple(partial)
            target.kept = SourceDeclaration(f"{target.name} (kept)", warehouse, (), None, None, None, paths)

    def _table(self) -> str | None:
        name = self._model.name
        table = name if namespace_of(name) else f"{self._project.namespaces.default}.{name}"
        problem = table_name_problem(table, may_need_quotes=True)
        if problem is None:
            return table
        message = f"the model {name!r} can't be published as {table!r}: {problem}"
        self._error("invalid-name", message, self._asked.line, "name another namespace")
        return None

    def _partitions(self) -> tuple[Partition, ...] | None:
        try:
            return read_partitions(self._asked.partitioned_by)
        except PartitionError as error:
            message = f"partitioned_by of the model {self._model.name!r}: {error}"
            self._error("partitioned-by", message, self._asked.partitions_line, error.hint)
            return None

    def _filter(self, partitions: tuple[Partition, ...]) -> dict[str, Any] | None:
        text, line = self._asked.overwrite_filter, self._asked.filter_line
        if text is None:
            return None
        if self._asked.strategy != "OVERWRITE_PARTITIONS":
            message = (
                f"overwrite_filter of the model {self._model.name!r} says nothing: it goes with OVERWRITE_PARTITIONS"
            )
            self._findings.warning("unknown-argument", message, file=self._model.file, line=line)
            return None
        if not self._asked.partitioned_by:
            message = f"the model {self._model.name!r} has an overwrite_filter, and no partitioned_by"
            self._error("overwrite-filter", message, line, "add partitioned_by with the columns of the filter")
            return None
        columns = list(dict.fromkeys(each.column for each in partitions))
        try:
            return read_overwrite_filter(text, self._project.parameters, self._project.secrets, columns)
        except OverwriteError as error:
            message = f"the overwrite_filter {shown_value(text)} of the model {self._model.name!r}: {error}"
            self._error("overwrite-filter", message, line, error.hint)
            return None

    def _error(self, code: str, message: str, line: int, hint: str | None) -> None:
        self._findings.error(code, message, model=self._model.name, file=self._model.file, line=line, hint=hint)

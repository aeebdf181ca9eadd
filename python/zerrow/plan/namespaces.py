"""Namespaces: what the names that models read mean, with a namespace before them or without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zerrow.plan.declarations import Declaration, PythonModel, TableArgument
from zerrow.plan.findings import Findings
from zerrow.plan.names import namespace_of

if TYPE_CHECKING:
    from zerrow.plan.project import Project

DEFAULT = "bauplan"
"""What bare names mean a table of where neither the command line nor the project file says it."""


class Namespaces:
    """The tables of a project by their namespaces."""

    def __init__(self, project: Project, given: str | None) -> None:
        """`given` is the namespace that the command line names."""
        self._models = project.models
        self._sources = project.file.sources
        self._catalog = project.catalog
        self.given = given
        self.default = given or project.file.namespace or DEFAULT

    def resolve(self, name: str) -> str:
        """The model, source or table of the catalog that a name means; the name itself where there is none."""
        namespace = namespace_of(name)
        if namespace is None:
            others = [f"{self.default}.{name}"]
            in_sources = [*others, name]
        else:
            own = name.rpartition(".")[2]
            others = [own] if namespace == self.default else []
            # A source that is named without one is in Bauplan's default namespace as well, whatever this run's is.
            in_sources = [name, own] if namespace in (self.default, DEFAULT) else [name]
        in_models = [each for each in (name, *others) if each in self._models]
        found = next(iter([*in_models, *(each for each in in_sources if each in self._sources)]), None)
        if found is not None:
            return found
        in_catalog = name if namespace is not None else f"{self.default}.{name}"
        if in_catalog in self._catalog.tables:
            # From now on it is a source like others, whose files are known.
            self._sources[in_catalog] = self._catalog.declaration(in_catalog)
            return in_catalog
        return name

    @property
    def known(self) -> list[str]:
        """The namespaces that tables are in."""
        every = (*self._models, *self._sources, *self._catalog.tables)
        found = {namespace for name in every if (namespace := namespace_of(name))}
        return sorted(found | {self.default} - ({self.given} if self.given else set()))

    def has_tables(self, namespace: str) -> bool:
        """Whether a table is named with that namespace, or bare names mean it and there are such sources."""
        every = [*self._models, *self._sources, *self._catalog.tables]
        return any(namespace_of(name) == namespace for name in every) or (
            namespace == self.default and any(namespace_of(name) is None for name in self._sources)
        )

    def give_meaning(self, findings: Findings) -> None:
        """Replaces the names in what models read by those of the models and sources that they mean."""
        for model in self._models.values():
            self._give(model)
            bare = model.name.removeprefix(f"{self.default}.")
            if bare != model.name and bare in self._models:
                other = self._models[bare]
                findings.error(
                    "duplicate-name",
                    f"{model.name!r} and {bare!r} are one table: {other.file}:{other.line} and "
                    f"{model.file}:{model.line}",
                    model=model.name,
                    file=model.file,
                    line=model.line,
                    hint="rename one of them",
                )

    def _give(self, model: Declaration) -> None:
        if isinstance(model, PythonModel):
            model.arguments = [
                replace(each, table=self.resolve(each.table)) if isinstance(each, TableArgument) else each
                for each in model.arguments
            ]
        else:
            model.meaning = {written: self.resolve(written) for written in model.tables}

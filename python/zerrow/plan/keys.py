"""Keys: texts that stand for the result of a model, and for its code (docs/plan.md says what they are made of)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zerrow.identity import settles
from zerrow.plan.code import Code, CodeReader
from zerrow.plan.declarations import Declaration, PythonModel, SqlModel
from zerrow.plan.environments import DEFAULT, UNRESOLVED, Environments
from zerrow.plan.host_files import OWN_FILES, HostFiles
from zerrow.plan.project import Project
from zerrow.plan.surroundings import ProjectFiles, environment, installed_folders, just_changed, own_code, time_zone

if TYPE_CHECKING:
    from zerrow.plan.filter import Filter
    from zerrow.plan.scans import Scan
    from zerrow.plan.sources import Source


_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w\"])-?\d[\w.]*")
"""A text or a number in a filter."""


class Keys:
    """Makes the keys of one plan's models, which come in the graph's order."""

    def __init__(
        self,
        project: Project,
        sources: dict[str, Source],
        planned_ns: int,
        left_out: list[str],
        engine: str,
        host: HostFiles = OWN_FILES,
        environments: Environments | None = None,
    ) -> None:
        """`planned_ns` is a time before the sources were looked at; `left_out` names what no model sees.

        `engine` stands for the engine's build.
        """
        self._planned_ns = planned_ns
        self._project = project
        self._engine = engine
        self._host = host
        self._environments = environments
        self._left_out = frozenset([*left_out, *(file for source in sources.values() for file in source.files)])
        models = [model for model in project.models.values() if isinstance(model, PythonModel)]
        self._code = CodeReader(project.file.folder, models, project.texts, installed_folders())
        self._results: dict[str, str | None] = {}
        self._settled: dict[str, str | None] = {}
        self.codes: dict[str, Code] = {}
        """The code of each Python model that has been asked for."""

    @cached_property
    def _environment(self) -> list[str] | None:
        return environment()

    @cached_property
    def _own(self) -> list[str]:
        return [own_code(), self._engine]

    @cached_property
    def _files(self) -> ProjectFiles:
        return ProjectFiles(self._project.file.folder, self._project.file.files, self._left_out)

    def scan(self, scan: Scan) -> dict[str, Any]:
        """The facts about keeping a scan's result, for the plan: `cache`, `code`, `key`, `because` and so on."""
        source, columns, asked = scan.source, scan.columns, _asked(scan.filter)
        because = self._scan_problem(scan) or asked
        place = os.path.join(self._project.file.folder, source.declaration.path)
        return {
            "cache": True,
            "code": _hash(["scan", place, columns, _shape(scan.filter)]),
            "key": None if because else self._scan(scan, columns),
            "because": because,
            "repeatable": asked is None,
            "expected_bytes": source.decoded_bytes(_all_columns(scan)) if source.schema else None,
        }

    def model(
        self,
        model: Declaration,
        task: dict[str, Any],
        inputs: list[tuple[str, Scan | None]],
        filters: list[Filter | None],
    ) -> dict[str, Any]:
        """The same for a model with its task; each input by its name and its scan, and the filters it applies
        itself."""
        code, more, asked, problem = self._sql(model) if isinstance(model, SqlModel) else self._python(model)
        asked = asked or next(filter(None, map(_asked, filters)), None)
        because = self._problem(model, asked, inputs) or problem
        tables = [self._input(task, index, *input_) for index, input_ in enumerate(inputs)]
        surroundings = self._surroundings(model)
        if surroundings is None and because is None:
            because = "its environment isn't resolved" if self._is_unresolved(model) else _EDITABLE
        promised = [task.get("columns"), task.get("contract")]
        parts = [code, more, task["arguments"], task.get("secrets"), promised, tables, surroundings, self._own]
        self._results[model.name] = key = None if because else _hash(parts)
        limits = model.limits
        is_repeatable = limits.is_always_cached or (asked is None and not limits.internet_access and limits.is_cached)
        is_expectation = isinstance(model, PythonModel) and model.is_expectation
        return {
            "cache": limits.is_cached and not is_expectation,
            "code": _hash(code),
            "key": key,
            "because": because,
            "repeatable": is_repeatable,
            "expected_bytes": None,
        }

    def filtered(self, entry: dict[str, Any], argument: dict[str, Any]) -> dict[str, Any]:
        """The same for what an argument, as a task has it, takes by its filter of what a planned model gives."""
        sql, columns = argument["filter"]["sql"], argument["columns"]
        asked = _asked_by(sql)
        because = asked or (f"its input {entry['name']} isn't kept" if entry["key"] is None else None)
        return {
            "cache": True,
            "code": _hash(["filter", entry["code"], columns, _LITERAL.sub("?", sql)]),
            "key": None if because else _hash(["filter", entry["key"], sql, columns, self._environment, self._own]),
            "because": because,
            "repeatable": asked is None,
            "expected_bytes": None,
        }

    def _sql(self, model: SqlModel) -> tuple[list[Any], list[Any], str | None, str | None]:
        """A model's code, the other parts of its key, the thing it asks the world for, and why there can be no key."""
        from zerrow.plan.sql_world import asks

        mention = asks(model)
        asked = None if mention is None else f"{mention.what} at {model.file}:{mention.line}"
        return ["sql", model.engine, model.written], [model.text], asked, None

    def _python(self, model: PythonModel) -> tuple[list[Any], list[Any], str | None, str | None]:
        self.codes[model.name] = code = self._code.read(model)
        files = [self._files.others, self._files.code if code.reads_code else []]
        # A file that a model finds beside itself may be in its result by its name: it runs in the project's folder.
        folder = str(self._project.file.folder)
        return ["python", model.function, code.parts], [files, folder], code.world, self._files.problem(code.reads_code)

    def _problem(self, model: Declaration, asked: str | None, inputs: list[tuple[str, Scan | None]]) -> str | None:
        """Why a model's result is not kept; None where nothing speaks against it."""
        if isinstance(model, PythonModel) and model.is_expectation:
            return "it is an expectation"
        if not model.limits.is_cached:
            return 'it says cache_strategy="NONE"'
        if not model.limits.is_always_cached and model.limits.internet_access:
            return "it has access to the network"
        if not model.limits.is_always_cached and asked is not None:
            return asked
        for name, scan in inputs:
            problem = None if scan is None else self._scan_problem(scan)
            if scan is not None and not model.limits.is_always_cached:
                problem = problem or _asked(scan.filter)
            if problem is not None:
                return problem
            if scan is None and self._results[name] is None:
                return f"its input {name} isn't kept"
        return None

    def _surroundings(self, model: Declaration) -> list[str] | None:
        """The part of a model's key that stands for its environment; None where nothing can."""
        own = DEFAULT if self._environments is None else self._environments.of(model).id
        if own == DEFAULT:
            return self._environment
        return None if own == UNRESOLVED else [own, *time_zone()]

    def _is_unresolved(self, model: Declaration) -> bool:
        return self._environments is not None and self._environments.of(model).id == UNRESOLVED

    def _input(self, task: dict[str, Any], index: int, name: str, scan: Scan | None) -> str | None:
        """The key of the part of an input that a model takes: of a scan its own columns, whatever others are read for
        others."""
        if scan is None:
            return self._results[name]
        columns = next(each["columns"] for each in task["arguments"] if each.get("input") == index)
        return self._scan(scan, columns)

    def _scan(self, scan: Scan, columns: list[str] | tuple[str, ...] | None) -> str | None:
        source = scan.source
        if self._scan_problem(scan) is not None:
            return None
        dictionary = [name for name in source.dictionary if columns is None or name in columns]
        condition = None if scan.filter is None else scan.filter.sql
        read = [columns, condition, dictionary, source.partitions, source.schema]
        return _hash(["scan", source.identities, read, self._environment, self._own])

    def _look(self, path: str) -> dict[str, Any]:
        """The identity that a source's file has now."""
        status = next(iter(self._host.status([path])))
        if status.problem:
            raise OSError(status.problem, path)
        return status.identity

    def _scan_problem(self, scan: Scan) -> str | None:
        """Why the files that a scan reads can't be told from their later states; None where they can."""
        source = scan.source
        name = source.declaration.name
        if name not in self._settled:
            kinds = source.file_systems or (None,) * len(source.identities)
            changing = (
                each["path"]
                for each, kind in zip(source.identities, kinds, strict=True)
                if not settles(each, self._planned_ns, kind, self._look)
            )
            path = next(changing, None)
            self._settled[name] = None if path is None else just_changed(os.path.basename(path))
            if not source.identities:
                self._settled[name] = f"the files of {name} aren't there yet"
        return self._settled[name] or (_EDITABLE if self._environment is None else None)


_EDITABLE = "a package is installed as editable: its code may change without a new version"


def _asked(filter_: Filter | None) -> str | None:
    """The thing that a filter asks the world for."""
    return None if filter_ is None else _asked_by(filter_.sql)


def _asked_by(sql: str) -> str | None:
    from zerrow.plan.sql_world import asked_by

    mention = asked_by(sql)
    return None if mention is None else f"{mention.what} in the filter {' '.join(sql.split())[:80]!r}"


def _all_columns(scan: Scan) -> tuple[str, ...] | None:
    """The columns that a scan decodes: those it gives, and those of its filter."""
    if scan.columns is None:
        return None
    return (*scan.columns, *(scan.filter.columns if scan.filter is not None else ()))


def _shape(filter_: Filter | None) -> str | None:
    """A filter without its literals, which parameters may have given."""
    return None if filter_ is None else _LITERAL.sub("?", filter_.sql)


def _hash(parts: list[Any]) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

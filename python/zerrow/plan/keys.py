"""Keys: texts that stand for the result of a model, and for its code (docs/plan.md says what they are made of)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zerrow.identity import is_settled
from zerrow.plan.code import CodeReader
from zerrow.plan.declarations import Declaration, PythonModel, SqlModel
from zerrow.plan.project import Project
from zerrow.plan.surroundings import ProjectFiles, environment, own_code

if TYPE_CHECKING:
    from zerrow.plan.filter import Filter
    from zerrow.plan.scans import Scan
    from zerrow.plan.sources import Source

_SQL_ASKS_THE_WORLD = re.compile(
    r"""\b(?:now|today|current_(?:date|time|timestamp|localtime|localtimestamp|user|setting)|local(?:time|timestamp)
    |get_current_\w+|transaction_timestamp|rand|random|setseed|uuid|uuidv\d|gen_random_uuid|nextval|currval|getenv
    |getvariable|sample|tablesample|version)\b""",
    re.VERBOSE | re.IGNORECASE,
)
"""Words of a query whose result may be another one each time it is run."""


_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w\"])-?\d[\w.]*")
"""A text or a number in a filter."""


class Keys:
    """Makes the keys of one plan's models, which come in the graph's order."""

    def __init__(
        self, project: Project, sources: dict[str, Source], planned_ns: int, left_out: list[str], engine: str
    ) -> None:
        """`planned_ns` is a time before the sources were looked at; `left_out` names folders that the run writes to.

        `engine` stands for the engine's build.
        """
        self._planned_ns = planned_ns
        self._project = project
        self._engine = engine
        self._left_out = frozenset([*left_out, *(file for source in sources.values() for file in source.files)])
        models = [model for model in project.models.values() if isinstance(model, PythonModel)]
        self._code = CodeReader(project.file.folder, models, project.texts)
        self._results: dict[str, str | None] = {}

    @cached_property
    def _environment(self) -> list[str] | None:
        return environment()

    @cached_property
    def _own(self) -> list[str]:
        return [own_code(), self._engine]

    @cached_property
    def _files(self) -> ProjectFiles:
        return ProjectFiles(self._project.file.folder, self._project.file.file, self._left_out)

    def scan(self, scan: Scan) -> dict[str, Any]:
        """`cache`, `code`, `key` and `expected_bytes` of a scan."""
        source, columns = scan.source, scan.columns
        place = os.path.join(self._project.file.folder, source.declaration.path)
        return {
            "cache": True,
            "code": _hash(["scan", place, columns, _shape(scan.filter)]),
            "key": self._scan(scan, columns),
            "expected_bytes": source.decoded_bytes(_all_columns(scan)) if source.schema else None,
        }

    def model(self, model: Declaration, task: dict[str, Any], inputs: list[tuple[str, Scan | None]]) -> dict[str, Any]:
        """`cache`, `code`, `key` and `expected_bytes` of a model with its task; each input by its name and its scan."""
        if isinstance(model, SqlModel):
            code = ["sql", model.engine, model.written]
            text, files = model.text, []
            asks_the_world = _SQL_ASKS_THE_WORLD.search(model.text) is not None
        else:
            read = self._code.read(model)
            code = ["python", model.function, read.parts]
            text, files = None, [self._files.others, self._files.code if read.reads_code else []]
            asks_the_world = read.asks_the_world
        tables = [self._input(task, index, *input_) for index, input_ in enumerate(inputs)]
        parts = [code, text, files, task["arguments"], task.get("columns"), tables, self._environment, self._own]
        is_known = None not in [*tables, *files, self._environment] and not asks_the_world
        is_kept = model.limits.is_cached and not model.limits.internet_access and is_known
        self._results[model.name] = key = _hash(parts) if is_kept else None
        return {"cache": model.limits.is_cached, "code": _hash(code), "key": key, "expected_bytes": None}

    def _input(self, task: dict[str, Any], index: int, name: str, scan: Scan | None) -> str | None:
        """The key of what a model takes of an input: of a scan its own columns, whatever others are read for others."""
        if scan is None:
            return self._results[name]
        columns = next(each["columns"] for each in task["arguments"] if each.get("input") == index)
        return self._scan(scan, columns)

    def _scan(self, scan: Scan, columns: list[str] | tuple[str, ...] | None) -> str | None:
        source = scan.source
        settled = [is_settled(each, self._planned_ns) for each in source.identities]
        if not settled or not all(settled) or self._environment is None:
            return None
        dictionary = [name for name in source.dictionary if columns is None or name in columns]
        condition = None if scan.filter is None else scan.filter.sql
        if condition is not None and _SQL_ASKS_THE_WORLD.search(condition):
            return None
        read = [columns, condition, dictionary, source.partitions, source.schema]
        return _hash(["scan", source.identities, read, self._environment, self._own])


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

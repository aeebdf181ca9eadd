"""A project as its files alone tell it: the project file, the parameters of this run, and every declared model."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import decode_source
from pathlib import Path, PurePath

from zerrow.errors import ZerrowError
from zerrow.plan.catalog import Catalog
from zerrow.plan.contracts import resolve_schemas
from zerrow.plan.declarations import Declaration, PythonModel, tables_read
from zerrow.plan.findings import Findings, too_much
from zerrow.plan.host_files import OWN_FILES, HostFiles
from zerrow.plan.ignored import NO_SETTINGS, GitSettings, ModelFileRules
from zerrow.plan.names import namespace_of, nearest
from zerrow.plan.namespaces import DEFAULT, Namespaces
from zerrow.plan.parameters import Given, Value, parameter_values
from zerrow.plan.place import now_at
from zerrow.plan.project_file import BAUPLAN_NAMES, ProjectFile, SourceDeclaration, no_project
from zerrow.plan.python_file import FILE_BYTES_MAX, PythonFile, SourceText
from zerrow.plan.selectors import Selected, Selection, SelectorError
from zerrow.plan.source_files import shown
from zerrow.plan.text_files import Unreadable, is_within, read_file

_QUERY = "query"  # what errors call the text of a query, and its model


@dataclass
class Project:
    """Everything read, nothing resolved. `models` has one of each name, in the order of files and lines.

    `query` names the model that a query on the command line became, if there is one; `selected` is what a run is for
    where that isn't all. `texts` has each Python file with models.
    """

    file: ProjectFile
    parameters: dict[str, Value]
    models: dict[str, Declaration] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    query: str | None = None
    selected: Selected | None = None
    texts: dict[str, SourceText] = field(default_factory=dict)
    python_files: dict[str, PythonFile] = field(default_factory=dict)
    namespaces: Namespaces = field(init=False)
    catalog: Catalog = field(init=False)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of parameters whose values are shown nowhere."""
        return frozenset(name for name, each in self.file.parameters.items() if each.is_secret)

    def replace(self, tables: Mapping[str, str], findings: Findings) -> None:
        """Has tables read from Parquet files, at paths by their names, instead of being made by their models."""
        read = {table for model in self.models.values() for table in tables_read(model)}
        for name, path in tables.items():
            if name not in self.models and name not in self.file.sources and name not in read:
                close = nearest(name, read)
                hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(sorted(read)[:20]) or 'none'}"
                findings.error("unknown-table", f"nothing reads a table {name!r}", hint=hint)
                continue
            self.models.pop(name, None)
            self.file.sources[name] = SourceDeclaration(name, path, (), None)

    def keep_what_is_selected(self, selectors: Sequence[str], excluded: Sequence[str], findings: Findings) -> None:
        """Forgets the models that no selected one reads, itself or through others.

        Expectations stay that read nothing but what stays, if they aren't excluded.
        """
        if not selectors and not excluded:
            return
        selection = Selection(self.models, self.file.sources.keys(), self.namespaces.default)
        try:
            self.selected = selection.select(selectors, excluded)
            left_out = selection.select(excluded).names if excluded else frozenset()
        except SelectorError as error:
            findings.error("selector", str(error), hint=error.hint)
            findings.raise_errors()
            raise
        every = self.models
        self._keep(self.selected.names)
        for name, model in every.items():
            if isinstance(model, PythonModel) and model.is_expectation and name not in self.models:
                read = [table for table in tables_read(model) if table in every]
                if read and all(table in self.models for table in read) and name not in left_out:
                    self.models[name] = model
        self.models = {name: model for name, model in every.items() if name in self.models}

    def is_selected(self, name: str) -> bool:
        """Whether the run is for a model, and not only for what is made of it."""
        return self.selected is None or name in self.selected.names

    def keep_what_the_query_needs(self) -> None:
        """Forgets the models that the query, if this run is one, reads neither itself nor through others."""
        if self.query is not None:
            self._keep([self.query])

    def _keep(self, names: Iterable[str]) -> None:
        needed: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name in self.models and name not in needed:
                needed.add(name)
                pending += tables_read(self.models[name])
        self.models = {name: model for name, model in self.models.items() if name in needed}


def read_project(
    project_file: ProjectFile,
    given: Mapping[str, Given],
    findings: Findings,
    query: str | None = None,
    namespace: str | None = None,
    git: GitSettings = NO_SETTINGS,
    host: HostFiles = OWN_FILES,
) -> Project:
    """Reads the .py and .sql files beside a project file, but for those that git ignores. The SQL text of a `query`
    becomes one more model; bare names of tables mean those of the `namespace`.

    Raises ZerrowError where there is neither a project file nor a model nor a source.
    """
    parameters = parameter_values(project_file.parameters, given, findings)
    project = Project(project_file, parameters)
    project.catalog = Catalog(str(project_file.folder), project_file.catalog, host)
    rules = ModelFileRules(project_file.folder, git)
    for name in _model_files(project_file):
        now_at(name)
        try:
            if rules.ignores(name):
                _note_ignored(project, name, findings)
            else:
                _read_models(project, name, findings)
        except (RecursionError, MemoryError) as error:
            too_much(name, error, findings)
    _refuse_broken_files(project, findings)
    if query is not None:
        _leave_out_published(project, namespace or project_file.namespace or DEFAULT)
        _add_query(project, query, findings)
    if project_file.file is None and not findings.errors and not (project.models or project_file.sources):
        raise no_project(project_file.folder)
    if not project.models and not findings.errors:
        findings.error(
            "no-models",
            "the project has no models",
            file=project_file.file,
            hint="add a .sql file, or a .py file with a function under @zerrow.model(), beside the project file",
        )
    resolve_schemas(project.models.values(), project.python_files, findings)
    project.namespaces = Namespaces(project, namespace)
    project.namespaces.give_meaning(findings)
    return project


def _model_files(file: ProjectFile) -> list[str]:
    """The names of files that may declare models: those in the folder, and what the project file includes.

    Raises ZerrowError.
    """
    folder = file.folder
    beside = _files_beside(folder)
    included = {
        os.path.relpath(path, folder)
        for pattern in file.include
        for path in glob.iglob(os.path.join(glob.escape(str(folder)), pattern), recursive=True)
        if not os.path.isdir(path)
    }
    return beside + sorted(included.difference(beside))


def _files_beside(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name.endswith((".py", ".sql")) and entry.name[0] != "." and not _is_folder(entry)
            )
    except OSError as error:
        raise ZerrowError(f"{folder} can't be read: {error.strerror}", code="unreadable") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads round in circles, for one


def _read_models(project: Project, name: str, findings: Findings) -> None:
    source = _read(project.file.folder, name, findings)
    if source is None:
        return
    if name.endswith(".py"):
        file = project.python_files[name] = PythonFile(name, source, findings)
        if file.models:
            project.imports |= file.imports
            project.texts[name] = file.text
        for model in file.models:
            _add(project, model, findings)
    else:
        from zerrow.plan.sql_file import read_sql_file  # brings in sqlglot, which projects without SQL don't need

        # A byte order mark is no part of the text.
        text = io.IncrementalNewlineDecoder(None, translate=True).decode(source.decode("utf-8-sig"), final=True)
        is_bauplan = any(each in BAUPLAN_NAMES for each in project.file.files)
        sql_model = read_sql_file(name, text, project.parameters, project.secrets, findings, may_need_quotes=is_bauplan)
        if sql_model is not None:
            _add(project, sql_model, findings)


def _refuse_broken_files(project: Project, findings: Findings) -> None:
    """Makes errors of Python files that can't be parsed and that models import, or that may be all that there is.

    It stays a warning where a model asks for a newer Python, which may understand them, and of scripts beside.
    """
    declared = [model.environment for model in project.models.values() if isinstance(model, PythonModel)]
    asked = [environment.python for environment in declared if environment is not None]
    if project.file.python is not None:
        asked.append(project.file.python.text)
    if any(_is_newer(version) for version in asked if version):
        return
    for warning in [each for each in findings.warnings if each.code == "python-syntax"]:
        if not project.models or PurePath(str(warning.file)).stem in project.imports:
            findings.warnings.remove(warning)
            findings.error(warning.code, warning.message, file=warning.file, line=warning.line, hint=warning.hint)


def _is_newer(version: str) -> bool:
    """Whether a version of Python is newer than the one that reads the project."""
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdecimal())
    return numbers > sys.version_info[:2]


def _note_ignored(project: Project, name: str, findings: Findings) -> None:
    """Says which models are no part of the project because git ignores their file."""
    what = "its query is left out"
    if name.endswith(".py"):
        aside = Findings()
        source = _read(project.file.folder, name, aside)
        file = None if source is None else PythonFile(name, source, aside)
        if file is None or not (file.models or any(error.code == "not-understood" for error in aside.errors)):
            return
        names = ", ".join(model.name for model in file.models)
        what = "its models are left out" + (f": {names}" if names else "")
    hint = "take it out of what git ignores, if it belongs to the project"
    findings.warning("ignored-file", f"git ignores this file, so {what}", file=name, hint=hint)


def _leave_out_published(project: Project, default: str) -> None:
    """Forgets the models whose tables are in the catalog: a query reads what was published, and publishes nothing.

    To run them would give other rows: without the parameters of the run that published them, and of APPEND the last
    ones only.
    """
    published = project.catalog.tables
    for name, model in list(project.models.items()):
        full = name if namespace_of(name) else f"{default}.{name}"
        if model.materialization.strategy != "NONE" and full in published:
            del project.models[name]


def _add_query(project: Project, text: str, findings: Findings) -> None:
    from zerrow.plan.sql_file import read_sql_file

    now_at(_QUERY)
    model = read_sql_file(_QUERY, text, project.parameters, project.secrets, findings)
    if model is not None:
        while model.name in project.models or model.name in project.file.sources:
            model.name += "_"
        project.query = model.name
        project.models[model.name] = model


def _read(folder: Path, name: str, findings: Findings) -> bytes | None:
    """The bytes of a file, if they are text: Python's in the encoding that it names, SQL in UTF-8."""
    path = folder / name
    if not is_within(path, folder):
        findings.error(
            "link-outside-project",
            f"{shown(name)} is a link that leaves the project folder",
            file=name,
            hint="replace the link by the file itself",
        )
        return None
    try:
        source = read_file(path, FILE_BYTES_MAX)
        if name.endswith(".py"):
            decode_source(source)
        else:
            source.decode("utf-8-sig")
        return source
    except Unreadable as error:
        findings.error("unreadable", f"{shown(name)} can't be read: {error}", file=name, hint=error.hint)
    except (UnicodeDecodeError, SyntaxError, LookupError) as error:
        findings.error("unreadable", f"{shown(name)} can't be read: {error}", file=name, hint="save it as UTF-8 text")
    return None


def _add(project: Project, model: Declaration, findings: Findings) -> None:
    """Adds a model unless its name is taken."""
    other = project.models.get(model.name)
    source = project.file.sources.get(model.name)
    if other is not None:
        findings.error(
            "duplicate-name",
            f"two models are named {model.name!r}: {other.file}:{other.line} and {model.file}:{model.line}",
            model=model.name,
            file=model.file,
            line=model.line,
            hint="rename one of them",
        )
        return
    if source is not None:
        place = "the command line" if source.file is None else f"{source.file}:{source.line}"
        findings.error(
            "duplicate-name",
            f"{model.name!r} is a model, {model.file}:{model.line}, and a source table, {place}",
            model=model.name,
            file=model.file,
            line=model.line,
            hint="rename one of them",
        )
    project.models[model.name] = model

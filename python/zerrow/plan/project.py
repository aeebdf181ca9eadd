"""A project as its files alone tell it: the project file, the parameters of this run, and every declared model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zerrow.plan.declarations import Declaration
from zerrow.plan.findings import Findings
from zerrow.plan.parameters import Value, parameter_values
from zerrow.plan.project_file import ProjectFile, read_project_file
from zerrow.plan.python_file import PythonFile

_FILE_BYTES_MAX = 16 << 20


@dataclass
class Project:
    """Everything read, nothing resolved. `models` has one of each name, in the order of files and lines."""

    file: ProjectFile
    parameters: dict[str, Value]
    models: dict[str, Declaration] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)


def read_project(folder: Path, given: Mapping[str, str], findings: Findings) -> Project:
    """Reads the project file and the .py and .sql files beside it. Raises ZerrowError when there is no project."""
    project_file = read_project_file(folder, findings)
    parameters = parameter_values(project_file.parameters, given, project_file.file, findings)
    project = Project(project_file, parameters)
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not name.endswith((".py", ".sql")) or (folder / name).is_dir():
            continue
        text = _read_text(folder, name, findings)
        if text is None:
            continue
        if name.endswith(".py"):
            file = PythonFile(name, text, findings)
            if file.models:
                project.imports |= file.imports
            for model in file.models:
                _add(project, model, findings)
        else:
            from zerrow.plan.sql_file import read_sql_file  # brings in sqlglot, which projects without SQL don't need

            sql_model = read_sql_file(name, text, parameters, findings)
            if sql_model is not None:
                _add(project, sql_model, findings)
    if not project.models and not findings.errors:
        findings.error(
            "no-models",
            "the project has no models",
            file=project_file.file,
            hint="add a .sql file, or a .py file with a function under @zerrow.model(), beside the project file",
        )
    return project


def _read_text(folder: Path, name: str, findings: Findings) -> str | None:
    path = folder / name
    if folder not in path.resolve().parents:
        findings.error(
            "link-outside-project",
            f"{name} is a link that leaves the project folder",
            file=name,
            hint="replace the link by the file itself",
        )
        return None
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            findings.error("unreadable", f"{name} is larger than {_FILE_BYTES_MAX >> 20} MiB", file=name)
            return None
        # A byte order mark is no part of the text.
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        findings.error("unreadable", f"{name} can't be read: {error}", file=name, hint="save it as UTF-8 text")
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
        place = f"{project.file.file}:{source.line}"
        findings.error(
            "duplicate-name",
            f"{model.name!r} is a model, {model.file}:{model.line}, and a source table, {place}",
            model=model.name,
            file=model.file,
            line=model.line,
            hint="rename one of them",
        )
    project.models[model.name] = model

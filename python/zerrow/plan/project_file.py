"""The project file, `zerrow_project.yml`: the project's name, parameters, source tables and how to make them."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from zerrow.errors import ZerrowError
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean, name_problem
from zerrow.plan.parameters import PARAMETER_TYPES, ParameterDeclaration, default_problem
from zerrow.plan.partitions import TYPES
from zerrow.plan.place import now_at
from zerrow.plan.text_files import Unreadable, is_within, read_file
from zerrow.plan.yaml_text import Refused, compose
from zerrow.plan.yaml_text import value as _value

_NAMES = ("zerrow_project.yml", "zerrow_project.yaml")
_KEYS = ("project", "parameters", "sources", "prepare", "python", "show", "timeout")
_TOLERATED_KEYS = ("defaults", "include_paths")
_PROJECT_KEYS = ("name", "id", "description")
_PARAMETER_KEYS = ("type", "default", "required", "description")
_SOURCE_KEYS = ("path", "dictionary", "hive")

FILE_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class SourceDeclaration:
    """A source table as the project file names it. `path` is as written: a file, a folder or a glob.

    `dictionary` names the columns to read dictionary-encoded; None: the text columns that the files hold so. `hive` has
    the types of columns that folders named key=value give, where the project file tells them; None: they give none.
    """

    name: str
    path: str
    dictionary: tuple[str, ...] | None
    line: int
    hive: Mapping[str, str] | None = field(default_factory=dict, hash=False)


@dataclass
class ProjectFile:
    """The content of the project file. `file` is its name, relative to `folder`.

    `show` has patterns of files that models see although git ignores them.
    """

    folder: Path
    file: str
    name: str
    parameters: dict[str, ParameterDeclaration] = field(default_factory=dict)
    sources: dict[str, SourceDeclaration] = field(default_factory=dict)
    prepare: list[str] | None = None
    show: tuple[str, ...] = ()
    timeout_s: float | None = None


def find_project_file(folder: Path) -> Path:
    """The project file of `folder`. Raises ZerrowError when there is none, or two, or it is somewhere else."""
    if not os.path.isdir(folder):
        raise ZerrowError(f"{folder} is not a folder", code="no-project", hint="name a project's folder with -p")
    # Whatever has the name is meant: if it is no file, that is reported.
    found = [folder / name for name in _NAMES if os.path.lexists(folder / name)]
    if not found:
        raise ZerrowError(
            f"there is no project file in {folder}",
            code="no-project",
            hint=f"name a project's folder with -p, or add a {_NAMES[0]} with 'project: {{name: …}}' and 'sources:'",
        )
    if len(found) > 1:
        raise ZerrowError(
            f"the project has both {_NAMES[0]} and {_NAMES[1]}",
            code="two-project-files",
            file=_NAMES[1],
            hint="keep one of them",
        )
    if not is_within(found[0], folder):
        raise ZerrowError(
            f"{found[0].name} is a link that leaves the project folder",
            code="link-outside-project",
            file=found[0].name,
            hint="replace the link by the file itself",
        )
    return found[0]


def read_project_file(folder: Path, findings: Findings) -> ProjectFile:
    """Reads the project file. Raises ZerrowError when nothing of it can be used; lesser errors go to `findings`."""
    path = find_project_file(folder)
    now_at(path.name)
    try:
        root = compose(read_file(path, FILE_BYTES_MAX).decode("utf-8"))
    except Refused as error:
        raise ZerrowError(
            f"the project file is not read: {error}", code="yaml", file=path.name, line=error.line, hint=error.hint
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ZerrowError(
            f"the project file is not valid YAML: {problem}",
            code="yaml",
            file=path.name,
            line=mark.line + 1 if mark else None,
            hint="indent with spaces, and put texts with ': ' or '#' in quotes",
        ) from None
    except (Unreadable, UnicodeDecodeError) as error:
        hint = getattr(error, "hint", None)
        message = f"the project file can't be read: {error}"
        raise ZerrowError(message, code="yaml", file=path.name, hint=hint) from None
    return _Reader(folder, path.name, findings).read(root)


class _Reader:
    """Turns YAML nodes into a ProjectFile. It walks nodes, not values, so as to know every line and double key."""

    def __init__(self, folder: Path, file: str, findings: Findings) -> None:
        self.findings = findings
        self.project = ProjectFile(folder, file, folder.name)

    def read(self, root: yaml.Node | None) -> ProjectFile:
        readers = {
            "project": self._read_project,
            "parameters": self._read_parameters,
            "sources": self._read_sources,
            "prepare": self._read_prepare,
            "python": self._read_python,
            "show": self._read_show,
            "timeout": self._read_timeout,
        }
        if root is None:
            self._error("project-file", "the project file is empty", 1, "name source tables under 'sources:'")
            return self.project
        for key, line, node in self._entries(root, "the project file"):
            if key in readers:
                readers[key](node)
            elif key not in _TOLERATED_KEYS:
                self._unknown_key(key, line, _KEYS)
        return self.project

    def _error(self, code: str, message: str, line: int, hint: str | None = None) -> None:
        self.findings.error(code, message, file=self.project.file, line=line, hint=hint)

    def _unknown_key(self, key: str, line: int, known: tuple[str, ...]) -> None:
        self.findings.warning(
            "unknown-key",
            f"the key {key!r} is not known and is ignored",
            file=self.project.file,
            line=line,
            hint=did_you_mean(key, known, "known keys"),
        )

    def _entries(self, node: yaml.Node, what: str) -> Iterator[tuple[str, int, yaml.Node]]:
        """Keys, lines and value nodes of a mapping; a key that occurs again is an error and is left out."""
        if _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self._error("project-file", f"{what} must be a mapping of keys to values", _line(node))
            return
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._error("project-file", f"{what} has a key that is not a text", _line(key_node))
            elif key in lines:
                self._error(
                    "duplicate-name",
                    f"{key!r} occurs twice in {what}: lines {lines[key]} and {_line(key_node)}",
                    _line(key_node),
                    "rename or remove one of them",
                )
            else:
                lines[key] = _line(key_node)
                yield key, lines[key], value_node

    def _text(self, node: yaml.Node, what: str) -> str | None:
        value = _value(node)
        if isinstance(value, str) and value:
            return value
        self._error("project-file", f"{what} must be a text", _line(node))
        return None

    def _texts(self, node: yaml.Node, what: str, kind: str = "a list of texts") -> tuple[str, ...]:
        value = _value(node)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self._error("project-file", f"{what} must be {kind}", _line(node))
        return ()

    def _read_project(self, node: yaml.Node) -> None:
        for key, line, value in self._entries(node, "'project'"):
            if key == "name":
                self.project.name = self._text(value, "the project's name") or self.project.name
            elif key not in _PROJECT_KEYS:
                self._unknown_key(key, line, _PROJECT_KEYS)

    def _read_parameters(self, node: yaml.Node) -> None:
        for name, line, value in self._entries(node, "'parameters'"):
            if problem := name_problem(name):
                self._error("invalid-name", problem, line, "rename the parameter")
                continue
            keys: dict[str, Any] = {}
            for key, key_line, key_node in self._entries(value, f"the parameter {name!r}"):
                if key in _PARAMETER_KEYS:
                    keys[key] = _value(key_node)
                else:
                    self._unknown_key(key, key_line, _PARAMETER_KEYS)
            self._add_parameter(name, line, keys)

    def _add_parameter(self, name: str, line: int, keys: dict[str, Any]) -> None:
        kind = keys.get("type", "str")
        default = keys.get("default")
        required = keys.get("required", default is None)
        if kind not in PARAMETER_TYPES:
            self._error(
                "parameter-type",
                f"the parameter {name!r} has the unknown type {kind!r}",
                line,
                "types: " + ", ".join(PARAMETER_TYPES),
            )
            return
        if not isinstance(required, bool):
            self._error("parameter-type", f"'required' of the parameter {name!r} must be true or false", line)
            return
        if kind == "float" and isinstance(default, str):  # YAML takes 1e3, without a point, for a text
            with contextlib.suppress(ValueError):
                default = float(default)
        if problem := default_problem(kind, default):
            self._error("parameter-type", f"the default of the parameter {name!r} {problem}", line)
            return
        self.project.parameters[name] = ParameterDeclaration(name, kind, default, required, line)

    def _read_sources(self, node: yaml.Node) -> None:
        for name, line, value in self._entries(node, "'sources'"):
            if problem := name_problem(name):
                self._error("invalid-name", problem, line, "rename the source table")
                continue
            path: str | None = None
            dictionary: tuple[str, ...] | None = ()
            hive: dict[str, str] | None = {}
            if isinstance(value, yaml.MappingNode):
                for key, key_line, key_node in self._entries(value, f"the source {name!r}"):
                    if key == "path":
                        path = self._text(key_node, f"the path of the source {name!r}")
                    elif key == "dictionary":
                        dictionary = self._dictionary(key_node, name)
                    elif key == "hive":
                        hive = self._hive(key_node, name)
                    else:
                        self._unknown_key(key, key_line, _SOURCE_KEYS)
                if path is None:
                    self._error("project-file", f"the source {name!r} has no path", line, "add 'path: data/….parquet'")
                    continue
            else:
                path = self._text(value, f"the path of the source {name!r}")
                if path is None:
                    continue
            self.project.sources[name] = SourceDeclaration(name, path, dictionary, line, hive)

    def _dictionary(self, node: yaml.Node, source: str) -> tuple[str, ...] | None:
        value = _value(node)
        if isinstance(value, bool):
            return None if value else ()
        return self._texts(node, f"'dictionary' of the source {source!r}", "true, false or a list of texts")

    def _hive(self, node: yaml.Node, source: str) -> dict[str, str] | None:
        if isinstance(node, yaml.ScalarNode) and isinstance(value := _value(node), bool):
            return {} if value else None
        if not isinstance(node, yaml.MappingNode):
            what = f"'hive' of the source {source!r} must be true, false or types of columns, as in {{day: date}}"
            self._error("project-file", what, _line(node))
            return {}
        types = {}
        for column, line, type_node in self._entries(node, f"'hive' of the source {source!r}"):
            kind = _value(type_node)
            if kind in TYPES:
                types[column] = kind
            else:
                what = f"'hive' of the source {source!r} gives {column!r} the unknown type {kind!r}"
                self._error("project-file", what, line, "types: " + ", ".join(TYPES))
        return types

    def _read_prepare(self, node: yaml.Node) -> None:
        value = _value(node)
        if isinstance(value, str):
            try:
                value = shlex.split(value)
            except ValueError as error:
                self._error("project-file", f"'prepare' is not a command: {error}", _line(node))
                return
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            self.project.prepare = value
        else:
            self._error("project-file", "'prepare' must be a command, as a text or a list of texts", _line(node))

    def _read_show(self, node: yaml.Node) -> None:
        self.project.show = self._texts(node, "'show'", "a list of paths or patterns, as in [data/rates.csv]")

    def _read_timeout(self, node: yaml.Node) -> None:
        value = _value(node)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            self.project.timeout_s = float(value)
        else:
            self._error("project-file", "'timeout' must be a positive number of seconds", _line(node))

    def _read_python(self, node: yaml.Node) -> None:
        for key, line, value in self._entries(node, "'python'"):
            if key == "packages" and _value(value):
                self.findings.warning(
                    "packages-ignored",
                    "'packages' is not used: models run with the packages of the environment zerrow runs in",
                    file=self.project.file,
                    line=line,
                    hint="install the packages there",
                )


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"

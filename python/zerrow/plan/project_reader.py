"""The YAML of a project file → its content, with an error or a warning for each thing that isn't meant so."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from zerrow.plan.declarations import seconds
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean, name_problem, table_name_problem
from zerrow.plan.parameters import PARAMETER_TYPES, ParameterDeclaration, default_problem
from zerrow.plan.partitions import TYPES
from zerrow.plan.project_file import ZERROW_NAMES, ProjectFile, PythonVersion, SourceDeclaration
from zerrow.plan.requirements import BadRequirement, Requirement, requirement, requirement_line
from zerrow.plan.yaml_text import value as _value

_KEYS = (
    "project",
    "parameters",
    "sources",
    "prepare",
    "python",
    "packages",
    "show",
    "timeout",
    "defaults",
    "include_paths",
    "catalog",
)
_BAUPLAN_KEYS = ("project", "parameters", "include_paths", "defaults")
_PROJECT_KEYS = ("name", "id", "description")
_PARAMETER_KEYS = ("type", "default", "required", "description", "key")
_SOURCE_KEYS = ("path", "dictionary", "hive")
_PYTHON_KEYS = ("version", "packages")
_PACKAGE_KEYS = ("name", "version")
_DEFAULTS_KEYS = ("python", "python_version", "namespace", "timeout")


_PACKAGES = "'packages' must be names with versions, as in {pandas: 2.2.2}, or a list of them, as in ['pandas==2.2.2']"


class ProjectReader:
    """Turns YAML nodes into a ProjectFile. It walks nodes, not values, so as to know every line and double key."""

    def __init__(self, project: ProjectFile, file: str, findings: Findings, *, is_bauplan: bool) -> None:
        """Adds to `project` what is in `file`. In Bauplan's file a parameter has to be given only if it says so."""
        self.findings = findings
        self.project = project
        self.file = file
        self._is_bauplan = is_bauplan

    def read(self, root: yaml.Node | None) -> None:
        """Takes in the file, whose root node this is."""
        readers = {
            "project": self._read_project,
            "parameters": self._read_parameters,
            "sources": self._read_sources,
            "prepare": self._read_prepare,
            "python": self._read_python,
            "packages": self._read_packages,
            "show": self._read_show,
            "timeout": self._read_timeout,
            "defaults": self._read_defaults,
            "include_paths": self._read_include,
            "catalog": self._read_catalog,
        }
        known = _BAUPLAN_KEYS if self._is_bauplan else _KEYS
        if root is None:
            if not self._is_bauplan:
                self._error("project-file", "the project file is empty", 1, "name source tables under 'sources:'")
            return
        for key, line, node in self._entries(root, "the project file"):
            if key in known:
                readers[key](node)
            elif key in readers:
                message = f"the key {key!r} is none of Bauplan's and is ignored"
                hint = f"move it to a {ZERROW_NAMES[0]} beside this file"
                self.findings.warning("unknown-key", message, file=self.file, line=line, hint=hint)
            else:
                self._unknown_key(key, line, known)

    def _error(self, code: str, message: str, line: int, hint: str | None = None) -> None:
        self.findings.error(code, message, file=self.file, line=line, hint=hint)

    def _unknown_key(self, key: str, line: int, known: tuple[str, ...]) -> None:
        self.findings.warning(
            "unknown-key",
            f"the key {key!r} is not known and is ignored",
            file=self.file,
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
            # Nothing but a $ stands before it, so it may be a word of SQL.
            if problem := name_problem(name, may_need_quotes=True):
                self._error("invalid-name", problem, line, "rename the parameter")
                continue
            keys: dict[str, Any] = {}
            for key, key_line, key_node in self._entries(value, f"the parameter {name!r}"):
                if key == "default" and isinstance(key_node, yaml.ScalarNode):
                    keys[key], keys["written"] = _value(key_node), key_node.value
                elif key in _PARAMETER_KEYS:
                    keys[key] = _value(key_node)
                else:
                    self._unknown_key(key, key_line, _PARAMETER_KEYS)
            self._add_parameter(name, line, keys)

    def _add_parameter(self, name: str, line: int, keys: dict[str, Any]) -> None:
        default = keys.get("default")
        # Without a type it is a text, unless its default is plainly something else.
        kind = keys.get("type") or {bool: "bool", int: "int", float: "float"}.get(type(default), "str")
        required = keys.get("required", default is None and not self._is_bauplan)
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
        if kind == "str" and default is not None and not isinstance(default, bool) and "written" in keys:
            default = keys["written"]  # 2024-01-01 is a date to YAML
        if problem := default_problem(kind, default):
            self._error("parameter-type", f"the default of the parameter {name!r} {problem}", line)
            return
        self.project.parameters[name] = ParameterDeclaration(name, kind, default, required, line, self.file)

    def _read_sources(self, node: yaml.Node) -> None:
        for name, line, value in self._entries(node, "'sources'"):
            if problem := table_name_problem(name):
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
            self.project.sources[name] = SourceDeclaration(name, path, dictionary, line, hive, self.file)

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
        self.project.timeout_s = seconds(_value(node))
        if self.project.timeout_s is None:
            self._error("project-file", "'timeout' must be a positive number of seconds", _line(node))

    def _read_python(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            self._read_version(node)
            return
        for key, line, value in self._entries(node, "'python'"):
            if key == "version":
                self._read_version(value)
            elif key == "packages":
                self._read_packages(value)
            else:
                self._unknown_key(key, line, _PYTHON_KEYS)

    def _read_version(self, node: yaml.Node) -> None:
        # As it is written: 3.10 is another number than 3.1 here.
        if isinstance(node, yaml.ScalarNode) and not _is_null(node) and node.value:
            self.project.python = PythonVersion(node.value, self.file, _line(node))
        elif not _is_null(node):
            self._error("project-file", "the version of 'python' must be a text such as '3.12'", _line(node))

    def _read_packages(self, node: yaml.Node) -> None:
        """Packages as a mapping of names to versions, or as a list of texts for pip, or of mappings with name and
        version."""
        if _is_null(node):
            return
        if isinstance(node, yaml.MappingNode):
            for name, line, value in self._entries(node, "'packages'"):
                self._add_package(name, _written(value), line)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                if isinstance(item, yaml.MappingNode):
                    entries = {key: each for key, _, each in self._entries(item, "a package")}
                    for key in entries:
                        if key not in _PACKAGE_KEYS:
                            self._unknown_key(key, _line(entries[key]), _PACKAGE_KEYS)
                    version = _written(entries["version"]) if "version" in entries else ""
                    self._add_package(_written(entries.get("name")), version, _line(item))
                else:
                    self._add_package_line(_written(item), _line(item))
        else:
            self._error("project-file", _PACKAGES, _line(node))

    def _add_package(self, name: str | None, version: str | None, line: int) -> None:
        if name and version is not None:
            self._add_requirement(lambda: requirement(name, version, self.file, line), line)
        else:
            self._error("project-file", _PACKAGES, line)

    def _add_package_line(self, text: str | None, line: int) -> None:
        if text:
            self._add_requirement(lambda: requirement_line(text, self.file, line), line)
        else:
            self._error("project-file", _PACKAGES, line)

    def _add_requirement(self, read: Callable[[], Requirement], line: int) -> None:
        try:
            self.project.packages.append(read())
        except BadRequirement as error:
            self._error("bad-requirement", f"'packages' has one that can't be: {error}", line, error.hint)

    def _read_defaults(self, node: yaml.Node) -> None:
        for key, line, value in self._entries(node, "'defaults'"):
            if key == "python":
                self._read_python(value)
            elif key == "python_version":
                self._read_version(value)
            elif key == "timeout":
                self._read_timeout(value)
            elif key == "namespace":
                self.project.namespace = self._text(value, "'namespace'") or self.project.namespace
            elif key not in _DEFAULTS_KEYS:
                self._unknown_key(key, line, _DEFAULTS_KEYS)

    def _read_catalog(self, node: yaml.Node) -> None:
        self.project.catalog = self._text(node, "'catalog', the folder of the catalog,") or self.project.catalog

    def _read_include(self, node: yaml.Node) -> None:
        found = []
        for path in self._texts(node, "'include_paths'", "a list of paths or patterns, as in [sql/*.sql]"):
            if not path.endswith(".sql") or path.startswith("/") or ".." in path.split("/"):
                problem = f"'include_paths' has {path!r}, which is no path of SQL files in the project"
                self._error("project-file", problem, _line(node), "write a path that ends in .sql, without ..")
            else:
                found.append(path)
        self.project.include = tuple(found)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _written(node: yaml.Node | None) -> str | None:
    """A single value as it is written, `2.10` with its zero; nothing where nothing is; None for any other node."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    return "" if _is_null(node) else node.value


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"

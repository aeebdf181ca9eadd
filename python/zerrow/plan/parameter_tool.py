"""A project's parameters for `zerrow parameter`: lists them, and says what its files are to become when one is set or
removed: `python -m zerrow.plan.parameter_tool VERB --project DIR … -- NAME`.

It runs without any right to write, as the planner does: the caller writes the files. A secret's value comes through the
environment, and is in nothing but the text of the file that git ignores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from zerrow.errors import PlanError, ZerrowError
from zerrow.plan.findings import Findings
from zerrow.plan.ignored import GitSettings, IgnoreRules
from zerrow.plan.names import name_problem
from zerrow.plan.parameter_sources import FILE, given_values
from zerrow.plan.parameters import SECRET_TYPES, Given, ParameterDeclaration, parameter_values
from zerrow.plan.project_file import FILE_BYTES_MAX, ProjectFile, no_project, read_project_file
from zerrow.plan.text_files import Unreadable, is_within, read_file
from zerrow.plan.yaml_edit import CantEdit, Scalar, remove_entry, set_entry
from zerrow.plan.yaml_text import Refused, compose

SECRET_VARIABLE = "ZERROW_SECRET_VALUE"
TYPES = ("int", "float", "bool", "str", "secret")


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object. Exit code 0: the answer; 1: what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m zerrow.plan.parameter_tool")
    parser.add_argument("verb", choices=("ls", "set", "rm"))
    parser.add_argument("--project", default=".")
    parser.add_argument("--value")
    parser.add_argument("--type", choices=TYPES)
    parser.add_argument("--description")
    parser.add_argument("--required", choices=("true", "false"))
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--excludes")
    parser.add_argument("--ignore-case", action="store_true")
    parser.add_argument("--git-folder")
    words = sys.argv[1:] if arguments is None else arguments
    # A name comes behind `--`, so that it is taken for no option whatever it is.
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    options.name = "".join(words[end + 1 : end + 2])
    tool = _Tool(options)
    try:
        answer = tool.list() if options.verb == "ls" else tool.set() if options.verb == "set" else tool.remove()
    except PlanError as error:
        answer = {"errors": [each.as_json() for each in error.errors]}
    except ZerrowError as error:
        answer = {"errors": [error.as_json()]}
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode(errors="replace") + b"\n")
    sys.stdout.buffer.flush()
    return 1 if "errors" in answer else 0


class _Tool:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.name: str = options.name
        self.folder = Path(os.path.realpath(options.project))
        self.findings = Findings()

    def _read(self) -> ProjectFile:
        project = read_project_file(self.folder, self.findings)
        if project.file is None:
            raise no_project(self.folder)
        return project

    # MARK: ls

    def list(self) -> dict[str, Any]:
        project = self._read()
        given = given_values(self.folder, {}, os.environ, self.findings)
        self.findings.raise_errors()
        found = []
        for name, declared in project.parameters.items():
            own = Findings()
            value = parameter_values({name: declared}, {n: g for n, g in given.items() if n == name}, own)[name]
            source = given[name].where if name in given else "default" if value is not None else None
            if declared.is_secret:
                value = None
            problems = [error.message for error in own.errors if error.code != "missing-parameter"]
            found.append(
                {
                    "name": name,
                    "type": declared.kind,
                    "default": None if declared.is_secret else declared.default,
                    "value": value,
                    "source": source,
                    "required": declared.required,
                    "description": self._description(declared),
                    "file": declared.file,
                    "line": declared.line,
                    "problem": problems[0] if problems else None,
                }
            )
        return {"parameters": found}

    def _description(self, declared: ParameterDeclaration) -> str | None:
        root = compose(self._text(declared.file))
        for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
            if key.value == "parameters" and isinstance(value, yaml.MappingNode):
                for name, keys in value.value:
                    if name.value == declared.name and isinstance(keys, yaml.MappingNode):
                        texts = {k.value: v.value for k, v in keys.value if isinstance(v, yaml.ScalarNode)}
                        return texts.get("description")
        return None

    # MARK: set

    def set(self) -> dict[str, Any]:
        if problem := name_problem(self.name, may_need_quotes=True):
            raise ZerrowError(problem, code="invalid-name", hint="use letters, digits and underscores")
        project = self._read()
        self.findings.raise_errors()
        old = project.parameters.get(self.name)
        kind = self.options.type or (old.kind if old else _kind_of(self.options.value))
        if old and kind != old.kind and not self.options.force:
            raise ZerrowError(
                f"the parameter {self.name!r} is of the type {old.kind}, not {kind}",
                code="parameter-type", file=old.file, line=old.line, hint="give -f to change its type",
            )  # fmt: skip
        is_secret = kind in SECRET_TYPES
        keys: dict[str, Scalar | None] = {"type": kind}
        if is_secret:
            keys["default"] = None
        elif self.options.value is not None:
            keys["default"] = self._value(kind, self.options.value)
        elif old and old.default is not None and kind != old.kind:
            keys["default"] = self._value(kind, str(old.default))
        if self.options.description is not None:
            keys["description"] = self.options.description
        if self.options.required is not None:
            keys["required"] = self.options.required == "true"
        file = old.file if old else self._file(project)
        writes = [self._written(file, lambda text: set_entry(text, ("parameters", self.name), keys))]
        if is_secret and os.environ.get(SECRET_VARIABLE) is not None:
            writes = self._secret(os.environ[SECRET_VARIABLE]) + writes
        self._check(file, writes[-1]["content"])
        return {"writes": writes, "type": kind, "file": file}

    def _value(self, kind: str, text: str) -> Scalar:
        findings = Findings()
        declared = ParameterDeclaration(self.name, kind, None, False, 1, "")
        value = parameter_values({self.name: declared}, {self.name: Given(text)}, findings)[self.name]
        if findings.errors or value is None:
            message = findings.errors[0].message if findings.errors else "there is no value"
            raise ZerrowError(
                message, code="parameter-type", hint=f"give a value of the type {kind}, or another --type"
            )
        return value

    def _secret(self, value: str) -> list[dict[str, Any]]:
        """What makes a secret's value one: first what has git ignore its file, then the file."""
        path = self.folder / FILE
        text = self._text(FILE) if os.path.lexists(path) else ""
        writes = []
        git = GitSettings(self.options.excludes, self.options.ignore_case, self.options.git_folder)
        rules = IgnoreRules(str(self.folder), git)
        rules.enter(str(self.folder))
        if not rules.ignores(str(path), is_folder=False):
            writes.append(self._written(".gitignore", _with_ignored_file, is_missing_good=True))
        try:
            new = set_entry(text, (), {self.name: value})
        except (CantEdit, Refused, yaml.YAMLError):
            # Nothing of the file is said: what is in it may be secret.
            message = "the value can't be written: the file is not a mapping of names to values"
            raise ZerrowError(message, code="yaml", file=FILE, hint="write name: value in each line") from None
        writes.append({"file": FILE, "content": new, "private": True})
        return writes

    # MARK: rm

    def remove(self) -> dict[str, Any]:
        project = self._read()
        declared = project.parameters.get(self.name)
        if declared is None:
            if self.options.force:
                return {"writes": [], "type": None, "file": None}
            hint = "see 'parameter ls'"
            raise ZerrowError(f"there is no parameter {self.name!r}", code="unknown-parameter", hint=hint)
        writes = []
        if os.path.lexists(self.folder / FILE) and self.name in given_values(self.folder, {}, {}, Findings()):
            try:
                new = remove_entry(self._text(FILE), (self.name,))
            except (CantEdit, Refused, yaml.YAMLError):
                message = f"the value of {self.name!r} can't be taken out of the file"
                raise ZerrowError(message, code="yaml", file=FILE, hint="remove its line, then try again") from None
            writes.append({"file": FILE, "content": new, "private": True})
        where = ("parameters", self.name)
        writes.append(self._written(declared.file, lambda text: remove_entry(text, where)))
        return {"writes": writes, "type": declared.kind, "file": declared.file}

    # MARK: files

    def _file(self, project: ProjectFile) -> str:
        """The file that gets a new parameter: the one that has parameters, else the last, which wins."""
        for name in reversed(project.files):
            if any(declared.file == name for declared in project.parameters.values()):
                return name
        return project.files[-1]

    def _text(self, name: str) -> str:
        path = self.folder / name
        if not is_within(path, self.folder):
            hint = "replace the link by the file itself"
            raise ZerrowError("it is a link that leaves the project folder", code="unreadable", file=name, hint=hint)
        try:
            return read_file(path, FILE_BYTES_MAX).decode()
        except (Unreadable, UnicodeDecodeError) as error:
            raise ZerrowError(f"it can't be read: {error}", code="unreadable", file=name) from None

    def _written(self, name: str, change, *, is_missing_good: bool = False) -> dict[str, Any]:
        text = "" if is_missing_good and not os.path.lexists(self.folder / name) else self._text(name)
        try:
            return {"file": name, "content": change(text), "private": False}
        except (CantEdit, Refused) as error:
            message, hint = f"the file is not changed: {error}", "change it by hand"
            raise ZerrowError(message, code="yaml", file=name, line=error.line, hint=hint) from None
        except yaml.YAMLError as error:
            message = f"the file is not changed: {str(error).splitlines()[0]}"
            raise ZerrowError(message, code="yaml", file=name, hint="change it by hand") from None

    def _check(self, file: str, content: str) -> None:
        """What is going to be written declares what was wanted, as the planner reads it."""
        from zerrow.plan.project_reader import ProjectReader

        findings = Findings()
        project = ProjectFile(self.folder, file, self.folder.name)
        root = compose(content.removeprefix("\ufeff"))
        ProjectReader(project, file, findings, is_bauplan=file.startswith("bauplan")).read(root)
        findings.raise_errors()
        if self.name not in project.parameters:
            raise ZerrowError("the file is not changed: it would not declare the parameter", code="yaml", file=file)


def _with_ignored_file(text: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    return text + ("" if not text or text.endswith("\n") else newline) + FILE + newline


def _kind_of(text: str | None) -> str:
    """The type that a value plainly has."""
    if text is None:
        return "str"
    if text.lower() in ("true", "false"):
        return "bool"
    for kind, parse in (("int", int), ("float", float)):
        try:
            parse(text)
        except ValueError:
            continue
        return kind
    return "str"


if __name__ == "__main__":
    sys.exit(main())

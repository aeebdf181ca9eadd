"""Where values of parameters come from: the command line, the environment, and a file that git ignores; the first of
these wins.

The environment has them in two ways. A variable for one parameter may be there for other projects as well. The one for
all of them is a caller's way to say the same as on the command line, but not in a list of arguments that others see.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from zerrow.plan.findings import Findings
from zerrow.plan.ignored import IgnoreRules
from zerrow.plan.parameters import Given
from zerrow.plan.text_files import Unreadable, is_within, read_file
from zerrow.plan.yaml_text import Refused, compose

FILE = "zerrow_parameters.yml"
VARIABLE = "ZERROW_PARAM_"
VARIABLE_FOR_ALL = "ZERROW_PARAMETERS"
_FILE_BYTES_MAX = 1 << 20


def given_values(
    folder: Path, command_line: Mapping[str, str], environment: Mapping[str, str], findings: Findings
) -> dict[str, Given]:
    """All values that are given as texts, by the parameters' names."""
    given = _from_file(folder, findings)
    for variable, text in environment.items():
        if variable.startswith(VARIABLE) and len(variable) > len(VARIABLE):
            given[variable.removeprefix(VARIABLE)] = Given(text, variable)
    given |= _from_variable(environment.get(VARIABLE_FOR_ALL), findings)
    return given | {name: Given(text) for name, text in command_line.items()}


def _from_variable(text: str | None, findings: Findings) -> dict[str, Given]:
    """The values in the variable for all of them, a JSON object of texts. They may be secret: no message shows them."""
    if text is None:
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        hint = 'write {"name": "value"}'
        findings.error("bad-argument", f"the variable {VARIABLE_FOR_ALL} is no JSON object of texts", hint=hint)
        return {}
    return {name: Given(value, VARIABLE_FOR_ALL) for name, value in values.items()}


def _from_file(folder: Path, findings: Findings) -> dict[str, Given]:
    """The values in the project's own file of them. What is in it is repeated in no message: it may be secret."""
    path = folder / FILE
    if not os.path.lexists(path):
        return {}
    try:
        if not is_within(path, folder):
            raise Unreadable("it is a link that leaves the project folder")
        root = compose(read_file(path, _FILE_BYTES_MAX).decode("utf-8-sig"))
    except (Unreadable, Refused, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        why = str(error) if isinstance(error, Unreadable | Refused) else "it is no YAML"
        line = mark.line + 1 if mark else None
        findings.error("yaml", f"the parameters can't be read: {why}", file=FILE, line=line, hint="write name: value")
        return {}
    _check_that_git_ignores(folder, path, findings)
    return _values(root, findings)


def _check_that_git_ignores(folder: Path, path: Path, findings: Findings) -> None:
    rules = IgnoreRules(str(folder))
    rules.enter(str(folder))
    if not rules.ignores(str(path), is_folder=False):
        message = "git doesn't ignore this file, so secrets in it may come into the repository"
        findings.warning("parameters-tracked", message, file=FILE, hint=f"add a line {FILE} to .gitignore")


def _values(root: yaml.Node | None, findings: Findings) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode):
            given[key.value] = Given(value.value, FILE)
        else:
            line = key.start_mark.line + 1
            findings.error(
                "yaml", "a value is no single text or number", file=FILE, line=line, hint="write name: value"
            )
    if root is not None and not isinstance(root, yaml.MappingNode):
        findings.error("yaml", "the parameters must be a mapping of names to values", file=FILE, line=1)
    return given

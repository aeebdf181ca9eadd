"""The environments of a plan: which Python and which packages each model asks for, and what that is resolved to.

Nothing is resolved here: the engine does that, and is asked. Models that ask for nothing have the default environment,
the one that zerrow runs in itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zerrow.plan import pyarrow_rules
from zerrow.plan.declarations import Declaration, PythonModel
from zerrow.plan.findings import Findings, shown_value
from zerrow.plan.host_files import HostFiles
from zerrow.plan.project import Project
from zerrow.plan.requirements import OWN, BadRequirement, Requirement, RequirementsFile, requirement

DEFAULT = "default"
UNRESOLVED = "unresolved"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""The versions of Python that workers run with."""

_VERSION = re.compile(r"3(\.\d{1,2}(\.\d{1,3})?)?", re.ASCII)


class Request(NamedTuple):
    """What models ask for: equal requests, one environment."""

    python: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    hashes: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The request as the engine is asked."""
        hashes = {name: list(texts) for name, texts in self.hashes}
        lists = {"requirements": list(self.requirements), "constraints": list(self.constraints)}
        return {"python": self.python, **lists, "hashes": hashes}


@dataclass
class Environment:
    """An environment of the plan. `packages` has all of its packages; `asked` names those that models ask for.

    The id is that of its content; UNRESOLVED where that isn't known.
    """

    id: str
    python: str = ""
    version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    asked: Sequence[str] = ()

    def as_json(self, python: str, used: Iterable[str]) -> dict[str, Any]:
        """The environment as docs/plan.md has it. `python` is the default environment's interpreter, `used` are
        modules that models import, of those that may be imported before they run."""
        if self.id in (DEFAULT, UNRESOLVED):
            return {"id": self.id, "python": python, "modules": ["pyarrow", *used]}
        names = [f"{name} {self.packages[name]}" for name in self.asked if name in self.packages]
        modules = ["pyarrow", *(name for name in used if name in self.packages)]
        return {"id": self.id, "python": self.python, "modules": modules, "version": self.version, "packages": names}


class Environments:
    """The environments of a project's models. `is_to_run`: what can't be resolved now is an error in any case."""

    def __init__(self, project: Project, findings: Findings, host: HostFiles, *, is_to_run: bool) -> None:
        self._project = project
        self._findings = findings
        self._host = host
        self._is_to_run = is_to_run
        self._default = Environment(DEFAULT)
        self._requirements: list[Requirement] = []
        self._of: dict[str, Environment] = {}

    def resolve(self) -> None:
        """Finds out what each model asks for, and resolves it. What is wrong goes to the findings."""
        models: dict[Request, list[PythonModel]] = {}
        asking = [model for model in self._project.models.values() if isinstance(model, PythonModel)]
        if asking:
            self._requirements = RequirementsFile(self._project.file.folder, self._findings).read()
        for model in asking:
            request = self._request(model)
            if request is not None:
                models.setdefault(request, []).append(model)
        if not models:
            return
        first = {each: each._replace(requirements=_with_pyarrow(each.requirements)) for each in models}
        answers = self._ask(first, models)
        again = {}
        for request, answer in answers.items():
            more = pyarrow_rules.constraint_after(dict(answer["packages"]))
            if more is not None:
                again[request] = first[request]._replace(constraints=tuple(more.splitlines()))
        second = self._ask(again, models, answers)
        for request, answer in {**answers, **second}.items():
            self._take(request, answer, models[request])

    def of(self, model: Declaration) -> Environment:
        """A model's environment."""
        return self._of.get(model.name, self._default)

    @property
    def all(self) -> list[Environment]:
        """Every environment that a model of the plan has, each once, the default one first: scans run there."""
        return list({each.id: each for each in (self._default, *self._of.values())}.values())

    def _request(self, model: PythonModel) -> Request | None:
        """What a model asks for; None for nothing, and after an error."""
        declared, file = model.environment, self._project.file
        version = (declared and declared.python) or (file.python and file.python.text) or ""
        place = (model.file, declared.line) if declared and declared.python else (model.file, model.line)
        if file.python and not (declared and declared.python):
            place = (file.python.file, file.python.line)
        own = self._own(model)
        if version and not self._check_version(version, model, *place):
            return None
        # Of two that name a package the nearer one counts: the model's own, the project file's, requirements.txt.
        wanted = {each.name: each for each in (*self._requirements, *file.packages, *own) if each.name not in OWN}
        if not wanted and _is_own_python(version):
            return None
        lines = tuple(sorted(each.text for each in wanted.values()))
        hashes = tuple(sorted((each.name, each.hashes) for each in wanted.values() if each.hashes))
        reason = pyarrow_rules.refusal(lines, version or f"{sys.version_info[0]}.{sys.version_info[1]}")
        if reason is not None:
            self._error("environment", f"the environment of {model.name!r}: {reason}", model)
            return None
        return Request(version, lines, (), hashes)

    def _own(self, model: PythonModel) -> list[Requirement]:
        found = []
        for name, version in (model.environment.packages if model.environment else {}).items():
            try:
                found.append(requirement(name, version, model.file, model.environment.line))
            except BadRequirement as error:
                self._findings.error(
                    "bad-requirement",
                    f"the model {model.name!r} asks for a package that can't be: {error}",
                    model=model.name,
                    file=model.file,
                    line=model.environment.line,
                    hint=error.hint,
                )
        return found

    def _check_version(self, version: str, model: PythonModel, file: str, line: int) -> bool:
        is_version = _VERSION.fullmatch(version) is not None
        short = ".".join(version.split(".")[:2])
        if is_version and (short == "3" or short in PYTHONS):
            return True
        what = f"models can't run with Python {version}" if is_version else f"{shown_value(version)} is no version of Python"
        self._findings.error(
            "python-version",
            what,
            model=model.name,
            file=file,
            line=line,
            hint=f"versions: {', '.join(PYTHONS)}, or one such as 3.12.1",
        )
        return False

    def _ask(
        self, requests: dict[Request, Request], models: dict[Request, list[PythonModel]], before: Iterable[Request] = ()
    ) -> dict[Request, dict[str, Any]]:
        """The engine's answers, without those that are none, which are findings. What was resolved `before`, without
        constraints, may stay as it is if there is no other solution: its own problem is the one to tell then."""
        answers = self._host.environments([each.as_json() for each in requests.values()]) if requests else []
        found = {}
        for request, answer in zip(requests, answers, strict=True):
            if "problem" not in answer:
                found[request] = answer
            elif request not in before or answer["problem"] == "offline":
                self._note(answer, models[request])
        return found

    def _note(self, answer: dict[str, Any], models: list[PythonModel]) -> None:
        """Says why models have no environment."""
        problem, text = answer["problem"], answer["text"]
        if problem == "offline" and not self._is_to_run:
            model = models[0]
            names = ", ".join(repr(each.name) for each in models[:3]) + (" and others" if len(models) > 3 else "")
            why = answer.get("short", "the index of packages can't be reached, and they were never resolved before")
            message = f"the packages of {names} aren't resolved: {why}"
            line = model.environment.line if model.environment else model.line
            self._findings.warning("environment-unresolved", message, file=model.file, line=line)
            for each in models:
                self._of[each.name] = Environment(UNRESOLVED)
            return
        code, hint = {
            "python": ("python-version", "ask for one of these, or install it ('uv python install', pyenv, or a package)"),
            "offline": ("environment", "run it once where the index can be reached; after that it runs without"),
            "unavailable": ("environment", None),
        }.get(problem, ("environment", None))
        for model in models:
            self._error(code, f"the environment of {model.name!r} can't be made: {text}", model, hint)

    def _error(self, code: str, message: str, model: PythonModel, hint: str | None = None) -> None:
        line = model.environment.line if model.environment else model.line
        self._findings.error(code, message, model=model.name, file=model.file, line=line, hint=hint)

    def _take(self, request: Request, answer: dict[str, Any], models: list[PythonModel]) -> None:
        packages = {name: version for name, version in answer["packages"]}
        if (reason := pyarrow_rules.problem(packages)) is not None:
            for model in models:
                self._error("environment", f"the environment of {model.name!r} can't be used: {reason}", model)
            return
        asked = list(dict.fromkeys([*(_name(each) for each in request.requirements), "pyarrow"]))
        environment = Environment(answer["id"], answer["python"], answer["version"], packages, asked)
        for model in models:
            self._of[model.name] = environment


def _with_pyarrow(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """The same with the pyarrow that workers need."""
    return tuple(sorted({*requirements, *pyarrow_rules.additions(requirements)}))


def _name(text: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]


def _is_own_python(version: str) -> bool:
    """Whether a version, which may be a part of one, is that of the default environment."""
    return not version or f"{sys.version.split()[0]}.".startswith(f"{version}.")

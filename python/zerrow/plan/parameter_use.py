"""The parameters that models read, checked against those that the project and its caller give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zerrow.plan.declarations import Declaration, ParameterArgument, PythonModel, TableArgument
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean
from zerrow.plan.parameter_sources import FILE, VARIABLE
from zerrow.plan.parameters import Given, names_parameter
from zerrow.plan.project import Project


def check_given(project: Project, given: Mapping[str, Given], findings: Findings) -> None:
    """Reports values that were given for parameters which are neither declared nor read by a model.

    Those of the environment may be for other projects.
    """
    for name, value in given.items():
        if name in project.file.parameters or value.where.startswith(VARIABLE) or _is_read(project, name):
            continue
        message = f"the project has no parameter {name!r}"
        hint = did_you_mean(name, project.file.parameters, "parameters")
        if value.where == FILE:
            findings.warning("unknown-parameter", message, file=FILE, hint=hint)
        else:
            findings.error("unknown-parameter", message, file=project.file.file, hint=hint)


def check_read(project: Project, findings: Findings) -> None:
    """Reports parameters that models read and nobody has given a value, and secrets where they can't be."""
    for model in project.models.values():
        for name, line in _named(model):
            if name not in project.parameters:
                hint = f"{did_you_mean(name, project.parameters, 'parameters')} Else give it as --param {name}=…"
                _error(findings, "unknown-parameter", f"the project has no parameter {name!r}", model, line, hint)
            elif name in project.secrets and project.parameters[name] is None:
                hint = f"give it in the variable {VARIABLE}{name}, in a file {FILE} that git ignores, or with --param"
                message = f"the secret {name!r} has no value: its default is of use to Bauplan only"
                _error(findings, "missing-parameter", message, model, line, hint)
        for argument in model.arguments if isinstance(model, PythonModel) else ():
            if isinstance(argument, TableArgument):
                _check_filter(argument, model, project, findings)


def _check_filter(argument: TableArgument, model: PythonModel, project: Project, findings: Findings) -> None:
    for name in sorted(project.secrets):
        if argument.filter is not None and names_parameter(argument.filter, name):
            message = f"the filter of {argument.argument!r} names the secret {name!r}, and filters are shown"
            hint = "compare with it in the model's own code"
            _error(findings, "secret-in-filter", message, model, argument.filter_line, hint)


def _named(model: Declaration) -> Iterator[tuple[str, int]]:
    """The parameters that a model gets as values, with the lines where it names them."""
    if not isinstance(model, PythonModel):
        yield from ((name, model.line) for name in model.secrets)
        return
    for argument in model.arguments:
        if isinstance(argument, ParameterArgument):
            yield argument.parameter, argument.line


def _is_read(project: Project, name: str) -> bool:
    for model in project.models.values():
        if not isinstance(model, PythonModel):
            if names_parameter(model.written, name):
                return True
            continue
        for argument in model.arguments:
            if isinstance(argument, ParameterArgument) and argument.parameter == name:
                return True
            if isinstance(argument, TableArgument) and names_parameter(argument.filter or "", name):
                return True
    return False


def _error(findings: Findings, code: str, message: str, model: Declaration, line: int, hint: str) -> None:
    findings.error(code, message, model=model.name, file=model.file, line=line, hint=hint)

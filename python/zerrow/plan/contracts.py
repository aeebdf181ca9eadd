"""Schemas in declarations: which class a name in a file means, and what models so take and promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from zerrow.plan.declarations import Declaration, PythonModel, TableArgument
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean
from zerrow.plan.python_file import PythonFile
from zerrow.plan.schemas import Schema

_STEPS_MAX = 32
"""A name that is passed on through more files than this is followed no further."""


def resolve_schemas(models: Iterable[Declaration], files: Mapping[str, PythonFile], findings: Findings) -> None:
    """Gives models the schemas that they name. `files` has the project's Python files by name."""
    for model in models:
        if isinstance(model, PythonModel):
            model.arguments = [
                _projected(each, model, files, findings) if isinstance(each, TableArgument) else each
                for each in model.arguments
            ]
        returns = model.promise.returns
        if returns is None:
            continue
        found = _found_in(files[model.file], returns, files) if isinstance(model, PythonModel) else None
        if not isinstance(model, PythonModel):
            every = [file.schemas[returns] for file in files.values() if returns in file.schemas]
            found = every[0] if len(every) == 1 else None
        if found is None:
            _unknown(model, f'returns unknown schema "{returns}"', returns, model.promise.line, files, findings)
        model.promise.contract = found


def _projected(
    argument: TableArgument, model: PythonModel, files: Mapping[str, PythonFile], findings: Findings
) -> TableArgument:
    """The argument with its schema and the columns of that, but for those that `columns` leaves out as well."""
    if argument.projection is None:
        return argument
    schema = _found_in(files[model.file], argument.projection, files)
    if schema is None:
        what = f"takes {argument.table!r} with the unknown schema {argument.projection!r}"
        _unknown(model, what, argument.projection, argument.line, files, findings)
        return argument
    taken = tuple(each for each in schema.columns if argument.columns is None or each.name in argument.columns)
    columns = argument.columns or tuple(column.name for column in schema.columns)
    return replace(argument, columns=columns, contract=replace(schema, columns=taken))


def _found_in(file: PythonFile, name: str, files: Mapping[str, PythonFile], steps: int = 0) -> Schema | None:
    """The schema that a name means in a file, through the project's modules at its top."""
    if name in file.schemas or steps > _STEPS_MAX:
        return file.schemas.get(name)
    first, _, rest = name.partition(".")
    if rest:
        other = files.get(f"{file.modules.get(first, first)}.py")
        return None if other is None else _found_in(other, rest, files, steps + 1)
    places = [file.imported[name]] if name in file.imported else [(module, name) for module in file.stars]
    for module, original in places:
        other = files.get(f"{module}.py")
        if other is not None and (found := _found_in(other, original, files, steps + 1)):
            return found
    return None


def _unknown(
    model: Declaration, what: str, name: str, line: int, files: Mapping[str, PythonFile], findings: Findings
) -> None:
    known = {schema for file in files.values() for schema in file.schemas}
    findings.error(
        "unknown-schema",
        f"the model {model.name!r} {what}",
        model=model.name,
        file=model.file,
        line=line,
        hint=did_you_mean(name, known, "classes that derive from TableSchema themselves"),
    )

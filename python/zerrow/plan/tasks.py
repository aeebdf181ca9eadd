"""The tasks that workers read: what each model of a plan is to do (docs/plan.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zerrow.plan.declarations import Declaration, ParameterArgument, Promise, PythonModel, SqlModel
from zerrow.plan.inputs import Input
from zerrow.plan.package_advice import package_advice
from zerrow.plan.project import Project

if TYPE_CHECKING:
    from zerrow.plan.scans import Scan
    from zerrow.plan.schemas import Schema

HIDDEN = "***"
"""In the place of a secret's value."""


def scan_task(scan: Scan) -> dict[str, Any]:
    """The task of a scan."""
    source, columns = scan.source, scan.columns
    return {
        "kind": "scan",
        "table": source.declaration.name,
        "files": list(source.files),
        "identities": list(source.identities),
        "schema": source.schema,
        **({"partitions": source.partitions} if source.partitions else {}),
        "columns": None if columns is None else list(columns),
        "filter": None if scan.filter is None else scan.filter.as_json(),
        "dictionary": [name for name in source.dictionary if columns is None or name in columns],
    }


def model_task(model: Declaration, inputs: list[Input], project: Project, planned_ns: int) -> dict[str, Any]:
    """The task of a model. `planned_ns` is when planning began."""
    if isinstance(model, SqlModel):
        return _sql_task(model, inputs, project)
    return _python_task(model, inputs, project, planned_ns)


def _python_task(model: PythonModel, inputs: list[Input], project: Project, planned_ns: int) -> dict[str, Any]:
    tables = iter(enumerate(inputs))
    arguments: list[dict[str, Any]] = []
    for argument in model.arguments:
        if isinstance(argument, ParameterArgument):
            value = project.parameters[argument.parameter]
            # A number with a point stays one, in whatever JSON it passes through.
            typed = {"value": repr(value), "type": "float"} if isinstance(value, float) else {"value": value}
            secret = {"secret": True} if argument.parameter in project.secrets else {}
            arguments.append({"name": argument.argument, **typed, **secret})
        else:
            held = {} if argument.contract is None else {"contract": _contract(argument.contract)}
            is_lenient = held and model.promise.is_strict is False
            arguments.append({**_table_argument(*next(tables)), **held, **({"strict": False} if is_lenient else {})})
    return {
        "kind": "python",
        "model": model.name,
        "folder": str(project.file.folder),
        "planned_ns": planned_ns,
        "file": model.file,
        "line": model.line,
        "function": model.function,
        "package_advice": package_advice(model, project),
        **({"expectation": True, "strict": model.promise.is_strict is not False} if model.is_expectation else {}),
        "columns": None,
        **_promised(model.promise),
        **_described(model.doc, model.promise.contract),
        "arguments": arguments,
    }


def _sql_task(model: SqlModel, inputs: list[Input], project: Project) -> dict[str, Any]:
    secrets = {name: project.parameters[name] for name in model.secrets}
    return {
        "kind": "sql",
        "model": model.name,
        "file": model.file,
        "line": model.line,
        "sql": model.text,
        "engine": model.engine,
        **_promised(model.promise),
        **_described(None, model.promise.contract),
        **({"secrets": secrets} if secrets else {}),
        "arguments": [_table_argument(index, input_) for index, input_ in enumerate(inputs)],
    }


def _promised(promise: Promise) -> dict[str, Any]:
    """What a task says of the result; nothing of a result that may be anything."""
    if promise.columns is None and promise.contract is None:
        return {}
    said: dict[str, Any] = {"columns": None if promise.columns is None else list(promise.columns)}
    if promise.is_strict is not None:
        said["strict"] = promise.is_strict
    if promise.contract is not None:
        said["contract"] = _contract(promise.contract)
    return said


def _described(doc: str | None, schema: Schema | None) -> dict[str, Any]:
    """What people are told of a table and its columns; nothing where nothing is said."""
    table = doc or (schema.doc if schema else None)
    columns = {column.name: column.doc for column in (schema.columns if schema else ()) if column.doc}
    said = {**({"table": table} if table else {}), **({"columns": columns} if columns else {})}
    return {"doc": said} if said else {}


def _contract(schema: Schema) -> dict[str, Any]:
    columns = [{"name": column.name, "type": column.type, "nullable": column.is_nullable} for column in schema.columns]
    return {"schema": schema.name, "columns": columns}


def _table_argument(index: int, input_: Input) -> dict[str, Any]:
    columns = None if input_.columns is None else list(input_.columns)
    return {
        "name": input_.argument,
        "input": index,
        "table": input_.table,
        "columns": columns,
        "filter": None if input_.filter is None else input_.filter.as_json(),
        **({"stream": True} if input_.is_streamed else {}),
    }


def hide_secrets(planned: list[dict[str, Any]]) -> None:
    """Takes the values of secrets out of a plan that is made to be looked at."""
    for entry in planned:
        task = entry["task"]
        for argument in task.get("arguments", ()):
            if argument.get("secret"):
                argument["value"] = HIDDEN
        if "secrets" in task:
            task["secrets"] = dict.fromkeys(task["secrets"], HIDDEN)

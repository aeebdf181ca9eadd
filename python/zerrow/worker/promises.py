"""What a model says of its inputs and of its result, held against the tables that came in and out."""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.view_types import is_binary_view, is_string_view

INPUT_ERROR = "ModelInputContractError"
CONTRACT_ERROR = "ModelOutputContractError"


def check_promise(table: pa.Table, task: dict[str, Any]) -> str | None:
    """Hold a result to the columns and the schema that its task names.

    Raises WorkerFailure of kind `result` where the task is strict; else what differs is told on stderr, and in short
    given back.
    """
    problem = columns_problem(table, task.get("columns"), exactly=task.get("strict") is not None)
    if problem is None and task.get("contract") is not None:
        problem = contract_problem(table, task["contract"])
    if problem is None:
        return None
    if task.get("strict", True):
        raise WorkerFailure("result", problem)
    print(f"warning: {problem}", file=sys.stderr)
    return problem.splitlines()[0]


def check_input(table: pa.Table, argument: dict[str, Any]) -> str | None:
    """Hold an input to the schema that its argument is declared with, if it is.

    Raises WorkerFailure of kind `input` where the model is strict; else what differs is told on stderr, and in short
    given back.
    """
    contract = argument.get("contract")
    if contract is None:
        return None
    name = argument.get("table") or argument["name"]
    what = f"{INPUT_ERROR}: the table {name!r} is not as the schema {contract['schema']} of {argument['name']!r} says"
    problem = contract_problem(table, contract, what)
    if problem is None:
        return None
    if argument.get("strict", True):
        raise WorkerFailure("input", problem)
    print(f"warning: {problem}", file=sys.stderr)
    return problem.splitlines()[0]


def columns_problem(table: pa.Table, declared: list[str] | None, exactly: bool) -> str | None:
    """What is wrong with a result's columns; None if nothing is. Unless they have to be `exactly` those that are
    declared, one too many is told on stderr and no more."""
    if declared is None or "*" in declared:
        return None
    found = table.column_names
    missing = [name for name in declared if name not in found]
    extra = [name for name in found if name not in declared]
    has = f"the result has {', '.join(found) or 'no column'}"
    if missing and not exactly:
        return f"the model declares the column {missing[0]!r}, but {has}"
    if extra and not exactly:
        print(f"the result has columns that the model does not declare: {', '.join(extra)}", file=sys.stderr)
    elif missing or extra:
        return f"the model declares the columns {', '.join(declared)}, but {has}"
    return None


def contract_problem(table: pa.Table, contract: dict[str, Any], what: str | None = None) -> str | None:
    """How a table differs from a schema, expected and found side by side below the text `what`; None if it does not.

    Without a text it is a result that differs from the schema which its model returns.
    """
    expected = {column["name"]: column for column in contract["columns"]}
    rows, differs = [], False
    for name in dict.fromkeys([*expected, *table.column_names]):
        wanted = _wanted(expected.get(name))
        found, is_right = _found(table, name, expected.get(name))
        differs = differs or not is_right
        rows.append(("" if is_right else "!", name, wanted, found))
    if not differs:
        return None
    widths = [max(len(row[part]) for row in [*rows, ("", "column", "expected", "found")]) for part in range(3)]
    lines = [_line(row, widths) for row in [("", "column", "expected", "found"), *rows]]
    wrong = ", ".join(row[1] for row in rows if row[0])
    what = what or f"{CONTRACT_ERROR}: the result is not as the schema {contract['schema']} says"
    return "\n".join([f"{what}: {wrong}", *lines])


def _wanted(column: dict[str, Any] | None) -> str:
    if column is None:
        return "(none)"
    return (column["type"] or "any type") + ("" if column["nullable"] else ", no nulls")


def _found(table: pa.Table, name: str, column: dict[str, Any] | None) -> tuple[str, bool]:
    """A column of the result as text, and whether it is as wanted."""
    index = table.schema.get_field_index(name)
    if index < 0:
        return "(missing)", False
    kind, nulls = table.schema.field(index).type, table.column(index).null_count
    text = _type_name(kind)
    if nulls:
        text += f", {nulls} null" + ("s" if nulls > 1 else "")
    if column is None:
        return text, False
    is_right = column["type"] in (None, _type_name(kind)) and (column["nullable"] or nulls == 0)
    return text, is_right


def _type_name(kind: pa.DataType) -> str:
    """Arrow's name of a type. Ways to lay out the same values have one name, and so have the names of UTC."""
    if pa.types.is_dictionary(kind):
        return _type_name(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_string_view(kind):
        return "string"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or is_binary_view(kind):
        return "binary"
    if pa.types.is_timestamp(kind) and kind.tz in ("+00:00", "Etc/UTC", "Z"):
        return str(pa.timestamp(kind.unit, "UTC"))
    return str(kind)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    mark, name, wanted, found = row
    return f"  {mark:<{widths[0]}} {name:<{widths[1]}}  {wanted:<{widths[2]}}  {found}".rstrip()

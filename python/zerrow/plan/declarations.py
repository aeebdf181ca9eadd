"""The facts about a model that its own file alone tells, before names are resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TableArgument:
    """A function's argument that is a table. `columns` of None means all; lines are the file's, from 1."""

    argument: str
    table: str
    columns: tuple[str, ...] | None
    filter: str | None
    line: int
    filter_line: int


@dataclass(frozen=True)
class ParameterArgument:
    """A function's argument that is a parameter of the project."""

    argument: str
    parameter: str
    line: int


@dataclass
class Limits:
    """The limits that a model asks the engine for. None: the engine decides.

    `is_cached`: its result may be kept for later runs. `is_always_cached`: it says so, whatever it asks the world.
    """

    internet_access: bool = False
    memory_bytes_max: int | None = None
    timeout_s: float | None = None
    is_cached: bool = True
    is_always_cached: bool = False


@dataclass
class PythonModel:
    """A function declared as a model. `line` is that of its `def`."""

    name: str
    file: str
    line: int
    function: str
    arguments: list[TableArgument | ParameterArgument]
    columns: tuple[str, ...] | None
    limits: Limits


@dataclass
class SqlModel:
    """A SQL file. `tree` is its one query as sqlglot sees it; `text` has parameters replaced and lines kept.

    `written` is the text as it is in the file.
    `tables` holds the tables it reads, by the name the query's text gives them, with the line of their first use.
    """

    name: str
    file: str
    line: int
    written: str
    text: str
    engine: str
    limits: Limits
    tree: Any
    tables: dict[str, int] = field(default_factory=dict)


Declaration = PythonModel | SqlModel


def tables_read(model: Declaration) -> dict[str, int]:
    """The tables a model reads, each with the line that first names it."""
    if not isinstance(model, PythonModel):
        return model.tables
    lines: dict[str, int] = {}
    for argument in model.arguments:
        if isinstance(argument, TableArgument):
            lines.setdefault(argument.table, argument.line)
    return lines


_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def memory_bytes(value: object) -> int | None:
    """Bytes of a memory limit: an int, or a text such as "512M" or "2 GiB" (powers of 1024); None if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 < value < 2**63 else None
    if not isinstance(value, str):
        return None
    text = value.strip().upper().removesuffix("IB").removesuffix("B").strip()
    unit = text[-1:] if text[-1:].isalpha() else ""
    number = text.removesuffix(unit).strip()
    if unit not in _UNITS or not number.replace(".", "", 1).isdecimal() or not number.isascii():
        return None
    bytes_ = int(float(number) * _UNITS[unit])
    return bytes_ if 0 < bytes_ < 2**63 else None


def is_cached(value: object) -> bool | None:
    """Whether a `cache_strategy` lets results be kept: yes for "DEFAULT", no for "NONE"; None if it is neither."""
    return {"DEFAULT": True, "NONE": False}.get(value.upper()) if isinstance(value, str) else None

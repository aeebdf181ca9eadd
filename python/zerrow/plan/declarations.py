"""The facts about a model that its own file alone tells, before names are resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zerrow.plan.schemas import Schema


@dataclass(frozen=True)
class TableArgument:
    """A function's argument that is a table. `columns` of None means all; lines are the file's, from 1.

    `projection` names the schema whose columns are meant, as the file writes it; `contract` is that schema once it is
    resolved, and the table that is passed is held to it. One that `is_streamed` comes as a reader of batches.
    """

    argument: str
    table: str
    columns: tuple[str, ...] | None
    filter: str | None
    line: int
    filter_line: int
    projection: str | None = None
    contract: Schema | None = None
    is_streamed: bool = False


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


STRATEGIES = ("NONE", "REPLACE", "APPEND", "OVERWRITE_PARTITIONS")
"""How a model's table is kept for others than the run."""


@dataclass(frozen=True)
class Materialization:
    """How a model asks for its table to be kept. `strategy` is one of STRATEGIES; lines are the file's."""

    strategy: str = "NONE"
    partitioned_by: tuple[str, ...] = ()
    overwrite_filter: str | None = None
    line: int = 1
    partitions_line: int = 1
    filter_line: int = 1


@dataclass(frozen=True)
class EnvironmentRequest:
    """The Python and the packages that a model asks for; None and nothing: those of the project."""

    python: str | None
    packages: dict[str, str]
    line: int


@dataclass
class Promise:
    """What a model says of its result.

    `columns` are their names; `returns` is the schema, as the file writes its name, and `contract` that schema once it
    is resolved. `is_strict` tells whether a result that differs fails the model: None where a missing column does, and
    one too many is only told.
    """

    columns: tuple[str, ...] | None = None
    returns: str | None = None
    line: int = 1
    contract: Schema | None = None
    is_strict: bool | None = None

    @property
    def known_columns(self) -> dict[str, str | None] | None:
        """The columns that readers can rely on, each with a kind of None; None where nothing is certain."""
        if self.is_strict is False:
            return None
        if self.contract is not None:
            return dict.fromkeys(column.name for column in self.contract.columns)
        return None if self.columns is None else dict.fromkeys(self.columns)


@dataclass
class PythonModel:
    """A function declared as a model, or as an expectation. `line` is that of its `def`.

    `family` is the module whose rules hold for it; `doc` is the function's docstring.
    """

    name: str
    file: str
    line: int
    function: str
    arguments: list[TableArgument | ParameterArgument]
    promise: Promise
    limits: Limits
    family: str = "zerrow"
    is_expectation: bool = False
    materialization: Materialization = Materialization()
    environment: EnvironmentRequest | None = None
    doc: str | None = None
    tags: tuple[str, ...] = ()


@dataclass
class SqlModel:
    """A SQL file. `tree` is its one query as sqlglot sees it; `text` has parameters replaced and lines kept.

    `written` is the text as it is in the file.
    `tables` holds the tables it reads, by the name the query's text gives them, with the line of their first use;
    `meaning` the names of the models and sources that these are, where they differ. `secrets` are the parameters whose
    values are not in `text`.
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
    promise: Promise = field(default_factory=Promise)
    materialization: Materialization = Materialization()
    meaning: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def table(self, written: str) -> str:
        """The model or source that a name in the query's text means."""
        return self.meaning.get(written, written)


Declaration = PythonModel | SqlModel


def tables_read(model: Declaration) -> dict[str, int]:
    """The tables a model reads, each with the line that first names it."""
    lines: dict[str, int] = {}
    if not isinstance(model, PythonModel):
        for written, line in model.tables.items():
            lines.setdefault(model.table(written), line)
        return lines
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
    bytes_ = float(number) * _UNITS[unit]
    return int(bytes_) if 1 <= bytes_ < 2**63 else None


def seconds(value: object) -> float | None:
    """A time limit, which is a positive number that is finite as a float; None if it is none."""
    found = finite(value)
    return found if found is not None and found > 0 else None


def finite(value: object) -> float | None:
    """A number as a float; None for what is no number, or is one that no float is near to."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int of hundreds of digits
        return None


def is_cached(value: object) -> bool | None:
    """Whether a `cache_strategy` lets results be kept: yes for "DEFAULT", no for "NONE"; None if it is neither."""
    return {"DEFAULT": True, "NONE": False}.get(value.upper()) if isinstance(value, str) else None

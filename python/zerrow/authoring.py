"""The declarations that a project's Python files make about their models.

The planner reads these declarations from the source without importing it. When a worker does import the file, the
decorator returns the function as it is, and `Model` and `Parameter` are small values that only mark their argument:
a function can still be called, and tested, with tables of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def model(
    name: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    internet_access: bool = False,
    memory: int | str | None = None,
    timeout: float | None = None,
    cache_strategy: str | None = None,
) -> Callable[[Function], Function]:
    """Declares the function below as a model: a table made from its inputs.

    `name` is the table's name (the function's, by default); `columns` the names of the columns it returns, which lets
    the planner check its readers; `internet_access` opens the network to it; `memory` limits its memory, in bytes or
    as a text such as "2G"; `timeout` limits its time, in seconds; `cache_strategy="NONE"` has it run in every run; by
    default its result is kept, and given again while nothing that it depends on has changed.

    All arguments have to be literals.
    """
    if callable(name):
        raise TypeError("write @zerrow.model() with its parentheses")

    def declare(function: Function) -> Function:
        return function

    return declare


class Model:
    """Marks an argument as a table: another model of the project, or one of its sources.

    `columns` selects columns, in that order; `filter` keeps the rows for which a SQL predicate is true, in which
    `$name` stands for a parameter. For a source both are pushed down into its scan.
    """

    __slots__ = ("columns", "filter", "name")

    if TYPE_CHECKING:
        # A type checker is to see the table that a run passes, not this mark.
        def __new__(cls, name: str, columns: Sequence[str] | None = None, filter: str | None = None) -> Any: ...

    def __init__(self, name: str, columns: Sequence[str] | None = None, filter: str | None = None) -> None:
        self.name = name
        self.columns = columns
        self.filter = filter

    def __repr__(self) -> str:
        return f"zerrow.Model({self.name!r})"


class Parameter:
    """Marks an argument as a parameter of the project: a plain int, float, bool or str."""

    __slots__ = ("name",)

    if TYPE_CHECKING:
        # As for Model: what arrives is the parameter's value.
        def __new__(cls, name: str) -> Any: ...

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"zerrow.Parameter({self.name!r})"

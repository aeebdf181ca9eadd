"""The declarations that a project's Python files make about their models.

The planner reads these declarations from the source without importing it. When a worker does import the file, the
decorators return the function as it is, and `Model` and `Parameter` are small values that only mark their argument: a
function can still be called, and tested, with tables of one's own.

Whatever else a declaration is given is accepted here, because the planner has judged it before anything ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

Function = TypeVar("Function", bound=Callable[..., Any])

ModelCacheStrategy = Literal["NONE", "DEFAULT"]
ModelMaterializationStrategy = Literal["NONE", "REPLACE", "APPEND", "OVERWRITE_PARTITIONS"]


def _as_it_is(function: Function) -> Function:
    return function


def _check_parentheses(first: object, decorator: str) -> None:
    if callable(first):
        raise TypeError(f"write @zerrow.{decorator}() with its parentheses")


def model(
    name: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    internet_access: bool = False,
    memory: int | str | None = None,
    timeout: float | None = None,
    cache_strategy: str | None = None,
    materialization_strategy: str | None = None,
    partitioned_by: str | Sequence[str] | None = None,
    overwrite_filter: str | None = None,
    tags: str | Sequence[str] | None = None,
    **others: Any,
) -> Callable[[Function], Function]:
    """Declares the function below as a model: a table made from its inputs.

    `name` is the table's name (the function's, by default); `columns` the names of the columns it returns, which lets
    the planner check its readers; `internet_access` opens the network to it; `memory` limits its memory, in bytes or
    as a text such as "2G"; `timeout` limits its time, in seconds; `cache_strategy="NONE"` has it run in every run; by
    default its result is kept, and given again while nothing that it depends on has changed.
    `materialization_strategy` ("NONE", "REPLACE", "APPEND" or "OVERWRITE_PARTITIONS"), `partitioned_by` and
    `overwrite_filter` say how its table is kept for others than the run. `tags` are words to select it by
    (`zerrow run --select tag:daily`).

    All arguments have to be literals.
    """
    _check_parentheses(name, "model")
    return _as_it_is


def python(
    version: str | None = None, pip: Mapping[str, str] | None = None, **others: Any
) -> Callable[[Function], Function]:
    """Says which Python the function below runs with, and which packages by name and version."""
    _check_parentheses(version, "python")
    return _as_it_is


def expectation(first: object = None, **others: Any) -> Callable[[Function], Function]:
    """Declares the function below as an expectation: it looks at its inputs and returns whether they are as they
    should be."""
    _check_parentheses(first, "expectation")
    return _as_it_is


def resources(
    cpus: int | None = None,
    memory: int | str | None = None,
    memory_swap: int | str | None = None,
    timeout: float | None = None,
    **others: Any,
) -> Callable[[Function], Function]:
    """Limits the memory, in bytes or as a text such as "2G", and the time, in seconds, of the model below.

    A model has the processors that the engine grants it, so `cpus` and `memory_swap` say nothing here.
    """
    _check_parentheses(cpus, "resources")
    return _as_it_is


def extras(*names: str) -> Callable[[Function], Function]:
    """Names optional parts of Bauplan that older projects ask for; it says nothing here."""
    _check_parentheses(names[0] if names else None, "extras")
    return _as_it_is


if TYPE_CHECKING:
    import pyarrow as pa

    # A type checker is to see the table that a run passes, not the mark.
    @overload
    def Model(
        name: str, columns: Any = None, filter: str | None = None, *, stream: Literal[True], **others: Any
    ) -> pa.RecordBatchReader: ...

    @overload
    def Model(
        name: str, columns: Any = None, filter: str | None = None, *, stream: Literal[False] = False, **others: Any
    ) -> pa.Table: ...

    def Model(name: str, columns: Any = None, filter: str | None = None, **others: Any) -> Any:
        """Marks an argument as a table: another model of the project, or one of its sources.

        `columns` selects columns, in that order; `filter` keeps the rows for which a SQL predicate is true, in which
        `$name` stands for a parameter. For a source both are pushed down into its scan. `projection_schema` is a
        TableSchema whose columns are selected. With `stream` the argument is no table but a `pyarrow.RecordBatchReader`
        over the same rows, which takes the memory of some batches, however large the table is.
        """

else:

    class Model:
        """Marks an argument as a table: another model of the project, or one of its sources.

        `columns` selects columns, in that order; `filter` keeps the rows for which a SQL predicate is true, in which
        `$name` stands for a parameter. For a source both are pushed down into its scan. `projection_schema` is a
        TableSchema whose columns are selected. With `stream` the argument is no table but a `pyarrow.RecordBatchReader`
        over the same rows, which takes the memory of some batches, however large the table is.
        """

        __slots__ = ("columns", "filter", "name", "projection_schema", "stream")

        def __init__(
            self,
            name: str,
            columns: Any = None,
            filter: str | None = None,
            *more: Any,
            projection_schema: Any = None,
            stream: bool = False,
            **others: Any,
        ) -> None:
            # Bauplan's newer spelling has the schema in the place of the columns.
            is_schema = isinstance(columns, type)
            self.name = name
            self.columns = None if is_schema else columns
            self.filter = filter
            self.stream = stream
            self.projection_schema = columns if is_schema else projection_schema

        def __repr__(self) -> str:
            return f"zerrow.Model({self.name!r})"


if TYPE_CHECKING:

    class _AnyParameter:
        """Marks an argument as a parameter of the project: a plain int, float, bool or str."""

        # As for Model: what arrives is the parameter's value, whatever type its argument says.
        def __call__(self, name: str, **others: Any) -> Any: ...

        def __getattr__(self, name: str) -> Any: ...

    Parameter: _AnyParameter

else:

    class _Parameters(type):
        """Lets `Parameter.rate` stand for `Parameter("rate")`, which is an older spelling."""

        def __getattr__(cls, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return cls(name)

    class Parameter(metaclass=_Parameters):
        """Marks an argument as a parameter of the project: a plain int, float, bool or str."""

        __slots__ = ("name",)

        def __init__(self, name: str, *more: Any, **others: Any) -> None:
            self.name = name

        def __repr__(self) -> str:
            return f"zerrow.Parameter({self.name!r})"

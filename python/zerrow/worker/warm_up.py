"""The work of a zygote before it forks, which no worker then has to do: imports and first uses, without starting
threads."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable

from zerrow.worker import warm_duckdb
from zerrow.worker.process import thread_count


class StartsThreads(Exception):
    """A module has started threads: whoever has imported it can't be forked. Its name is the argument."""


def warm_up(modules: Iterable[str]) -> list[str]:
    """Import the modules, make each one's cheap first uses, and give the names of those that are there.

    A module that is missing is skipped. One that breaks while it is imported is named on stderr and skipped: a model
    that needs it will show the error as its own. Raises StartsThreads where one can't be imported before a fork: which
    versions of a library can, nobody says.
    """
    loaded = []
    before = thread_count()
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and name.startswith(error.name):
                continue
            print(f"zygote: {name} cannot be imported: {error}", file=sys.stderr)
            continue
        except Exception as error:
            print(f"zygote: {name} cannot be imported: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        if thread_count() > before:
            raise StartsThreads(name)
        loaded.append(name)
    use_pyarrow()
    for name in loaded:
        if name not in FIRST_USES:
            continue
        try:
            FIRST_USES[name]()
        except Exception as error:
            # Another version of a library than those that this was written for; models may be able to use it.
            print(f"zygote: {name} is not as expected: {type(error).__name__}: {error}", file=sys.stderr)
        if thread_count() > before:
            raise StartsThreads(name)
    return loaded


def use_pyarrow() -> None:
    """Compute functions are registered, and their Python wrappers made, at first use."""
    import pyarrow as pa
    import pyarrow.acero
    import pyarrow.compute as pc

    table = pa.table({"a": [1, 2], "s": ["x", "y"]})
    table.append_column("b", pc.add(table["a"], 1)).filter(pa.array([True, False]))
    pc.sum(table["a"])
    table.to_pylist()


def _use_pandas() -> None:
    # It registers its extension types late: a table that is opened before would have their storage.
    import pandas.core.arrays.arrow.extension_types  # noqa: F401
    import pyarrow as pa

    _use_numpy()
    frame = pa.table({"a": [1, 2], "s": ["x", "y"]}).to_pandas(use_threads=False)
    pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)


def _use_polars() -> None:
    import polars as pl
    import pyarrow as pa

    # Building a frame from a table would start the thread pool.
    pl.from_arrow(pa.array([1, 2]))


def _use_datafusion() -> None:
    import datafusion

    from zerrow.worker.predicate import context_of

    datafusion.SessionContext()
    for cpus in {1, os.cpu_count() or 1}:
        context_of(cpus)


def _use_numpy() -> None:
    """Its generator is seeded when it is imported, which no model asks for."""
    import numpy.random  # noqa: F401


FIRST_USES: dict[str, Callable[[], None]] = {
    "numpy": _use_numpy,
    "pandas": _use_pandas,
    "polars": _use_polars,
    "datafusion": _use_datafusion,
    "duckdb": warm_duckdb.open_default,
}

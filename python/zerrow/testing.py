"""Tests of single models: `run_model` runs one as a run would, on tables that the test makes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerrow.client.run import RunError
from zerrow.client.starting import run
from zerrow.errors import ZerrowError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RunError", "run_model"]


def run_model(
    project: str | os.PathLike[str],
    name: str,
    inputs: Mapping[str, Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    strict: bool | None = None,
    timeout: float | None = None,
) -> pa.Table:
    """Run one model of a project on tables of a test, and return what it gives.

    The model runs as in any run: isolated, in its own environment, with the columns and the filter that it declares for
    each input, and with its promises and the expectations about it checked; nothing is published. `inputs` has tables
    by the names that the model reads: a table or batch of pyarrow, a data frame of pandas or polars, a dict of columns,
    a list of rows as dicts, or whatever else gives Arrow data. They take the place of the sources and models of these
    names, with the types that they have. What is not given is read, or made, as in any run. `parameters`, `namespace`,
    `strict` and `timeout` are those of `zerrow.run`.

    Raises RunError, with the model's traceback, where the model fails or breaks a promise. Raises ZerrowError for an
    input that can be no table, and for a model that gives none.
    """
    with tempfile.TemporaryDirectory(prefix="zerrow-inputs-") as folder:
        paths = {table: _write(table, value, Path(folder)) for table, value in (inputs or {}).items()}
        done = run(
            project,
            select=name,
            replace=paths,
            parameters=parameters,
            namespace=namespace,
            strict=strict,
            timeout=timeout,
            cache=False,
            dry_run=True,
            progress=False,
        )
    if name not in done.tables:
        raise ZerrowError(f"{name!r} gives no table", model=name, hint="expectations don't: test what they expect")
    return done.tables[name]


def _write(name: str, value: Any, folder: Path) -> Path:
    """The Parquet file of an input. The engine reads it as any source, with what the model declares."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = _table(value)
        path = folder / f"{len(list(folder.iterdir()))}.parquet"
        pq.write_table(table, path, compression="none")
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ZerrowError(f"the input {name!r} can't be written as a table: {error}", code="input") from error
    return path


def _table(value: Any) -> pa.Table:
    import pyarrow as pa

    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, Mapping):
        return pa.table(dict(value))
    if isinstance(value, list):
        return pa.Table.from_pylist(value)
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        # The index of pandas is no column.
        return pa.Table.from_pandas(value, preserve_index=False)
    return pa.table(value)

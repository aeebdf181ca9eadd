"""DuckDB's default connection, opened in the zygote: opening costs a worker 30 ms of processor time, taking it over 4.

It is opened without a single thread, so that it may be forked; the worker that uses it gives it threads.
"""

from __future__ import annotations

import sys
from typing import Any

from zerrow.worker.process import thread_count

_is_warm = False


def open_default() -> None:
    """In the zygote: make a connection without threads the default one. Where DuckDB has no such thing, do nothing."""
    global _is_warm
    import duckdb

    before = thread_count()
    try:
        connection = duckdb.connect(config={"threads": 1, "async_threads": 0})
    except duckdb.Error:  # a version that does not know a setting
        return
    if thread_count() > before:
        connection.close()
        return
    duckdb.set_default_connection(connection)
    _is_warm = True


def connect(cpus: int) -> Any:
    """A connection to an empty database in memory, with `cpus` threads; closing it is enough."""
    import duckdb

    if not _is_warm:
        return duckdb.connect(config={"threads": cpus})
    give_threads(cpus)
    return duckdb.default_connection().cursor()


def give_threads(cpus: int) -> None:
    """Let the warm default connection use `cpus` threads, as one that the model opens itself does."""
    if _is_warm:
        sys.modules["duckdb"].default_connection().execute(f"set threads = {int(cpus)}")

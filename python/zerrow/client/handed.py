"""One table that the engine has handed to this process: its segments, mapped, and what they hold.

The engine has checked the table's description, and locked its memory, before it hands out anything. What no one checks
on the way between models is what takes a pass over the data; models are isolated from what others made, and a script
is not. So a table is validated as a whole before anybody reads it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zerrow.errors import ZerrowError

if TYPE_CHECKING:
    import pyarrow as pa

    from zerrow.worker.abi import Session, WorkerLibrary

_GET_SEALS = 1034  # F_GET_SEALS
_SEALS = 2 | 4 | 8  # F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE

_libraries: dict[str, WorkerLibrary] = {}
_loading = threading.Lock()


def library(path: str) -> WorkerLibrary:
    """The library that opens tables, loaded once."""
    from zerrow.worker.abi import WorkerLibrary

    with _loading:
        if path not in _libraries:
            _libraries[path] = WorkerLibrary(path)
        return _libraries[path]


class HandedTable:
    """A table in shared memory, opened when it is first asked for.

    Its memory is held until `release`, or the end of this object, and beyond that as long as a buffer of it is used
    anywhere in this process, or in one that was forked from it.
    """

    def __init__(self, model: str, rows: int, path: str, segments: Mapping[int, int], descriptor: int) -> None:
        """Map segments, which are descriptors by their numbers; takes all descriptors, also when it fails.

        `path` is that of the library. Raises ZerrowError for memory that could change, or that can't be mapped.
        """
        self.model = model
        self.rows = rows
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._descriptor: int | None = descriptor
        self._session: Session | None = None
        self._table: pa.Table | None = None
        left = list(segments.values())
        try:
            for segment in left:
                check_locked(segment)
            self._session = library(path).session()
            for number, segment in segments.items():
                left.remove(segment)
                self._session.segment(number, segment)
        except BaseException:
            self.release()
            raise
        finally:
            for segment in left:
                os.close(segment)

    def open(self) -> pa.Table:
        """The table. Its buffers are those of the engine; nothing is copied.

        Raises ZerrowError for one that was released, that breaks Arrow's rules, or that was not opened before a fork.
        """
        # Before the lock: a thread may have had it that is not in this process.
        if (opened := self._table) is not None:
            return opened
        if self._process != os.getpid():
            raise ZerrowError(
                f"the table {self.model!r} belongs to the process {self._process}, and this one was forked from it",
                code="forked",
                model=self.model,
                hint="open it before the fork, or run the project here",
            )
        with self._lock:
            if self._table is not None:
                return self._table
            if self._session is None or self._descriptor is None:
                raise ZerrowError(f"the table {self.model!r} was released", code="released", model=self.model)
            table = self._session.open(self._descriptor, registers_types=True, name=self.model)
            _validate(table, self.model)
            self._table = table
            self._close()
            return table

    def release(self) -> None:
        """Let go of the table; what was made of it keeps its memory as long as it needs that."""
        self._table = None
        self._close()

    def _close(self) -> None:
        session, self._session = self._session, None
        descriptor, self._descriptor = self._descriptor, None
        if session is not None:
            session.close()
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()


def _validate(table: pa.Table, model: str) -> None:
    import pyarrow as pa

    try:
        # Numbers cost nothing; of texts and lists the offsets, and of texts the encoding, are read once.
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ZerrowError(
            f"the table {model!r} is not one that can be read safely: {error}",
            code="broken-table",
            model=model,
            hint="the model's libraries have made it so; update them",
        ) from error


def check_locked(descriptor: int) -> None:
    """Raise ZerrowError for memory that this process, or another one, could change or cut short.

    An engine of an ordinary user seals its memory. One that runs models as other users (root's) gives out descriptors
    that can only read, of files that those can't open; so does every engine for tables in files on a disk.
    """
    is_read_only = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    try:
        is_sealed = fcntl.fcntl(descriptor, _GET_SEALS) & _SEALS == _SEALS
    except OSError:
        is_sealed = True  # a file on a disk, which has no name and knows no seals
    if not is_read_only or not (is_sealed or os.geteuid() == 0):
        raise ZerrowError("the engine handed out memory that is not locked", code="unlocked")

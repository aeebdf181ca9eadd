"""Sources that a model reads by itself: arguments of a task that name files instead of an input (docs/plan.md)."""

from __future__ import annotations

import base64
import ctypes
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from zerrow.worker.brokered_files import BrokeredFiles
from zerrow.worker.content import Guard
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.footer import decoded_as
from zerrow.worker.scan import scan
from zerrow.worker.source import Access, Opener, Source

_PLAIN_PATH = re.compile(r"/[\w./=+,@-]+\Z")
"""The paths that mean themselves to every engine: no patterns, and nothing that is escaped in addresses."""


@dataclass
class Sources:
    """How a worker reaches its sources: by the numbers of `files`, or by their names where that is None.

    `guard` and `blame` are as a scan has them.
    """

    files: BrokeredFiles | None = None
    guard: Guard | None = None
    blame: Callable[..., None] | None = None
    _folder: str | None = None

    def folder(self) -> str | None:
        """A folder with a slash at its end, in which any name N.parquet opens the file of that number in this process;
        None where nothing answers for such names."""
        if self.files is None:
            return None
        if self._folder is None:
            attach = getattr(ctypes.CDLL(None), "zerrow_sources_attach", None)
            folder = tempfile.mkdtemp(prefix="zerrow-sources-") + "/"
            is_attached = attach is not None and (
                attach(ctypes.c_int(self.files.descriptor), ctypes.c_uint32(self.files.count), folder.encode()) == 0
            )
            self._folder = folder if is_attached else ""
        return self._folder or None


def count_files(task: dict[str, Any]) -> int:
    """How many files a task's streamed sources have together."""
    return sum(len(source["files"]) for source in _sources(task).values())


def streamed_sources(task: dict[str, Any], sources: Sources) -> dict[str, StreamedSource]:
    """The streamed sources of a task by the names of their arguments."""
    found: dict[str, StreamedSource] = {}
    first = 0
    for name, source in _sources(task).items():
        found[name] = StreamedSource(source, first, sources)
        first += len(source["files"])
    return found


def _sources(task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each["source"] for each in task.get("arguments", ()) if "source" in each}


class StreamedSource:
    """A source that is read where it is used. `task` is that of a scan that would give the same rows as a table."""

    def __init__(self, task: dict[str, Any], first: int, sources: Sources) -> None:
        """Its files are those from number `first` on among `sources`."""
        self.task = task
        self.first = first
        self.reached = sources
        self._folders: list[str] = []
        known = task.get("identities") or [None] * len(task["files"])
        access = Access(sources.guard, sources.blame, self.opener)
        dictionary = task.get("dictionary") or []
        self.files = [
            Source(number, path, dictionary, known[number], access) for number, path in enumerate(task["files"])
        ]

    @property
    def table_name(self) -> str:
        """The name of the source table, for messages."""
        return self.task["table"]

    @property
    def opener(self) -> Opener | None:
        """What opens its files by their numbers in its task; None where they are opened by their names."""
        files = self.reached.files
        return None if files is None else lambda number: files.open(self.first + number)

    @property
    def schema(self) -> pa.Schema | None:
        """The schema of the table that a scan would give; None where the plan does not know it."""
        if self.task.get("schema") is None:
            return None
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.task["schema"])))
        schema = decoded_as(schema, self.task.get("dictionary") or ())
        columns = self.task.get("columns")
        fields = schema if columns is None else [schema.field(name) for name in columns]
        return pa.schema(fields, metadata=schema.metadata)

    def paths(self) -> list[str] | None:
        """Names that a library can open the files by, in their order; None where there are none."""
        if self.reached.files is not None:
            folder = self.reached.folder()
            return None if folder is None else [f"{folder}{self.first + n}.parquet" for n in range(len(self.files))]
        paths = [file.path for file in self.files]
        return paths if all(map(_PLAIN_PATH.match, paths)) else None

    @property
    def is_brokered(self) -> bool:
        """Whether its files are opened by numbers."""
        return self.reached.files is not None

    def new_folder(self) -> str:
        """A folder of its own with a slash at its end, in which names N.parquet open files as in that of `paths`."""
        folder = tempfile.mkdtemp(prefix="zerrow-sources-", dir=self.reached.folder()) + "/"
        self._folders.append(folder)
        return folder

    def remove_folders(self) -> None:
        """Remove the folders that were made for it: without a sandbox they lie where they would stay."""
        while self._folders:
            shutil.rmtree(self._folders.pop(), ignore_errors=True)

    def check(self) -> None:
        """The files must be those that were planned with, and what they were when they were checked before.

        Raises WorkerFailure of kind `input`, which names the file.
        """
        try:
            for file in self.files:
                file.check()
        finally:
            self.blame(None)

    def blame(self, what: str | None) -> None:
        """Have its first file blamed if a library ends this process from now on: it, and more of what it did."""
        if self.reached.blame is not None:
            if what is None:
                self.reached.blame(None)
            else:
                self.reached.blame(self.files[0].path, what)

    def table(self, cpus: int) -> pa.Table:
        """The whole table, as a scan gives it."""
        return scan(self.task, cpus, None, self.reached.guard, self.reached.blame, self.opener)

    def look_for_damage(self) -> None:
        """Raise what a scan would raise over files that can't be decoded; never holds more than a window of rows."""
        for _ in self._windows():
            pass

    def _windows(self) -> Iterator[pa.Table]:
        columns = self.task.get("columns")
        for file in self.files:
            names = [name for name in file.schema.names if columns is None or name in columns]
            for groups in file.windows(list(range(len(file.group_rows)))):
                yield file.decode(groups, names, False)
            file.close()


def missing_schema(source: StreamedSource) -> WorkerFailure:
    """The failure of a plan that streams a source whose columns it does not know."""
    return WorkerFailure("internal", f"the plan streams {source.table_name!r} without its schema")

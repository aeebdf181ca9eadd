"""The life of a worker: it is told what to run, runs it, publishes the result and is gone."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pyarrow as pa

from zerrow.worker import pandas_metadata, watch
from zerrow.worker.abi import LibraryError, Session, View, WorkerLibrary
from zerrow.worker.brokered_files import BrokeredFiles
from zerrow.worker.channel import Channel, Message, encoded
from zerrow.worker.decache import Exchange
from zerrow.worker.failures import WorkerFailure, report
from zerrow.worker.project import files_changed
from zerrow.worker.results import rows_only, to_stream
from zerrow.worker.secrets import hide, hide_in_report, hide_in_streams, secrets_of
from zerrow.worker.source import Opener
from zerrow.worker.sql_limits import SqlLimits
from zerrow.worker.streamed import Sources, count_files
from zerrow.worker.streamed_results import ROOM_PARTS, LargeResult, Room
from zerrow.worker.tasks import end_streams, execute, load, prepare_arguments, raise_failure
from zerrow.worker.watch import Watch

_REASONS_MAX = 10
_REASON_LENGTH_MAX = 300


@dataclass
class Work:
    """The engine's orders: the task, and descriptors that the worker owns."""

    task: dict[str, Any] = field(default_factory=dict)
    tables: list[int] = field(default_factory=list)
    output: int = -1
    code: memoryview | None = None
    files: int | None = None
    kernelzero: int | None = None
    arena_file_bytes: int = 0
    arena_bytes_max: int = 0
    decache_bytes_max: int | None = None
    sql: SqlLimits | None = None


def run(channel: Channel, library: WorkerLibrary, cpus: int, view: View | None = None) -> NoReturn:
    """Be the worker at the other end of `channel`, which sees `view`; leaves the process."""
    status = 1
    # It holds the result, so it stays until the process is gone.
    worker = _Worker(channel, library, cpus, view or View())
    try:
        status = worker.live()
    except OSError:
        pass  # the engine is gone: nobody is left to tell
    finally:
        flush()
        os._exit(status)


def flush() -> None:
    """Bring out what the model printed: Python's buffers and, for libraries in C, libc's."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed by the model, or its reader is gone
    ctypes.CDLL(None).fflush(None)


class _Worker:
    def __init__(self, channel: Channel, library: WorkerLibrary, cpus: int, view: View) -> None:
        self._channel = channel
        self._library = library
        self._cpus = cpus
        self._view = view
        self._folder: str | None = None
        self._kind = "internal"
        self._work = Work()
        # Held until the process ends: an allocator writes into memory that is freed, and readers see the file.
        self._result: pa.Table | str | LargeResult | None = None

    def live(self) -> int:
        """Run one task to its end; the exit status."""
        try:
            session = self._library.session()
            self._channel.send("started")
            if not self._receive(session):
                return 1
            op, fields, descriptors = self._answer(session)
        except BaseException as error:  # nothing a model raises may get lost, SystemExit and KeyboardInterrupt included
            op, fields, descriptors = "failed", {"error": self._describe(error)}, ()
        flush()
        self._channel.send(op, fields, descriptors)
        return 0 if op != "failed" else 1

    def _receive(self, session: Session) -> bool:
        """Take messages up to `run`; False when the engine is gone."""
        while (message := self._channel.receive()) is not None:
            match message.op:
                case "segments":
                    _take_segments(session, message)
                case "table":
                    self._take_table(message)
                case "run":
                    self._take_run(message)
                    return True
                case op:
                    message.close()
                    raise WorkerFailure("internal", f"the worker does not know the message {op!r}")
        return False

    def _take_table(self, message: Message) -> None:
        if message.body.get("input") != len(self._work.tables) or len(message.descriptors) != 1:
            message.close()
            raise WorkerFailure("internal", "a message 'table' is out of order or without its descriptor")
        self._work.tables.append(message.descriptors[0])

    def _take_run(self, message: Message) -> None:
        sizes = [message.body.get(key) for key in ("arena_file_bytes", "arena_bytes_max")]
        has_code, has_files = (message.body.get(key) is True for key in ("code", "files"))
        count = len(message.descriptors) - has_code - has_files
        if count not in (2, 3) or not all(isinstance(size, int) and size >= 0 for size in sizes):
            message.close()
            raise WorkerFailure("internal", "the message 'run' lacks its descriptors or its sizes")
        task, self._work.output, *more = message.descriptors
        if has_code:
            code = more.pop(0)
            self._work.code = memoryview(mmap.mmap(code, 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
            os.close(code)
        if has_files:
            self._work.files = more.pop(0)
        self._work.kernelzero = more[0] if more else None
        with open(task, "rb") as file:
            file.seek(0)
            self._work.task = json.load(file)
        self._work.arena_file_bytes, self._work.arena_bytes_max = sizes
        if self._work.task.get("kind") == "sql":
            self._work.sql = SqlLimits.of(message.body)
        if message.body.get("decache") is True:
            limit = message.body.get("decache_bytes_max", sizes[1] // 2)
            self._work.decache_bytes_max = limit if type(limit) is int and limit >= 0 else 0

    def _answer(self, session: Session) -> tuple[str, dict[str, Any], tuple[int, ...]]:
        work, started = self._work, time.perf_counter()
        self._folder = work.task.get("folder")
        session.output(work.output, work.arena_file_bytes, work.arena_bytes_max)
        if work.kernelzero is not None:
            session.kernelzero(work.kernelzero)
        hide_in_streams(secrets_of(work.task))
        watching = self._watch()
        self._kind, prepared = "user", time.perf_counter()
        loaded = load(work.task, work.code)
        if watching is not None:
            watching.look_again()
        self._kind, load_s = "input", time.perf_counter() - prepared
        names = {each["input"]: each.get("table") for each in work.task.get("arguments", ()) if "input" in each}
        tables = [
            _open(session, descriptor, loaded is not None, names.get(index) or f"input {index}")
            for index, descriptor in enumerate(work.tables)
        ]
        notes: list[str] = []
        arguments = prepare_arguments(work.task, tables, self._cpus, notes, self._sources())
        self._channel.send("running")
        cache = self._cache(session)
        self._kind, opened = "user" if work.task["kind"] in ("python", "sql") else "internal", time.perf_counter()
        if work.task["kind"] == "materialize":
            self._result = result = self._materialize(tables)
        elif work.task["kind"] == "write":
            self._result = result = self._write(tables)
        else:
            self._result = result = execute(
                work.task, arguments, tables, self._cpus, cache, self._library.guard, self._blame, loaded,
                self._opener(), notes, (work.arena_bytes_max // ROOM_PARTS, self._room), work.sql,
            )  # fmt: skip
        written = None
        if isinstance(result, LargeResult):
            try:
                written = result.publish(session)
            except BaseException:
                raise_failure(arguments)
                raise
        end_streams(arguments)
        self._kind, done = "internal", time.perf_counter()
        notes = [hide(each, secrets_of(work.task)) for each in notes]
        asked = [*notes, *([] if watching is None else watching.end())]
        if isinstance(result, str):
            return "done", {"text": result}, ()
        published, descriptor = written or _publish(session, result)
        timing = {
            # The model's file is the user's code too, though it runs before the inputs are opened.
            "open_ms": _ms(started + load_s, opened),
            "user_ms": _ms(opened - load_s, done),
            "publish_ms": _ms(done, time.perf_counter()),
            # Moments of the monotonic clock, which perf_counter reads on Linux and all processes share.
            "user_at_ms": _ms(0, opened),
            "publish_at_ms": _ms(0, done),
        }
        fields = {"rows": published.rows, "counts": published.counts(), "timing": timing}
        planned_ns = work.task.get("planned_ns")
        if self._folder is not None and planned_ns is not None:
            fields["changed"] = files_changed(
                self._folder, planned_ns, [] if watching is None else sorted(watching.opened)
            )
        if work.sql is not None and (spilled := work.sql.spilled_bytes()) is not None:
            fields["spilled_bytes"] = spilled
        if asked or "changed" in fields:
            # A message has an end, and one reason is enough.
            fields["asked"] = [each[:_REASON_LENGTH_MAX] for each in asked[:_REASONS_MAX]]
        if notes:
            fields["warnings"] = [each[:_REASON_LENGTH_MAX] for each in notes[:_REASONS_MAX]]
        if cache is not None:
            descriptor, fields["decache"] = self._give(session, cache, descriptor)
        if work.kernelzero is not None:
            fields["kernelzero"] = session.pages()
        return "published", fields, (descriptor,)

    def _materialize(self, tables: list[pa.Table]) -> pa.Table:
        """Write the task's table to files of the engine's, and tell what was written; as many rows without a column."""
        from zerrow.worker.materialize import NewFiles, materialize

        files = NewFiles(self._channel)
        written = materialize(self._work.task, tables, files)
        files.tell(written)
        return rows_only(sum(each["rows"] for each in written["files"]))

    def _write(self, tables: list[pa.Table]) -> pa.Table:
        """Write the task's table to a file of the engine's; as many rows without a column."""
        from zerrow.worker.materialize import NewFiles
        from zerrow.worker.sinks import write

        return write(self._work.task, tables[0], NewFiles(self._channel))

    def _room(self) -> Room | None:
        """A file to write a large result to; None where the engine has none to give."""
        self._channel.send("wants-room")
        message = self._channel.receive()
        if message is None:
            raise ConnectionResetError("the engine is gone")
        segment = message.body.get("segment")
        if message.op != "room" or not isinstance(segment, int) or len(message.descriptors) > 1:
            message.close()
            raise WorkerFailure("internal", f"the message {message.op!r} does not bring the file that was asked for")
        return Room(message.descriptors[0], segment) if message.descriptors else None

    def _opener(self) -> Opener | None:
        """What opens a scan's files; None where they are opened by their names."""
        if self._work.files is None or self._work.task["kind"] != "scan":
            return None
        return BrokeredFiles(self._work.files, len(self._work.task.get("files") or ())).open

    def _sources(self) -> Sources:
        """How the sources are reached that the model reads by itself."""
        sources = Sources(guard=self._library.guard, blame=self._blame)
        if self._work.files is not None and self._work.task["kind"] != "scan":
            sources.files = BrokeredFiles(self._work.files, count_files(self._work.task))
        return sources

    def _blame(self, file: str | None, what: str = "cannot be read as Parquet: reading it ends the reader") -> None:
        """Have that file, or none, blamed if a library ends this process from now on; `what` says how."""
        message = b""
        if file is not None:
            failure = WorkerFailure("input", f"{file} {what}")
            message = encoded("failed", {"error": report(failure, "input", None)})
        self._library.last_words(self._channel.fileno(), message)

    def _watch(self) -> Watch | None:
        """The watch over a model whose result could be kept."""
        if self._folder is None or self._work.task.get("watched") is not True:
            return None
        return watch.begin(self._folder)

    def _cache(self, session: Session) -> Exchange | None:
        limit = self._work.decache_bytes_max
        if limit is None or self._work.task["kind"] != "scan":
            return None
        return Exchange(self._channel, session, _take_segments, limit)

    def _give(self, session: Session, cache: Exchange, result: int) -> tuple[int, dict[str, int | float]]:
        """Give the decoded pieces; the result's descriptor, true of the output as it is now, and the figures."""
        decoded, figures = cache.publish()
        cache.send([(block, session.refresh(descriptor)) for block, descriptor in decoded])
        return session.refresh(result), figures

    def _describe(self, error: BaseException) -> dict[str, Any]:
        described = report(error, self._kind, self._folder, self._view.hides, self._work.task)
        if self._work.task.get("kind") == "sql" and described["kind"] in ("user", "result"):
            from zerrow.worker.sql import error_line

            described["file"] = self._work.task.get("file")
            described["line"] = error_line(described["message"], self._work.task.get("line") or 1)
            described["traceback"] = None
        secrets = secrets_of(self._work.task)
        return hide_in_report(described, secrets) if secrets else described


def _take_segments(session: Session, message: Message) -> None:
    ids = message.body.get("ids")
    if not isinstance(ids, list) or len(ids) != len(message.descriptors):
        message.close()
        raise WorkerFailure("internal", "a message 'segments' has not one descriptor for each id")
    for identifier, descriptor in zip(ids, message.descriptors, strict=True):
        session.segment(identifier, descriptor)


def _open(session: Session, descriptor: int, is_for_python: bool, name: str) -> pa.Table:
    table = session.open(descriptor, registers_types=is_for_python, name=name)
    os.close(descriptor)
    return pandas_metadata.keep_readable(table) if is_for_python and "pandas" in sys.modules else table


def _publish(session: Session, table: pa.Table) -> tuple[Any, int]:
    try:
        return session.publish(to_stream(table))
    except LibraryError as error:
        if error.errno in (errno.ENOMEM, errno.ENOSPC):
            raise WorkerFailure("memory", f"out of memory while publishing the result: {error}") from error
        raise


def _ms(start: float, end: float) -> float:
    return round(1000 * (end - start), 3)

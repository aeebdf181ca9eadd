"""A small engine for tests: it starts the real zygote and speaks the protocol of docs/protocol.md to it."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = "pyarrow,pyarrow.parquet,pyarrow.dataset,numpy,pandas,polars,duckdb,datafusion,no_such_module"
ARENA_FILE_BYTES = 8 << 30
ARENA_BYTES_MAX = 512 << 20
PATIENCE_S = 60
SEGMENT_ID, SEGMENT_COUNT_AT, SEGMENTS_AT, SEGMENT_BYTES = struct.Struct("<Q"), 24, 64, 16


def built(name: str) -> str:
    """The path of a library this repository builds."""
    said = os.environ.get("ZERROW_BUILD_PATH")
    for folder in [Path(said)] if said else [ROOT / ".build" / kind for kind in ("release", "debug")]:
        if (folder / name).exists():
            return str(folder / name)
    pytest.fail(f"{name} is not built: run swift build --product zerrow_worker first")


def memory_file(content: bytes = b"", size: int | None = None) -> int:
    descriptor = os.memfd_create("zerrow-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if size is not None:
        os.ftruncate(descriptor, size)
    return descriptor


def read_all(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


class Peer:
    """The engine's end of a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        end.settimeout(PATIENCE_S)

    def send(self, message: dict[str, Any] | bytes, descriptors: tuple[int, ...] = ()) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.socket.sendmsg([data], rights)

    def send_files(self, message: dict[str, Any], *contents: bytes) -> None:
        """Send a message with memfds of these contents."""
        files = [memory_file(content) for content in contents]
        try:
            self.send(message, tuple(files))
        finally:
            for file in files:
                os.close(file)

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message; None at the end."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 18, 200, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        return (json.loads(data), list(descriptors)) if data else None

    def expect(self, op: str) -> tuple[dict[str, Any], list[int]]:
        message = self.receive()
        assert message is not None, f"the peer ended before {op!r}"
        assert message[0]["op"] == op, message
        return message


@dataclass
class Table:
    """A published table: its descriptor with real ids, and the segments it names."""

    descriptor: bytes
    segments: dict[int, int]
    rows: int | None
    counts: dict[str, int] | None
    timing: dict[str, float] | None
    changed: list[str] | None = None
    asked: list[str] | None = None

    @property
    def ids(self) -> list[int]:
        (count,) = SEGMENT_ID.unpack_from(self.descriptor, SEGMENT_COUNT_AT)
        return [
            SEGMENT_ID.unpack_from(self.descriptor, SEGMENTS_AT + SEGMENT_BYTES * index)[0] for index in range(count)
        ]


Block = dict[str, Any]
"""A block of docs/protocol.md."""
Piece = tuple[Block, Table]


@dataclass
class Worker:
    """A forked worker as the engine sees it."""

    name: str
    peer: Peer
    pidfd: int
    output: list[bytes] = field(default_factory=list)
    reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        with open(f"/proc/self/fdinfo/{self.pidfd}") as info:
            return next(int(line.split()[1]) for line in info if line.startswith("Pid:"))

    def text(self) -> str:
        """What it printed, once it and its children are dead."""
        assert self.reader is not None
        self.reader.join(PATIENCE_S)
        return b"".join(self.output).decode()

    def kill(self) -> None:
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        self.peer.socket.close()
        os.close(self.pidfd)


@dataclass
class Outcome:
    """How a run of one task ended."""

    worker: Worker
    table: Table | None = None
    text: str | None = None
    error: dict[str, Any] | None = None
    exited: dict[str, Any] | None = None
    wants: list[Block] | None = None
    decoded: list[Piece] = field(default_factory=list)
    decache: dict[str, int] | None = None


class Engine:
    """Starts a zygote and drives it."""

    def __init__(
        self,
        *,
        shown: Path | None = None,
        wrapper: list[str] | None = None,
        preload: str | None = None,
        modules: str | None = PRELOADED,
        python: str = sys.executable,
    ) -> None:
        """With `shown`, workers are isolated, and that folder is all they see of /tmp. `wrapper` runs the zygote, and
        `python` is the interpreter of its environment. Without `modules` the zygote waits to be told which."""
        if wrapper is None:
            wrapper = namespaces() if shown else []
        self._shown = [str(shown)] if shown and shown.is_relative_to("/tmp") else []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {
            **os.environ,
            "ZERROW_WORKER_LIBRARY": built("libzerrow_worker.so"),
            "ZERROW_SANDBOX": "1" if shown else "0",
            "ZERROW_TMP_BYTES_MAX": str(64 << 20),
            "PYTHONPATH": str(ROOT / "python"),
        }
        environment.pop("ZERROW_PRELOAD_MODULES", None)
        if modules is not None:
            environment["ZERROW_PRELOAD_MODULES"] = modules
        if preload:
            environment["LD_PRELOAD"] = preload
        self.process = subprocess.Popen(
            [*wrapper, *_command(python)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: os.dup2(theirs.fileno(), 3),
            pass_fds=(3,),
        )
        theirs.close()
        self.control = Peer(ours)
        self.ready: dict[str, Any] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.segments: dict[int, int] = {}
        self._workers: list[Worker] = []
        self._next_segment = 1

    def wait_ready(self) -> Engine:
        self.ready, _ = self.control.expect("ready")
        return self

    def fork(self, name: str | None = None, **fields: Any) -> Worker:
        name = name or f"w{len(self._workers)}"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        view = memory_file(json.dumps({"tmp": self._shown, "rebuilt": [], "covered": [], "overlaid": []}).encode())
        self.control.send({"op": "fork", "worker": name, "cpus": 2, **fields}, (theirs.fileno(), write, view))
        theirs.close()
        os.close(write)
        os.close(view)
        message, descriptors = self._control("forked")
        assert message["worker"] == name
        worker = Worker(name, Peer(ours), descriptors[0])
        worker.reader = threading.Thread(target=_drain, args=(read, worker.output), daemon=True)
        worker.reader.start()
        self._workers.append(worker)
        return worker

    def _control(self, op: str) -> tuple[dict[str, Any], list[int]]:
        while True:
            message = self.control.receive()
            assert message is not None, f"the zygote ended before {op!r}"
            if message[0]["op"] == op:
                return message
            assert message[0]["op"] == "exited", message
            self.ended[message[0]["worker"]] = message[0]

    def exited(self, worker: Worker) -> dict[str, Any]:
        while worker.name not in self.ended:
            message, _ = self._control("exited")
            self.ended[message["worker"]] = message
        return self.ended[worker.name]

    def give(
        self, worker: Worker, task: dict[str, Any], inputs: list[Table], code: bytes | None = None, **sizes: int
    ) -> int:
        """Send a worker all it needs, with what was handed over of the project's code; the output segment."""
        worker.peer.expect("started")
        self.lend(worker, inputs)
        for number, table in enumerate(inputs):
            with closing(memory_file(table.descriptor)) as descriptor:
                worker.peer.send({"op": "table", "input": number}, (descriptor,))
        fields = {"arena_file_bytes": ARENA_FILE_BYTES, "arena_bytes_max": ARENA_BYTES_MAX, **sizes}
        output = memory_file(size=fields["arena_file_bytes"])
        with closing(memory_file(json.dumps(task).encode())) as descriptor:
            if code is None:
                worker.peer.send({"op": "run", **fields}, (descriptor, output))
            else:
                with closing(memory_file(code)) as file:
                    worker.peer.send({"op": "run", "code": True, **fields}, (descriptor, output, file))
        return output

    def lend(self, worker: Worker, tables: list[Table]) -> None:
        """Give a worker the segments of tables."""
        segments = sorted({identifier for table in tables for identifier in table.ids})
        if segments:
            readers = [os.open(f"/proc/self/fd/{self.segments[i]}", os.O_RDONLY | os.O_CLOEXEC) for i in segments]
            worker.peer.send({"op": "segments", "ids": segments}, tuple(readers))
            for reader in readers:
                os.close(reader)

    def wants(self, worker: Worker) -> list[Block]:
        """What a scan asks DeCache for."""
        worker.peer.expect("running")
        _, (descriptor,) = worker.peer.expect("wants")
        return _blocks("units", descriptor)

    def answer(self, worker: Worker, pieces: list[Piece], message_pieces: int = 100) -> None:
        """Answer a scan that has asked DeCache."""
        self.lend(worker, [table for _, table in pieces])
        for start in range(0, max(1, len(pieces)), message_pieces):
            part = pieces[start : start + message_pieces]
            content = json.dumps({"pieces": [block for block, _ in part]}).encode()
            is_last = start + message_pieces >= len(pieces)
            worker.peer.send_files({"op": "pieces", "last": is_last}, content, *(table.descriptor for _, table in part))

    def scan(self, task: dict[str, Any], pieces: list[Piece] | None = None, **sizes: int) -> Outcome:
        """Run a scan that has DeCache, which has these pieces."""
        worker = self.fork()
        output = self.give(worker, task, [], decache=True, **sizes)
        return self.finish(worker, output, pieces or [])

    def run(
        self, task: dict[str, Any], inputs: list[Table] | None = None, code: bytes | None = None, **fields: Any
    ) -> Outcome:
        """Run a task in a worker of its own, to its end."""
        worker = self.fork(**fields)
        output = self.give(worker, task, inputs or [], code)
        return self.finish(worker, output)

    def finish(self, worker: Worker, output: int, pieces: list[Piece] | None = None) -> Outcome:
        outcome = Outcome(worker)
        number, self._next_segment = self._next_segment, self._next_segment + 1
        self.segments[number] = output
        while (message := worker.peer.receive()) is not None:
            body, descriptors = message
            match body["op"]:
                case "wants":
                    outcome.wants = _blocks("units", descriptors[0])
                    self.answer(worker, pieces or [])
                case "decoded":
                    blocks = _blocks("pieces", descriptors[0])
                    for block, file in zip(blocks, descriptors[1:], strict=True):
                        outcome.decoded.append((block, _adopt({}, file, number, self.segments)))
                case "published":
                    outcome.table = _adopt(body, descriptors[0], number, self.segments)
                    outcome.decache = body.get("decache")
                case "done":
                    outcome.text = body["text"]
                case "failed":
                    outcome.error = body["error"]
        outcome.exited = self.exited(worker)
        return outcome

    def close(self) -> str:
        """End the zygote as the engine does; what it wrote to stderr."""
        self.control.socket.close()
        try:
            _, errors = self.process.communicate(timeout=PATIENCE_S)
        finally:
            self.process.kill()
            for worker in self._workers:
                worker.close()
            for descriptor in self.segments.values():
                os.close(descriptor)
        return errors.decode()


def _command(python: str) -> list[str]:
    """How the engine starts a zygote (Sources/Engine/Processes/ZygoteStarter.swift)."""
    if not os.path.realpath(python).endswith("/python3.10"):
        return [python, "-P", "-s", "-m", "zerrow.zygote"]
    start = "runpy.run_module('zerrow.zygote', run_name='__main__', alter_sys=True)"
    return [python, "-s", "-c", f"import sys; del sys.path[0]; import runpy; {start}"]


def _adopt(body: dict[str, Any], descriptor: int, number: int, segments: dict[int, int]) -> Table:
    """Give segment 0 of what was published its real id, as the engine does; it must be told as long as it is."""
    content = bytearray(read_all(descriptor))
    os.close(descriptor)
    fields = (body.get(key) for key in ("rows", "counts", "timing", "changed", "asked"))
    table = Table(bytes(content), segments, *fields)
    for index, identifier in enumerate(table.ids):
        at = SEGMENTS_AT + SEGMENT_BYTES * index
        if identifier == 0:
            assert SEGMENT_ID.unpack_from(content, at + 8)[0] == os.fstat(segments[number]).st_size
            SEGMENT_ID.pack_into(content, at, number)
    table.descriptor = bytes(content)
    return table


def adopted(descriptor: int, output: int) -> Table:
    """What a session of this process published into its output segment."""
    return _adopt({}, descriptor, 1, {1: output})


def _blocks(key: str, descriptor: int) -> list[Block]:
    with closing(descriptor):
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        return json.loads(read_all(descriptor))[key]


def namespaces() -> list[str]:
    """A command that runs the zygote as the first process of a pid namespace, as the engine has it."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _drain(read: int, into: list[bytes]) -> None:
    with closing(read):
        while data := os.read(read, 65536):
            into.append(data)


def wait_readable(descriptor: int, seconds: float = PATIENCE_S) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def open_table(table: Table) -> Any:
    """The published table as pyarrow sees it in this process."""
    from zerrow.worker.abi import WorkerLibrary

    session = WorkerLibrary(built("libzerrow_worker.so")).session()
    for identifier in table.ids:
        copy = fcntl.fcntl(table.segments[identifier], fcntl.F_DUPFD_CLOEXEC, 3)
        session.segment(identifier, copy)
    with closing(memory_file(table.descriptor)) as descriptor:
        return session.open(descriptor)

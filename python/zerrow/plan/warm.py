"""The warm planner of an engine that serves: it has imported what planners need, and forks one for each client.

It reads no project, and nothing that clients send but the names of messages: a planner learns what it is to do after it
was forked, so that none finds anything of another one. It runs no thread. docs/protocol.md has the messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import itertools
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from zerrow.errors import ZerrowError
from zerrow.plan.__main__ import leave
from zerrow.plan.__main__ import main as plan
from zerrow.plan.surroundings import own_code
from zerrow.worker.channel import Channel, Message, ProtocolError

_CONTROL = 3
_IDLE_MS = 50
"""How long nobody has wanted anything when a planner is forked ahead: it is not to take time from one at work."""
_READER_ONLY = ("cloudpickle", *(f"pyarrow._{name}" for name in ("azurefs", "gcsfs", "hdfs", "s3fs")))
"""Modules that the reader of footers does without (zerrow.plan.footer_reader)."""
_LATER = (
    "conditions", "constants", "filter", "filter_nodes", "footers", "keys", "listing", "project_reader", "pruning",
    "pushdown", "scans", "sql_columns", "sql_file", "sql_world", "streams", "surroundings",
)  # fmt: skip
"""Modules of the planner's that it imports when it needs them."""


class Library:
    """What makes a process a planner's; `libzerrow_worker.so` has it."""

    def __init__(self, path: str) -> None:
        """Raises OSError, and AttributeError for another library."""
        # The lock of this interpreter is kept during a call: a fork happens while nothing else runs.
        self._library = ctypes.PyDLL(path)
        self._library.zerrow_fork_reader.argtypes = [ctypes.POINTER(ctypes.c_int)]
        self._library.zerrow_fork_become_reader.argtypes = [
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_uint64,
            ctypes.POINTER(ctypes.c_int32),
            ctypes.POINTER(ctypes.c_uint64),
        ]

    def fork(self) -> tuple[int, int]:
        """The new process, in namespaces of its own, and a pidfd of it; 0 in that process. Raises OSError."""
        descriptor = ctypes.c_int(-1)
        ctypes.pythonapi.PyOS_BeforeFork()
        pid = self._library.zerrow_fork_reader(ctypes.byref(descriptor))
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            return 0, -1
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid, descriptor.value

    def become_reader(self, paths: list[str], links: list[str], descriptors: list[int], bytes_max: list[int]) -> None:
        """Isolate this process for good. Raises OSError; where it comes to the worst, the process exits."""
        code = self._library.zerrow_fork_become_reader(
            (ctypes.c_char_p * len(paths))(*map(os.fsencode, paths)),
            (ctypes.c_char_p * len(paths))(*map(os.fsencode, links)),
            len(paths),
            (ctypes.c_int32 * 4)(*descriptors),
            (ctypes.c_uint64 * 3)(*bytes_max),
        )
        if code:
            raise OSError(-code, os.strerror(-code))


class Ahead(NamedTuple):
    """A planner that was forked ahead and waits to be told what to do, by one client alone; it has done nothing yet."""

    pid: int
    descriptor: int
    channel: Channel
    mounts: bytes
    """The mounts that there were before it was forked. It sees none that came later."""


class WarmPlanner:
    """Forks a planner for each client that the engine names, until the engine is gone.

    One is forked ahead whenever there is time: a client doesn't wait for a fork then.
    """

    def __init__(self, control: Channel, library: Library) -> None:
        self._control = control
        self._library = library
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        # Planners have the reading end: it ends with this process.
        self._life, self._end_of_life = os.pipe()
        self._ahead: Ahead | None = None
        self._forks_ahead = True

    def serve(self) -> None:
        """Run until the control socket ends."""
        self._watch(self._control.fileno(), self._hear)
        while self._handlers.get(self._control.fileno()):
            wants_one = self._ahead is None and self._forks_ahead
            ready = self._poll.poll(_IDLE_MS if wants_one else None)
            if wants_one and not ready:
                self._fork_ahead()
            for descriptor, _ in ready:
                # The one before may have ended it.
                if handler := self._handlers.get(descriptor):
                    handler()

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._handlers[descriptor] = handler

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]

    def _hear(self) -> None:
        """The engine names a client, or is gone."""
        message = self._control.receive()
        if message is None or message.op != "client" or len(message.descriptors) != 1:
            return self._forget(self._control.fileno())
        client = Channel(message.descriptors[0])
        self._watch(client.fileno(), lambda: self._begin(client))
        return None

    def _begin(self, client: Channel) -> None:
        """A client wants a plan."""
        self._forget(client.fileno())
        try:
            message = client.receive()
        except (ProtocolError, OSError):
            message = None
        if message is None or message.op != "plan" or len(message.descriptors) != 4:
            if message is not None:
                message.close()
            return client.close()
        try:
            pid, descriptor = self._given_ahead(message) or self._library.fork()
        except OSError:
            # Its caller starts a planner by itself, and tells what is wrong if it can't.
            message.close()
            return client.close()
        if pid == 0:
            become_planner(self._library, message, self._life)
        message.close()
        self._watch(client.fileno(), lambda: self._end(client, descriptor))
        self._watch(descriptor, lambda: self._reap(client, pid, descriptor))
        with contextlib.suppress(OSError):
            client.send("forked", {}, (descriptor,))
        return None

    def _fork_ahead(self) -> None:
        try:
            mounts = _mounts()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            self._forks_ahead = False
            return
        try:
            pid, descriptor = self._library.fork()
        except OSError:
            self._forks_ahead = False
            ours.close()
            theirs.close()
            return
        if pid == 0:
            wait_ahead(self._library, theirs.detach(), self._life)
        theirs.close()
        self._ahead = Ahead(pid, descriptor, Channel(ours.detach()), mounts)
        self._watch(descriptor, self._end_ahead)

    def _given_ahead(self, message: Message) -> tuple[int, int] | None:
        """The planner that was forked ahead, told what to do; None where there is none that is as good as a new one."""
        ahead = self._ahead
        if ahead is None:
            return None
        try:
            if ahead.mounts != _mounts():
                raise OSError("there are other mounts now")
            ahead.channel.send("plan", {}, message.descriptors)
        except OSError:
            self._end_ahead()
            return None
        self._ahead = None
        self._forget(ahead.descriptor)
        ahead.channel.close()
        return ahead.pid, ahead.descriptor

    def _end_ahead(self) -> None:
        """The planner that was forked ahead is of no use, or has ended."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        self._forget(ahead.descriptor)
        ahead.channel.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(ahead.descriptor, signal.SIGKILL)
        status = os.waitpid(ahead.pid, 0)[1]
        os.close(ahead.descriptor)
        # One that ends by itself would be followed by others for ever.
        self._forks_ahead = os.WIFSIGNALED(status)

    def _end(self, client: Channel, descriptor: int) -> None:
        """A client is gone, or says what none has to say."""
        self._forget(client.fileno())
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    def _reap(self, client: Channel, pid: int, descriptor: int) -> None:
        """A planner has ended, and with it all that it had started."""
        self._forget(descriptor)
        if client.fileno() in self._handlers:
            self._forget(client.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(descriptor)
        with contextlib.suppress(OSError):
            client.send("exited", {"status": code if code >= 0 else None, "signal": -code if code < 0 else None})
        client.close()


def wait_ahead(library: Library, control: int, life: int) -> NoReturn:
    """The life of a planner that is forked ahead: it waits for what a client has to say, and is that client's then."""
    code = 127
    try:
        # Clients of others are told things by the end of their sockets, so nobody else may hold these.
        kept = [2, *sorted((control, life)), (1 << 31) - 1]
        for low, high in itertools.pairwise(kept):
            os.closerange(low + 1, high)
        message = Channel(control).receive()
        if message is not None:
            become_planner(library, message, life)
    finally:
        os._exit(code)


def _mounts() -> bytes:
    """The mounts that this process sees. Raises OSError."""
    with open("/proc/self/mountinfo", "rb", 0) as file:
        return file.readall()


def become_planner(library: Library, message: Message, life: int) -> NoReturn:
    """The life of a forked planner: it reads what it is to do, enters its sandbox, plans, and exits."""
    code = 127
    try:
        request, *descriptors = message.descriptors
        work = json.loads(os.pread(request, os.fstat(request).st_size, 0))
        _take_limits(work["limits"])
        os.environ.clear()
        os.environ.update(work["environment"])
        time.tzset()
        bytes_max = [work[f"{name}_bytes_max"] for name in ("tmp", "memory", "output")]
        library.become_reader(work["paths"], work["links"], [*descriptors, life], bytes_max)
        # New ones: these have no position in what was there before.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        _settle()
        code = plan(work["arguments"])
        leave(code)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def _settle() -> None:
    """Have signals, and as many calls to go as deep as in, as Python has them that has just been started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    depth, frame = 0, sys._getframe(1)
    while frame is not None and frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(sys.getrecursionlimit() + depth)


def _take_limits(limits: list[Any]) -> None:
    """Have the client's limits; the engine's own may be others. Raises ValueError where a client's are higher."""
    for number, limit in enumerate(limits):
        if limit is not None and (soft_hard := tuple(limit)) != resource.getrlimit(number):
            resource.setrlimit(number, soft_hard)


def _import_all() -> None:
    # Arrow's allocator would start a thread, which no fork has.
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    for module in _READER_ONLY:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    for name in _LATER:
        importlib.import_module(f"zerrow.plan.{name}")
    for name in ("encodings.ascii", "encodings.utf_8_sig", "faulthandler", "fcntl", "shlex"):
        importlib.import_module(name)
    # Forks look whether its files are as they were, and read them where they aren't.
    own_code()
    # As a planner that has just been started has them.
    for module in _READER_ONLY:
        if sys.modules[module] is None:
            del sys.modules[module]


def main(library: str) -> int:
    """Warm up, say so, and serve; the exit status."""
    # The engine ends this process by closing its socket; a Ctrl-C on the terminal is for the engine.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        control = Channel(_CONTROL)
        warm = WarmPlanner(control, Library(library))
        _import_all()
        if len(os.listdir("/proc/self/task")) != 1:
            return 1
        gc.collect()
        gc.freeze()
        control.send("ready")
        warm.serve()
    except (ZerrowError, OSError, AttributeError) as error:
        print(f"warm planner: {error}", file=sys.stderr)
        return 1
    return 0

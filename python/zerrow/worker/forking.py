"""What a zygote does once it is warm: it forks workers, and reports how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from typing import NoReturn

from zerrow.worker import main, process
from zerrow.worker.abi import Isolation, View, WorkerLibrary
from zerrow.worker.channel import Channel, Message, ProtocolError
from zerrow.worker.fork_handlers import ForkHandlers

FORKS_WORTH_JOINING = 8
"""Joining memory into huge pages takes a zygote about as much time as so many forks save."""


class Zygote:
    """Answers the engine's messages `fork` and reports the end of workers, until the engine is gone."""

    def __init__(self, channel: Channel, library: WorkerLibrary, sandboxed: bool, handlers: ForkHandlers) -> None:
        self._channel = channel
        self._library = library
        self._sandboxed = sandboxed
        self._handlers = handlers
        self._seen: bytes | None = None  # what the last worker saw, as the engine says it
        self._view = View()
        self._isolation: Isolation | None = None
        self._workers: dict[int, tuple[str, int]] = {}  # pid → the engine's name of the worker, and a pidfd
        self._poll = select.poll()
        self._cpus = 0
        self._forks = 0
        self._may_join = True

    def serve(self) -> None:
        """Run until the control socket ends. Raises ProtocolError for what is malformed, OSError when nobody reads."""
        control = self._channel.fileno()
        self._poll.register(control, select.POLLIN)
        try:
            while True:
                ready = self._poll.poll(0) or self._use_the_time() or self._poll.poll()
                if any(descriptor != control for descriptor, _ in ready):
                    self._reap()
                if any(descriptor == control for descriptor, _ in ready):
                    message = self._channel.receive()
                    if message is None:
                        return
                    self._fork(message)
        finally:
            # In a sandbox the end of this process, the first of its pid namespace, is the end of all of them.
            if not self._sandboxed:
                for pid in self._workers:
                    end_group(pid)
                end_orphans(set())

    def _use_the_time(self) -> list[tuple[int, int]]:
        """Nobody waits: work a little on what makes forks cheaper, if there are many; nothing is ready."""
        while self._may_join and self._forks >= FORKS_WORTH_JOINING:
            self._may_join = self._library.join_memory(1) > 0
            if ready := self._poll.poll(0):
                return ready
        return []

    def _reap(self) -> None:
        """Collect every process that has ended: workers, and orphans that this process inherited."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker, descriptor = self._workers.pop(pid, (None, -1))
            if worker is None:
                continue
            self._poll.unregister(descriptor)
            os.close(descriptor)
            if not self._sandboxed:
                end_group(pid)
                end_orphans(set(self._workers))
            code = os.waitstatus_to_exitcode(status)
            fields = {
                "worker": worker,
                "status": code if code >= 0 else None,
                "signal": -code if code < 0 else None,
                "memory_bytes_max": usage.ru_maxrss * 1024,
                "cpu_ms": round(1000 * (usage.ru_utime + usage.ru_stime)),
            }
            self._channel.send("exited", fields)

    def _fork(self, message: Message) -> None:
        worker, uid, cpus = check_fork(message)
        channel, output, *seen = message.descriptors
        try:
            scratch = seen.pop() if message.body.get("scratch") is True else None
            isolation = self._isolation_for(uid, scratch, *seen)
            if cpus != self._cpus:
                # Here, as nearly all workers of a zygote are given as many.
                process.use_threads(cpus)
                self._cpus = cpus
            self._handlers.before()
            pid, descriptor = self._library.fork(isolation, channel, output)
            if pid == 0:
                become_worker(self._library, descriptor, cpus, self._view, self._handlers)
            self._handlers.after_in_parent()
        except OSError as error:
            said = error.strerror or str(error)
            self._channel.send("fork-failed", {"worker": worker, "message": said, "errno": error.errno})
            return
        finally:
            message.close()
        self._forks += 1
        self._workers[pid] = worker, descriptor
        self._poll.register(descriptor, select.POLLIN)
        self._channel.send("forked", {"worker": worker}, (descriptor,))

    def _isolation_for(self, uid: int | None, scratch: int | None, file: int | None = None) -> Isolation | None:
        """What isolates a worker that sees what the file says; all forks of a run send the same. None without a
        sandbox."""
        # By offsets: all forks of a run share one open file.
        text = b"" if file is None else os.pread(file, os.fstat(file).st_size, 0)
        if text != self._seen:
            self._view = View() if file is None else read_view(text)
            self._isolation = Isolation(self._view) if self._sandboxed else None
            self._seen = text
        return None if self._isolation is None else self._isolation.of(uid, scratch)


def check_fork(message: Message) -> tuple[str, int | None, int]:
    """The worker's name, uid and cpus; raises ProtocolError for anything else than a proper `fork`."""
    worker, uid, cpus = message.body.get("worker"), message.body.get("uid"), message.body.get("cpus", 1)
    counts = (4,) if message.body.get("scratch") is True else (2, 3)
    if message.op == "fork" and isinstance(worker, str) and len(message.descriptors) in counts:
        numbers = [number for number in (uid, cpus) if number is not None]
        if all(type(number) is int and 0 < number < 2**32 - 1 for number in numbers) and cpus is not None:
            return worker, uid, cpus
    message.close()
    raise ProtocolError(f"the message {message.op!r} is no proper 'fork' of one worker with its descriptors")


def read_view(text: bytes) -> View:
    """The view of a worker, from the file that came with its `fork`. Raises ProtocolError if it is none."""
    try:
        view = json.loads(text)
        rebuilt = tuple((each["folder"], tuple(each["shown"])) for each in view["rebuilt"])
        read = View(tuple(view["tmp"]), rebuilt, tuple(view["covered"]), tuple(view["overlaid"]))
        paths = [
            *read.tmp,
            *read.covered,
            *read.overlaid,
            *(path for folder, shown in rebuilt for path in (folder, *shown)),
        ]
        if all(isinstance(path, str) and path[:1] == "/" and "\0" not in path for path in paths):
            return read
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ProtocolError("what came with a 'fork' is no list of what its worker sees")


def end_group(leader: int) -> None:
    """Kill and collect the processes that a worker without a pid namespace left in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-leader, 0)


def end_orphans(workers: set[int]) -> None:
    """Kill and collect processes of dead workers in sessions of their own: all children of this one but `workers`."""
    path = f"/proc/self/task/{os.getpid()}/children"
    while True:
        with contextlib.suppress(FileNotFoundError), open(path) as file:
            orphans = {int(pid) for pid in file.read().split()} - workers
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                # Its own children are this process's from now on.
                os.waitpid(pid, 0)
            if orphans:
                continue
        return


def become_worker(library: WorkerLibrary, code: int, cpus: int, view: View, handlers: ForkHandlers) -> NoReturn:
    """Turn the forked child into a worker; `code` says how far its isolation went. Never returns to the zygote's code,
    whatever happens."""
    try:
        library.check(code)
        handlers.after_in_child()
        process.draw_own_numbers()
        main.run(Channel(process.CHANNEL_DESCRIPTOR, takes=True), library, cpus, view)
    except BaseException as error:
        print(f"the worker could not start: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)

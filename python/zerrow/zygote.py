"""The zygote: a warm process of one environment that forks its workers (`python -m zerrow.zygote`).

It is the first process of its pid namespace, so it also reaps what dead workers leave behind. It runs no user code, and
starts no thread: a fork copies only the thread that forks, and locks that others hold would stay locked for ever.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import platform
import select
import signal
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from zerrow.worker.abi import View, WorkerLibrary
    from zerrow.worker.channel import Channel, Message

CONTROL_DESCRIPTOR = 3

SETTINGS = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # mimalloc (DataFusion's) reserves address space in steps; the arena makes 2 MiB pages of steps this small.
    "MIMALLOC_ARENA_RESERVE": "32MiB",
    # Importing numpy would start OpenBLAS's threads.
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment variables that libraries read while they are loaded; those that are set already win."""

NAMESPACE_LIMITS = {"max_inotify_instances": 32, "max_inotify_watches": 16384, "max_fanotify_groups": 8}
"""A quarter or less of what systems give one user; the names are those of files below /proc/sys/user."""

ALLOCATORS = ("JE_ARROW_MALLOC_CONF", "_RJEM_MALLOC_CONF")
"""Where the jemallocs of pyarrow and of polars read settings; they would start background threads."""


class Zygote:
    """Answers the engine's messages `fork` and reports the end of workers, until the engine is gone."""

    def __init__(self, channel: Channel, library: WorkerLibrary, sandboxed: bool) -> None:
        self._channel = channel
        self._library = library
        self._sandboxed = sandboxed
        self._workers: dict[int, str] = {}  # pid → the engine's name of the worker

    def serve(self) -> None:
        """Run until the control socket ends. Raises ProtocolError for what is malformed, OSError when nobody reads."""
        awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        poll = select.poll()
        for descriptor in (self._channel.fileno(), awake):
            poll.register(descriptor, select.POLLIN)
        try:
            while True:
                ready = {descriptor for descriptor, _ in poll.poll()}
                if awake in ready:
                    os.read(awake, 4096)
                    self._reap()
                if self._channel.fileno() in ready:
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

    def _reap(self) -> None:
        """Collect every process that has ended: workers, and orphans that this process inherited."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
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
        scratch = seen.pop() if message.body.get("scratch") is True else None
        try:
            pid, descriptor = self._start(uid, cpus, read_view(*seen), channel, output, scratch)
        except OSError as error:
            said = error.strerror or str(error)
            self._channel.send("fork-failed", {"worker": worker, "message": said, "errno": error.errno})
            return
        finally:
            message.close()
        self._workers[pid] = worker
        try:
            self._channel.send("forked", {"worker": worker}, (descriptor,))
        finally:
            os.close(descriptor)

    def _start(
        self, uid: int | None, cpus: int, view: View, channel: int, output: int, scratch: int | None
    ) -> tuple[int, int]:
        """Fork; the worker's pid and a pidfd of it. A worker that cannot be watched is killed at once."""
        if self._sandboxed:
            self._library.fork_prepare()
        pid = 0
        try:
            try:
                with warnings.catch_warnings():
                    # A library warns of forks since it may have threads later: there are none here.
                    warnings.simplefilter("ignore")
                    pid = os.fork()
                if pid == 0:
                    become_worker(self._library, self._sandboxed, uid, cpus, view, channel, output, scratch)
            finally:
                if self._sandboxed:
                    self._library.fork_restore()
            return pid, os.pidfd_open(pid)
        except OSError:
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            raise


def check_fork(message: Message) -> tuple[str, int | None, int]:
    """The worker's name, uid and cpus; raises ProtocolError for anything else than a proper `fork`."""
    from zerrow.worker.channel import ProtocolError

    worker, uid, cpus = message.body.get("worker"), message.body.get("uid"), message.body.get("cpus", 1)
    counts = (4,) if message.body.get("scratch") is True else (2, 3)
    if message.op == "fork" and isinstance(worker, str) and len(message.descriptors) in counts:
        numbers = [number for number in (uid, cpus) if number is not None]
        if all(type(number) is int and 0 < number < 2**32 - 1 for number in numbers) and cpus is not None:
            return worker, uid, cpus
    message.close()
    raise ProtocolError(f"the message {message.op!r} is no proper 'fork' of one worker with its descriptors")


def read_view(file: int | None = None) -> View:
    """The view of a worker, from the file that came with its `fork`. Raises ProtocolError if it is none."""
    from zerrow.worker.abi import View
    from zerrow.worker.channel import ProtocolError

    if file is None:
        return View()
    # By offsets: all forks of a run share one open file.
    text = os.pread(file, os.fstat(file).st_size, 0)
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


def become_worker(
    library: WorkerLibrary,
    sandboxed: bool,
    uid: int | None,
    cpus: int,
    view: View,
    channel: int,
    output: int,
    scratch: int | None = None,
) -> NoReturn:
    """Turn the forked child into a worker. Never returns to the zygote's code, whatever happens."""
    try:
        from zerrow.worker import main, process
        from zerrow.worker.channel import Channel

        scratch = process.place_descriptors(channel, output, scratch)
        process.open_streams()
        process.settle(cpus)
        if sandboxed:
            library.enter(uid, view, scratch)
            if scratch is not None:
                os.close(scratch)
        else:
            os.setpgid(0, 0)
        main.run(Channel(process.CHANNEL_DESCRIPTOR, takes=True), library, cpus, view)
    except BaseException as error:
        print(f"the worker could not start: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def begin_again(modules: list[str]) -> NoReturn:
    """Run this program from its beginning, with these modules to import. Threads that were started end. Raises
    OSError."""
    os.environ["ZERROW_PRELOAD_MODULES"] = ",".join(modules)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def limit_namespace() -> None:
    """Bound what one user of this user namespace may have; the kernel counts it against the engine's user as well.

    A kernel without such a bound leaves things as they are.
    """
    for name, most in NAMESPACE_LIMITS.items():
        with contextlib.suppress(OSError), open(f"/proc/sys/user/{name}", "w") as file:
            file.write(str(most))


def main() -> int:
    """Warm up, say so, and serve; the exit status."""
    # Before anything is imported that reads them.
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ALLOCATORS:
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "background_thread:false")))
    # The engine ends a zygote by closing its socket; a Ctrl-C on the terminal is the engine's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    from zerrow.errors import ZerrowError
    from zerrow.worker import process
    from zerrow.worker.abi import WorkerLibrary
    from zerrow.worker.channel import Channel
    from zerrow.worker.warm_up import StartsThreads, warm_up

    sandboxed = os.environ.get("ZERROW_SANDBOX", "1") != "0"
    if sandboxed:
        limit_namespace()
    try:
        library = WorkerLibrary(os.environ["ZERROW_WORKER_LIBRARY"])
        channel = Channel(CONTROL_DESCRIPTOR)
        if not sandboxed:
            process.become_subreaper()
        importlib.import_module("zerrow.worker.main")  # all that a worker runs, imported once, here
        names = [name.strip() for name in os.environ.get("ZERROW_PRELOAD_MODULES", "").split(",")]
        try:
            modules = warm_up(name for name in names if name)
        except StartsThreads as found:
            begin_again([name for name in names if name not in ("", *found.args)])
        # Objects that exist now are never garbage: collecting them in a worker would only copy their pages.
        gc.collect()
        gc.freeze()
        channel.send("ready", {"python": platform.python_version(), "modules": modules})
        Zygote(channel, library, sandboxed).serve()
    except KeyError as error:
        print(f"zygote: the environment variable {error} is not set", file=sys.stderr)
        return 2
    except (ZerrowError, OSError) as error:
        print(f"zygote: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The zygote: a warm process of one environment that forks its workers (`python -m zerrow.zygote`).

It is the first process of its pid namespace, so it also reaps what dead workers leave behind. It runs no user code, and
starts no thread: a fork copies only the thread that forks, and locks that others hold would stay locked for ever.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from zerrow.worker.channel import Channel

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


def begin_again(modules: list[str]) -> NoReturn:
    """Run this program from its beginning, with these modules to import. Threads that were started end. Raises
    OSError."""
    os.environ["ZERROW_PRELOAD_MODULES"] = ",".join(modules)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def preloaded(channel: Channel) -> list[str]:
    """The modules to import. Where they aren't known yet, all that is common to zygotes is done until the engine says.

    Raises ProtocolError for another message, and for the end of the engine.
    """
    from zerrow.worker.channel import ProtocolError
    from zerrow.worker.warm_up import use_pyarrow

    if (text := os.environ.get("ZERROW_PRELOAD_MODULES")) is not None:
        return [name.strip() for name in text.split(",")]
    use_pyarrow()
    message = channel.receive()
    if message is not None:
        message.close()
        modules = message.body.get("modules")
        if message.op == "preload" and isinstance(modules, list) and all(isinstance(name, str) for name in modules):
            return modules
    raise ProtocolError("nobody says which modules to import")


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
    from zerrow.worker import warm_memory
    from zerrow.worker.fork_handlers import ForkHandlers

    handlers = ForkHandlers()
    warm_memory.gather(os.environ.get("ZERROW_WORKER_LIBRARY", ""))
    from zerrow.errors import ZerrowError
    from zerrow.worker import process, watch
    from zerrow.worker.abi import WorkerLibrary
    from zerrow.worker.channel import Channel
    from zerrow.worker.forking import Zygote  # all that a worker runs, imported once, here
    from zerrow.worker.warm_up import StartsThreads, warm_up

    sandboxed = os.environ.get("ZERROW_SANDBOX", "1") != "0"
    if sandboxed:
        limit_namespace()
    try:
        library = WorkerLibrary(os.environ["ZERROW_WORKER_LIBRARY"])
        channel = Channel(CONTROL_DESCRIPTOR)
        if not sandboxed:
            process.become_subreaper()
        names = preloaded(channel)
        try:
            modules = warm_up(name for name in names if name)
        except StartsThreads as found:
            begin_again([name for name in names if name not in ("", *found.args)])
        if "numpy.random" in sys.modules:
            process.find_numpy_key()
        watch.make()
        handlers.stop()
        process.open_streams()
        zygote = Zygote(channel, library, sandboxed, handlers)
        # Objects that exist now are never garbage: collecting them in a worker would only copy their pages.
        gc.collect()
        gc.freeze()
        library.fill_memory()
        channel.send("ready", {"python": platform.python_version(), "modules": modules})
        zygote.serve()
    except KeyError as error:
        print(f"zygote: the environment variable {error} is not set", file=sys.stderr)
        return 2
    except (ZerrowError, OSError) as error:
        print(f"zygote: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

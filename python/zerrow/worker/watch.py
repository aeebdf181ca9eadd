"""Watches the things that a model asks the world for and that its text doesn't tell: those that are cheap to see.

Functions are replaced that hardly anybody calls often. Python's audit events would tell more, but a hook for them makes
every call of id() twenty times as slow, and with it copy.deepcopy five times.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import io
import itertools
import linecache
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from zerrow.tool_folders import in_tool_folder
from zerrow.worker import process

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_FUNCTIONS = {
    "socket": ("getaddrinfo", "gethostname", "gethostbyname", "gethostbyaddr", "getnameinfo", "getfqdn"),
    "os": ("system", "popen", "posix_spawn", "posix_spawnp", "getlogin", "uname", "getloadavg"),
}
_METHODS = (("socket", "socket", ("connect", "connect_ex", "sendto", "bind")), ("subprocess", "Popen", ("__init__",)))
"""Python's classes with methods that reach out; these methods are replaced once the module is there."""
_STARTED_ELSEWHERE = (
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.popen_forkserver",
    "joblib.externals.loky.backend.popen_loky_posix",
    "loky.backend.popen_loky_posix",
)
"""Modules that are loaded when processes are started that read the project's files anew."""
_NUMPY_SEEDS = ("seed", "set_state")
_OWN_CHANCE = ("multiprocessing", "tempfile")
"""Modules whose random numbers are in no result: keys, and names of files."""
_OWN_TIME = (
    *("logging", "threading", "queue", "concurrent", "multiprocessing", "asyncio", "socket", "select", "subprocess"),
    *("warnings", "unittest", "tempfile", "sched", "cProfile", "profile", "shelve", "importlib", "_bootstrap"),
)
"""Modules that look at a clock to wait, to log or to measure."""
_SETTINGS = ("/proc/", "/sys/", "/etc/", "/dev/")
"""Folders in which libraries read how the machine is set up."""
_FRAMES_MAX = 200
_SEEDED = re.compile(r"RandomState\(\s*(?:seed\s*=\s*)?(?:(\d+)|(\w+))\s*\)\Z")
"""A generator that draws entropy before it takes the seed that it is given: a number or what a name stands for."""


@functools.cache
def installed_folders() -> tuple[str, ...]:
    """The folders of what is installed, and of what is a worker's own; found out once, in the zygote."""
    found = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "/usr", "/lib", "/lib64", "/tmp", "/dev/shm")
    return tuple(os.path.join(each, "") for each in (*map(os.path.realpath, found), *found))


class Watch:
    """The things that one model's process asked the world for."""

    def __init__(self, folder: str = "") -> None:
        """`folder` is the project's. What will be put in place of functions is made here: in the zygote, for all its
        workers."""
        self._below = os.path.join(folder, "")
        self._library = os.path.dirname(os.__file__)
        self._inside = installed_folders()
        self._asked: dict[str, None] = {}
        self._is_over = False
        self.opened: set[str] = set()
        """Files of the project that Python has opened."""
        self._chance: dict[str, Any] = {}
        self._modules_count = len(sys.modules)
        self._replaced: set[str] = set()
        self._stand_ins: list[tuple[Any, str, Any]] = list(self._make_stand_ins())
        self._seeds = {"random": self._make_seeds("random", random, ("seed", "setstate"))}
        if "numpy.random" in sys.modules:
            self._seeds["numpy.random"] = self._make_seeds("numpy.random", sys.modules["numpy.random"], _NUMPY_SEEDS)

    def _make_stand_ins(self) -> Iterator[tuple[Any, str, Any]]:
        for name in _CLOCKS:
            for clock in (name, f"{name}_ns"):
                yield time, clock, self._clock(clock, getattr(time, clock))
        entropy = self._entropy(os.urandom)
        yield from ((os, "urandom", entropy), (random, "_urandom", entropy))
        for module in (builtins, io):
            yield module, "open", self._reading(io.open)
        for name in ("open", "listdir", "scandir"):
            yield os, name, self._reading(getattr(os, name))
        for module_name, functions in _FUNCTIONS.items():
            module = sys.modules[module_name]
            for name in functions:
                yield module, name, self._asking(f"{module_name}.{name}", getattr(module, name))

    def begin(self, folder: str | None = None) -> None:
        """Watch from now on, the project in `folder` if it wasn't named before; before the project's code is run."""
        if folder is not None:
            self._below = os.path.join(folder, "")
        for module, name, stand_in in self._stand_ins:
            original = getattr(module, name)
            setattr(module, name, stand_in)
            if module is os:
                for able in (os.supports_fd, os.supports_dir_fd):
                    if original in able:
                        able.add(stand_in)
        self._watch_chance("random", random.getstate)
        self.look_again()

    def look_again(self) -> None:
        """Watches what has been imported since."""
        module = sys.modules.get("numpy.random")
        if module is not None and "numpy.random" not in self._chance:
            if "numpy.random" not in self._seeds:
                self._seeds["numpy.random"] = self._make_seeds("numpy.random", module, _NUMPY_SEEDS)
            self._watch_chance("numpy.random", lambda: _numpy_state(module))
        for module_name, kind, methods in _METHODS:
            if module_name in sys.modules and module_name not in self._replaced:
                self._replaced.add(module_name)
                found = getattr(sys.modules[module_name], kind)
                for name in methods:
                    setattr(found, name, self._asking(f"{module_name}.{kind}", getattr(found, name)))

    def end(self) -> list[str]:
        """The things asked for, with their places: none if the result is like that of another run."""
        self._is_over = True
        found = list(self._asked)
        for name, state in self._chance.items():
            if state is not None and state["now"]() != state["first"]:
                found.append(f"{name} without a seed")
        found += self._modules_of_tools()
        found += [f"processes that {name} started" for name in _STARTED_ELSEWHERE if name in sys.modules]
        return found

    def _modules_of_tools(self) -> list[str]:
        """The modules that were imported from folders that are in no key."""
        found = []
        # From the end: a look at the others would copy the pages of memory that they share with the zygote.
        for name in list(itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - self._modules_count))):
            file = getattr(sys.modules[name], "__file__", None)
            is_below = isinstance(file, str) and file.startswith(self._below)
            if is_below and in_tool_folder(file[len(self._below) :]):
                found.append(f"the module {name} of {file[len(self._below) :][:80]}")
        return found

    def _note(self, what: str, frame: FrameType | None) -> bool:
        place = self._place(frame)
        if place is not None and not self._is_over:
            self._asked[f"{what} at {place}"] = None
        return place is not None

    def _place(self, frame: FrameType | None) -> str | None:
        """The line of the project that asks; None where it is a library's own business while it is imported."""
        for _ in range(_FRAMES_MAX):
            if frame is None:
                return None
            file = frame.f_code.co_filename
            if file.startswith(self._below):
                return f"{file[len(self._below) :]}:{frame.f_lineno}"
            if file.startswith("<frozen importlib"):
                return None
            frame = frame.f_back
        return None

    # MARK: Clocks and chance

    def _clock(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        is_known = False

        def clock() -> Any:
            nonlocal is_known
            # A library's own use, such as a log's, is none of the model's.
            if not is_known and (frame := self._caller(sys._getframe(1))).f_code.co_filename.startswith(self._below):
                is_known = self._note(f"time.{name}", frame)
                if getattr(time, name) is clock:  # nobody else has put another one there
                    setattr(time, name, original)
            return original()

        clock.__name__ = clock.__qualname__ = name
        return clock

    def _caller(self, frame: FrameType) -> FrameType:
        """The caller of a function of Python's library that tells the time; others don't tell it to their callers."""
        while (
            frame.f_code.co_filename.startswith(self._library)
            and not frame.f_globals.get("__name__", "").startswith(_OWN_TIME)
            and frame.f_back is not None
        ):
            frame = frame.f_back
        return frame

    def _entropy(self, original: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def urandom(size: int, /) -> bytes:
            frame = sys._getframe(1)
            # numpy's generators are seeded by secrets.randbits, which is that method; they have no frames of their own.
            is_seed = frame.f_code.co_name == "getrandbits"
            while frame.f_back is not None and self._is_library(frame.f_code.co_filename):
                is_importing = frame.f_code.co_filename.startswith("<frozen importlib")
                if is_importing or frame.f_globals.get("__name__", "").startswith(_OWN_CHANCE):
                    return original(size)
                frame = frame.f_back
            if is_seed and _is_seeded(frame):
                return original(size)
            # Libraries make names with it.
            if is_seed or frame.f_code.co_filename.startswith(self._below):
                self._note("os.urandom", frame)
            return original(size)

        return urandom

    def _watch_chance(self, name: str, now: Callable[[], Any]) -> None:
        """Compares the state of a generator with what it was; one that is seeded before it is used has no chance."""
        self._chance[name] = {"now": now, "first": now()}
        for module, seed, stand_in in self._seeds[name]:
            setattr(module, seed, stand_in)

    def _make_seeds(self, name: str, module: Any, seeds: tuple[str, ...]) -> list[tuple[Any, str, Any]]:
        """What stands in for functions of the module that seed its generator."""
        made = []
        for seed in seeds:
            original = getattr(module, seed)

            def seeded(*arguments: Any, _original: Callable[..., Any] = original, **named: Any) -> Any:
                state = self._chance[name]
                is_given = any(each is not None for each in (*arguments[:1], *named.values()))
                if is_given and state is not None and state["now"]() == state["first"]:
                    self._chance[name] = None
                return _original(*arguments, **named)

            made.append((module, seed, seeded))
        return made

    # MARK: Files, processes, the network

    def _asking(self, what: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*arguments: Any, **named: Any) -> Any:
            self._note(what, sys._getframe(1))
            return original(*arguments, **named)

        return functools.wraps(original)(asking)

    def _reading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*arguments: Any, **named: Any) -> Any:
            path = arguments[0] if arguments else named.get("file", named.get("path"))
            if not isinstance(path, int):
                with contextlib.suppress(Exception):  # whatever is wrong with it, the function itself will say
                    self._reads("." if path is None else path, sys._getframe(1))
            return original(*arguments, **named)

        return functools.wraps(original)(reading)

    def _reads(self, path: Any, frame: FrameType) -> None:
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(self._below):
            self.opened.add(path)
            if in_tool_folder(path[len(self._below) :]):
                self._note(f"the path {path[len(self._below) :][:80]!r}, which is a tool's", frame)
        elif path != "/dev/null" and not os.path.join(path, "").startswith(self._inside):
            while frame.f_back is not None and self._is_library(frame.f_code.co_filename):
                frame = frame.f_back
            is_direct = frame.f_code.co_filename.startswith(self._below)
            if is_direct or not path.startswith(_SETTINGS):
                self._note(f"the path {path[:80]!r}", frame)

    def _is_library(self, file: str) -> bool:
        """Whether it is Python's own: a library that is installed asks for itself."""
        return file[:1] == "<" or (file.startswith(self._library) and "site-packages" not in file)


_made: Watch | None = None


def make() -> None:
    """In the zygote, once all is imported: make the watch that each worker needs at most one of."""
    global _made
    _made = Watch()


def begin(folder: str) -> Watch:
    """Watch the project in `folder` from now on."""
    watch = _made or Watch()
    watch.begin(folder)
    return watch


def _is_seeded(frame: FrameType) -> bool:
    """Whether the call that a frame is making has a seed, as far as that can be told."""
    found = _SEEDED.search(_call_text(frame))
    if found is None:
        return False
    return found[1] is not None or frame.f_locals.get(found[2], frame.f_globals.get(found[2])) is not None


def _call_text(frame: FrameType) -> str:
    """The text of the call that a frame is making; empty where it has several lines, or is not known."""
    if not hasattr(frame.f_code, "co_positions"):
        return _only_call(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())
    positions = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    line, last, start, stop = positions
    if line is None or line != last:
        return ""
    return linecache.getline(frame.f_code.co_filename, line).encode()[start:stop].decode(errors="replace")


def _only_call(line: str) -> str:
    """The call in a line that has no other, for a Python that doesn't say which one it is making; else nothing."""
    try:
        calls = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError):
        return ""
    return ast.get_source_segment(line, calls[0]) or "" if len(calls) == 1 else ""


def _numpy_state(module: Any) -> Any:
    try:
        if (seen := process.numpy_numbers(module)) is not None:
            return seen
        state = module.get_state(legacy=False)
        return state["state"]["key"].tobytes(), state["state"]["pos"], state["gauss"], state["has_gauss"]
    except Exception:  # another generator has been put in its place
        return None

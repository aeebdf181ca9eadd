"""How a worker says what went wrong: the user's own frames, and a message that says what to do.

A report is the `error` of the protocol's message `failed` (docs/protocol.md).
"""

from __future__ import annotations

import errno
import json
import os
import resource
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from zerrow.errors import ZerrowError
from zerrow.worker.missing_modules import missing_module

WORDS_MAX = 1000
"""So many words of a message are looked at for a path."""

REPORT_BYTES_MAX = 100 * 1024
"""A report must fit one datagram of the protocol, with room for its frame."""


HIDDEN = (
    "\n{name} is hidden from models, as are sources, folders that runs write to, .git and what git ignores: "
    "to show a file that git ignores, name it under 'show:' in the project file"
)
"""What is added to the message of an error over a file that models don't see."""

Hides = Callable[[str], bool]


class WorkerFailure(ZerrowError):
    """A failure the worker itself found; `kind` is `user`, `result`, `input`, `memory`, `disk` or `internal`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, code=kind)
        self.kind = kind


def report(
    error: BaseException,
    kind: str,
    folder: str | None,
    hides: Hides | None = None,
    task: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Describe `error`, which was raised during the work that `kind` names, for a project in `folder`. Never raises.

    `hides` tells of a path whether it is one that models don't see; `task` is what was to be done.
    """
    try:
        described = _describe(error, kind, folder)
        if folder is not None and hides is not None and (name := _hidden_name(error, folder, hides)) is not None:
            described["message"] += HIDDEN.format(name=name)
        elif isinstance(error, ModuleNotFoundError) and folder is not None and "package_advice" in task:
            described["message"] = missing_module(error, folder, task) or described["message"]
        return _fit(described)
    except Exception as broken:  # an exception object of the user can do anything when it is looked at
        message = f"{type(error).__name__}, and it cannot be described: {type(broken).__name__}"
        return {"kind": kind, "message": message, "traceback": None, "file": None, "line": None}


def _hidden_name(error: BaseException, folder: str, hides: Hides) -> str | None:
    """The file of the project that an error is about, if models don't see it."""
    for path in _paths(error):
        # As the model named it: from the folder it is in, which is the project's unless it has changed that.
        path = os.path.normpath(os.path.join(folder, path))
        if path.startswith(os.path.join(folder, "")) and hides(path):
            return os.path.relpath(path, folder)
    return None


def _paths(error: BaseException) -> Iterator[str]:
    """What of an error could be a path: libraries in other languages name it in their message only."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        path = error.name.replace(".", os.sep)
        yield from (f"{path}.py", path)
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        yield os.fsdecode(error.filename)
    for word in _summary(error)[:REPORT_BYTES_MAX].split()[:WORDS_MAX]:
        if "." in word or "/" in word:
            yield word.strip("'\"`()[]<>,:;")


def _describe(error: BaseException, kind: str, folder: str | None) -> dict[str, Any]:
    if isinstance(error, WorkerFailure):
        kind, message = error.kind, str(error)
    elif is_memory(error):
        kind, message = "memory", f"out of memory: {_summary(error)}"
    else:
        message = _advise(error)
    file, line, trace = None, None, None
    if folder is not None:
        described = traceback.TracebackException.from_exception(error)
        _keep_user_frames(described, folder)
        file, line = _deepest(error, described, folder)
        if described.stack or kind == "user":
            trace = "".join(described.format())
    elif kind == "internal":
        trace = "".join(traceback.format_exception(error))
    return {"kind": kind, "message": message, "traceback": trace, "file": file, "line": line}


# DataFusion says first what it was about to do, where it knows.
_EXHAUSTED = "Resources exhausted: "


def is_memory(error: BaseException) -> bool:
    """Does this exception, of whatever library, say that memory ran out?"""
    package = type(error).__module__.partition(".")[0]
    if isinstance(error, MemoryError) or (type(error).__name__ == "OutOfMemoryException" and "duckdb" in package):
        return True
    said = _summary(error)
    return package == "builtins" and said.startswith("Exception: DataFusion error: ") and _EXHAUSTED in said


def _advise(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the model called sys.exit({error.code!r}): a model returns a table or raises an exception"
    if isinstance(error, KeyboardInterrupt):
        return "the model was interrupted (KeyboardInterrupt)"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("zerrow"):
        package = error.name.partition(".")[0]
        return (
            f"no module named {error.name!r}: put {package}.py beside the models, "
            f"or add the package that provides {package!r} to the packages of the project"
        )
    if _is_refused_process(error):
        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        return (
            f"{_summary(error)}: if it was to start a process or a thread, the model has as many processes and threads "
            f"as it may have (at most {most})"
        )
    return _summary(error)


def _is_refused_process(error: BaseException) -> bool:
    """Does this exception say what Python says when the kernel makes no more processes or threads?"""
    if isinstance(error, BlockingIOError):
        return error.errno == errno.EAGAIN and error.filename is None
    return isinstance(error, RuntimeError) and str(error) == "can't start new thread"


def _summary(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error).format_exception_only()).strip()


def _keep_user_frames(described: traceback.TracebackException, folder: str) -> None:
    """Drop the frames outside the project, in chained exceptions too; name the others' files relative to it."""
    todo, seen = [described], set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        kept = [_relative_frame(frame, folder) for frame in each.stack]
        each.stack[:] = [frame for frame in kept if frame is not None]
        if isinstance(getattr(each, "filename", None), str):
            each.filename = relative(each.filename, folder) or each.filename
        todo += [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or [])]


def _relative_frame(frame: traceback.FrameSummary, folder: str) -> traceback.FrameSummary | None:
    name = relative(frame.filename, folder)
    if name is None:
        return None
    return traceback.FrameSummary(
        name,
        frame.lineno,
        frame.name,
        lookup_line=False,
        line=frame.line,
        # Which part of a line it was, from Python 3.11 on.
        **{key: getattr(frame, key) for key in ("end_lineno", "colno", "end_colno") if hasattr(frame, key)},
    )


def relative(filename: str, folder: str) -> str | None:
    """The file's name within the project folder; None when it is not the user's own."""
    if not os.path.isabs(filename):  # code without a file, or a library's compiled part
        return None
    name = os.path.relpath(os.path.realpath(filename), os.path.realpath(folder))
    if name.startswith(os.pardir + os.sep) or "site-packages" in name.split(os.sep):
        return None
    return name


def _deepest(
    error: BaseException, described: traceback.TracebackException, folder: str
) -> tuple[str | None, int | None]:
    if isinstance(error, SyntaxError) and error.filename and (name := relative(error.filename, folder)):
        return name, error.lineno
    if described.stack:
        return described.stack[-1].filename, described.stack[-1].lineno
    return None, None


def _fit(described: dict[str, Any]) -> dict[str, Any]:
    """Cut the middle out of texts until the report fits."""
    for most in (32 * 1024, 8 * 1024, 1024):
        if len(json.dumps(described)) <= REPORT_BYTES_MAX:
            break
        for key in ("traceback", "message"):
            described[key] = _cut(described[key], most)
    return described


def _cut(text: str | None, most: int) -> str | None:
    if text is None or len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"

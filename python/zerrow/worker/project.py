"""Loading a Python model: the project's file is compiled and run in the worker, and nowhere else."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from zerrow.worker.failures import WorkerFailure

CLOCK_TICK_NS = 20_000_000
"""The times of files follow the clock in steps, of 10 ms at most."""


class Loaded(NamedTuple):
    """A model's function, and the files of the project that were loaded for it."""

    function: Callable[..., Any]
    files: list[str]

    def mentions(self, word: str) -> bool:
        """Is the word in the source of any of the files?"""
        return any(word in Path(file).read_text("utf-8", "replace") for file in self.files)


def files_changed(folder: str, since_ns: int, count: int) -> list[str]:
    """The project's files among the `count` modules loaded last that were changed after a time, or are gone.

    Their names are relative to `folder`, as in the plan.
    """
    found = []
    for file in _files_loaded(folder, count):
        try:
            status = os.stat(file)
            is_changed = max(status.st_mtime_ns, status.st_ctime_ns) > since_ns - CLOCK_TICK_NS
        except OSError:
            is_changed = True
        if is_changed:
            found.append(os.path.relpath(file, folder))
    return sorted(found)


def load_function(folder: str, file: str, function: str) -> Loaded:
    """Run the module `file` of the project in `folder` and give its function.

    The folder becomes the working directory and the first place modules are sought, so that helper modules and data
    beside the models are found as when Python runs a script there. Exceptions of the user's code pass.
    """
    os.chdir(folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    before = len(sys.modules)
    module = _load(os.path.join(folder, file), _module_name(file))
    found = getattr(module, function, None)
    if not callable(found):
        raise WorkerFailure("user", f"{file} has no function {function!r} once it has run")
    return Loaded(found, _files_loaded(folder, len(sys.modules) - before))


def _files_loaded(folder: str, count: int) -> list[str]:
    """The project's files among the `count` modules that were loaded last.

    Only these are looked at: touching each of the hundreds that the zygote had loaded would copy their pages.
    """
    prefix = os.path.join(folder, "")
    # A list at once: a thread of the model's may be importing.
    modules = list(itertools.islice(reversed(sys.modules.values()), max(0, count)))
    files = [vars(module).get("__file__") for module in modules]
    return [file for file in files if isinstance(file, str) and file.startswith(prefix)]


def _module_name(file: str) -> str:
    """The dotted name under which the project's own modules import the file; another one where that is taken."""
    name = os.path.splitext(file)[0].replace(os.sep, ".")
    taken = name in sys.modules or name.partition(".")[0] in sys.stdlib_module_names
    return f"zerrow_project.{name}" if taken else name


def _load(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise WorkerFailure("user", f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError as error:
        if error.filename == path:
            raise WorkerFailure("user", f"{path} is gone: it was there when the run was planned") from error
        raise
    return module

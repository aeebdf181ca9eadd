"""Loading a Python model: the project's modules are run in the worker, and nowhere else.

Code that was handed over is run as it was when the run was planned. Other modules of the project are read from their
files; its `__pycache__` is neither read nor written, since nobody can say what it was made of.

As when Python runs a script of the folder, the project's code finds the project's modules before all others. Other code
finds them after all others: a random.py of the project replaces no module that a library wants.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import linecache
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from zerrow.identity import TICK_NS
from zerrow.pieces import is_built_in
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.handed_over import Lines, Module

PREFIX = "zerrow_project"
"""The package of those modules of the project whose names other modules have."""


class Loaded(NamedTuple):
    """A model's function, and the sources of the project's modules that it was loaded from."""

    function: Callable[..., Any]
    sources: list[bytes]

    def mentions(self, word: str) -> bool:
        """Is the word in the source of any of the project's modules that were loaded?"""
        return any(word.encode() in source for source in self.sources)


class _Modules:
    """The project's modules as one load sees them."""

    def __init__(self, folder: str, handed: Sequence[Module]) -> None:
        self.folder = folder
        self.by_name = {module.name: module for module in handed}
        self.by_path = {module.path: module for module in handed}
        self.sources: list[bytes] = []
        self.read: list[str] = []
        # A folder without __init__.py takes nobody's name.
        self.shared_names = {name for name in self.by_name if "." not in name and self._is_taken(name)}
        self._builtins = {**vars(builtins), "__import__": self._import} if self.shared_names else None

    def _is_taken(self, name: str) -> bool:
        """Whether a module that is no part of the project has the name."""
        if name in sys.modules or name in sys.stdlib_module_names:
            return True
        places = [place for place in sys.path if place != self.folder]
        found = importlib.machinery.PathFinder.find_spec(name, places)
        return found is not None and found.loader is not None

    def full_name(self, name: str) -> str:
        """The name of a module in sys.modules."""
        return f"{PREFIX}.{name}" if name.partition(".")[0] in self.shared_names else name

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """The `import` of the project's code, where it has a module with the name of another one."""
        top = name.partition(".")[0]
        # What Python has built in comes first, whatever the folder holds. A module that imports what it is called like
        # itself means the other one.
        is_itself = globals is not None and globals.get("__name__") == f"{PREFIX}.{name}"
        if level != 0 or top not in self.shared_names or is_itself or is_built_in(top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(f"{PREFIX}.{name}", globals, locals, fromlist or ("__name__",), 0)
        return module if fromlist else sys.modules[f"{PREFIX}.{top}"]

    def prepare(self, module: ModuleType) -> None:
        """Readies a module of the project to be run."""
        if self._builtins is not None:
            module.__dict__["__builtins__"] = self._builtins


_modules: _Modules | None = None


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module of the project."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the code that was handed over, else that of the file."""
        assert _modules is not None
        _modules.prepare(module)
        handed = _modules.by_path.get(self.path)
        if handed is None:
            exec(self._from_file(), module.__dict__)
            return
        _modules.sources.append(handed.source)
        linecache.cache[self.path] = (len(handed.source), None, Lines(handed), self.path)  # type: ignore[assignment]
        for code in handed.codes():
            exec(code, module.__dict__)

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of all of the module, for runpy and its like."""
        assert _modules is not None
        handed = _modules.by_path.get(self.path)
        return self._from_file() if handed is None else self.source_to_code(handed.source, self.path)

    def get_source(self, fullname: str) -> str | None:
        """The text that runs."""
        handed = None if _modules is None else _modules.by_path.get(self.path)
        return super().get_source(fullname) if handed is None else handed.text()

    def _from_file(self) -> CodeType:
        assert _modules is not None
        _modules.read.append(self.path)
        source = self.get_data(self.path)
        _modules.sources.append(source)
        return self.source_to_code(source, self.path)


class _Finder:
    """Finds modules that were handed over."""

    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The module's spec; None for what wasn't handed over, and for names that others have."""
        if _modules is None:
            return None
        is_shared = fullname.startswith(f"{PREFIX}.")
        name = fullname.removeprefix(f"{PREFIX}.")
        handed = _modules.by_name.get(name)
        if handed is None or (name.partition(".")[0] in _modules.shared_names) != is_shared:
            return None
        place = os.path.dirname(handed.path)
        is_package = os.path.basename(handed.path) == "__init__.py"
        below = os.path.join(_modules.folder, "")
        if "." in name:
            if path is not None and (os.path.dirname(place) if is_package else place) not in path:
                return None
        elif any(each.startswith(below) and not _is_installed(each) for each in sys.path):
            return None  # the project seeks its modules in an order of its own
        return importlib.util.spec_from_file_location(
            fullname,
            handed.path,
            loader=_Loader(fullname, handed.path),
            submodule_search_locations=[place] if is_package else None,
        )


def _find_files(path: str) -> importlib.machinery.FileFinder:
    """Makes the finder of modules in a folder of the project."""
    own = None if _modules is None else _modules.folder
    if own is None or not (path == own or path.startswith(os.path.join(own, ""))) or _is_installed(path):
        raise ImportError("no folder of the project")
    return importlib.machinery.FileFinder(
        path,
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_Loader, importlib.machinery.SOURCE_SUFFIXES),
        (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
    )


def load_function(folder: str, file: str, function: str, handed: Sequence[Module] = ()) -> Loaded:
    """Run the module `file` of the project in `folder` and give its function.

    The folder becomes the working directory. Exceptions of the user's code pass.
    """
    global _modules
    os.chdir(folder)
    sys.dont_write_bytecode = True
    if folder not in sys.path:
        sys.path.append(folder)
    sys.path_importer_cache.pop(folder, None)
    _modules = _Modules(folder, handed)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
        sys.path_hooks.insert(0, _find_files)
    name = _module_name(file)
    if _modules.shared_names or name.startswith(f"{PREFIX}."):
        package = ModuleType(PREFIX)
        package.__path__ = []
        sys.modules[PREFIX] = package
    module = _load(os.path.join(folder, file), name)
    found = getattr(module, function, None)
    if not callable(found):
        raise WorkerFailure("user", f"{file} has no function {function!r} once it has run")
    return Loaded(found, _modules.sources)


def files_changed(folder: str, since_ns: int, opened: Sequence[str] = ()) -> list[str]:
    """The project's files that were read, or `opened`, and were changed after a time or are gone.

    They are named as the plan names them.
    """
    found = set()
    for file in (*(_modules.read if _modules is not None else ()), *opened):
        try:
            status = os.stat(file)
            is_changed = max(status.st_mtime_ns, status.st_ctime_ns) > since_ns - TICK_NS
        except OSError:
            is_changed = True
        if is_changed:
            found.add(os.path.relpath(file, folder))
    return sorted(found)


def _module_name(file: str) -> str:
    """The dotted name under which the project's own modules import the file; another one where that is taken."""
    assert _modules is not None
    name = os.path.splitext(file)[0].replace(os.sep, ".")
    handed = _modules.by_name.get(name)
    is_anothers = handed is not None and handed.path != os.path.join(_modules.folder, file)
    taken = name in sys.modules or name.partition(".")[0] in sys.stdlib_module_names or is_anothers
    return f"{PREFIX}.{name}" if taken else _modules.full_name(name)


def _is_installed(path: str) -> bool:
    """Whether a folder within the project's belongs to an environment."""
    assert _modules is not None
    within = [each for each in (sys.prefix, sys.base_prefix) if each.startswith(os.path.join(_modules.folder, ""))]
    return path.startswith(tuple(within)) or not {"site-packages", "dist-packages"}.isdisjoint(path.split(os.sep))


def _load(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, path))
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

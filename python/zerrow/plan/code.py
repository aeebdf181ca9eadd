"""The code of Python models: the part of the project's text that a model's function can run, as far as the text tells.

Workers run the very statements that are found here, and no others: what is hashed is what runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

from zerrow import pieces
from zerrow.plan.aliases import OWN
from zerrow.plan.code_file import CodeFile
from zerrow.plan.declarations import PythonModel
from zerrow.plan.needs import Runs
from zerrow.plan.place import now_at
from zerrow.plan.python_file import FILE_BYTES_MAX, SourceText
from zerrow.plan.reach import Reach
from zerrow.plan.text_files import Unreadable, is_within, read_file
from zerrow.plan.world import Mention, outside, unseeded

_FOLLOWED_MAX = 20
"""How many names one name may stand for, one after the other."""


@dataclass
class Code:
    """The code that a model's function can run."""

    parts: list[tuple[str, str]] = field(default_factory=list)
    """Hashes of texts, each with the name of its file."""
    reads_code: bool = False
    """Whether it may read other code of the project than this."""
    world: str | None = None
    """The thing that it asks the world for, and where: a reason not to keep its result."""
    modules: list[tuple[str, CodeFile]] = field(default_factory=list)
    """The project's modules that it can import, its own first, each with its dotted name."""
    kept: Runs | None = None
    """The optional statements of its own file that are part of it, by their numbers; None where all are."""


class CodeReader:
    """Finds the code of a project's models; reads each file once."""

    def __init__(
        self, folder: Path, models: Iterable[PythonModel], texts: dict[str, SourceText], environment: tuple[str, ...]
    ) -> None:
        """`texts` has each file with models as it was read, by its name in the project's `folder`.

        `environment` names the folders of what is installed.
        """
        self._folder = folder
        self._texts = texts
        self._functions: dict[str, set[str]] = {}
        for model in models:
            self._functions.setdefault(model.file, set()).add(model.function)
        self._files: dict[str, CodeFile] = {}
        self._found: dict[str, list[str]] = {}
        self._is_outside = outside(str(folder), environment)
        self._unread: dict[str, str] = {}
        self._closures: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        self._grounds: dict[tuple[str | None, tuple[str, ...]], Reach] = {}

    def read(self, model: PythonModel) -> Code:
        """The code of one model. A file that is no Python any more counts as its text."""
        own = self._file(model.file)
        kept: Runs | None = own.kept_for(model.function)
        imported = self._closure(own.modules(kept), model.file)
        reads_code = own.reads_code(kept) or any(self._file(name).reads_code(None) for name in imported)
        if reads_code or model.file in imported:
            # It may look up what its text doesn't name, so all of its file is part of it.
            kept, imported = None, self._closure(own.modules(None), model.file)
        files = [own, *(self._file(name) for name in imported if name != model.file)]
        code = Code(reads_code=reads_code, kept=kept)
        code.modules = [(_module_name(file.name), file) for file in files if file.name not in self._unread]
        code.parts = [(file.name, file.digest(kept if file is own else None)) for file in files]
        if reads_code:
            code.parts += [(file.name, file.source_digest) for file in files]
        unread = [self._unread[file.name] for file in files if file.name in self._unread]
        code.world = unread[0] if unread else self._world(kept, files, model.function)
        return code

    def _world(self, kept: Runs | None, files: list[CodeFile], function: str) -> str | None:
        """The first thing that a statement asks the world for which the model's function can come to.

        The model's own file comes first.
        """
        own = files[0]
        asking = [(file, each) for file in files for each in file.asking(kept if file is own else None)]
        if not asking:
            return None
        more = own.statements_of(own.all if kept is None else kept)
        reach = Reach(more, self._ground(own, tuple(files[1:])), function)
        asking = [(file, each) for file, each in asking if reach.has(each)]
        seeded = {seed for _, each in asking for seed in each.seeds}
        mentions = [(file, mention) for file, each in asking for mention in unseeded(each.asks, seeded)]
        if any(each.makes_sql for _, each in asking):
            mentions += [(file, mention) for file, each in asking for mention in each.parts]
        return next((_place(file, mention) for file, mention in mentions), None)

    def _ground(self, own: CodeFile | None, others: tuple[CodeFile, ...]) -> Reach:
        """What runs of a file and of others that it imports, whichever of its models it is loaded for."""
        key = own and own.name, tuple(file.name for file in others)
        if key not in self._grounds:
            if own is None:
                self._grounds[key] = Reach(each for file in others for each in file.statements)
            else:
                self._grounds[key] = Reach(own.others, self._ground(None, others))
        return self._grounds[key]

    def _closure(self, modules: tuple[str, ...], importer: str) -> list[str]:
        """The project's files that are run when these modules are imported by one, and what they import, by name."""
        if (importer, modules) not in self._closures:
            self._closures[importer, modules] = sorted(self._follow(modules, importer))
        return self._closures[importer, modules]

    def _follow(self, modules: tuple[str, ...], importer: str) -> set[str]:
        seen: set[str] = set()
        pending = [(module, importer) for module in modules]
        while pending:
            for name in self._module_files(*pending.pop()):
                if name not in seen:
                    seen.add(name)
                    pending += [(module, name) for module in self._file(name).modules(None)]
        return seen

    def _file(self, name: str) -> CodeFile:
        if name not in self._files:
            text = self._texts.get(name) or self._read(name)
            path = os.path.join(self._folder, name)
            self._files[name] = CodeFile(
                name, path, text, self._functions.get(name, set()), self._qualify, self._resolve, self._is_outside
            )
        return self._files[name]

    def _read(self, name: str) -> SourceText:
        """A module's file. One that can't be read, or must not be, has no text: the worker looks for it itself."""
        path = self._folder / name
        now_at(name)
        try:
            # A file elsewhere that a link leads to is not handed to models, which may not see it.
            if not is_within(path, self._folder):
                raise Unreadable("it is a link that leaves the project folder")
            return SourceText(read_file(path, FILE_BYTES_MAX), None)
        except Unreadable as error:
            self._unread[name] = f"{name} {str(error).removeprefix('it ')}"
            return SourceText(b"", None)

    def _module_files(self, module: str, importer: str) -> list[str]:
        """The project's files that importing a module runs; a module that starts with a dot is relative."""
        level = len(module) - len(module.lstrip("."))
        place = os.path.dirname(importer)
        name = module.lstrip(".")
        if level == 0:
            return self._absolute_files(name, importer)
        for _ in range(level - 1):
            place = os.path.dirname(place)
        return _module_files(self._folder, place, name)

    def _absolute_files(self, name: str, importer: str) -> list[str]:
        if name not in self._found:
            is_built_in = pieces.is_built_in(name.partition(".")[0])
            self._found[name] = [] if is_built_in else _module_files(self._folder, "", name)
        files = self._found[name]
        # A module that imports a module of its own name means the other one.
        return [] if files and files[0] == importer and name == _module_name(importer) and _is_shared(name) else files

    def _qualify(self, module: str, importer: str) -> str | None:
        """The path of a module that is the project's own; None for others."""
        files = self._module_files(module, importer)
        parts = [part for part in module.split(".") if part]
        found = _module_name(files[-1]) if files else ""
        return OWN + found if files and (not parts or found.split(".")[-1] == parts[-1]) else None

    def _resolve(self, path: str) -> set[str]:
        """The paths that a path stands for once it is followed through the project's own modules."""
        found, pending = set(), [path]
        for _ in range(_FOLLOWED_MAX):
            if not pending:
                break
            path = pending.pop()
            steps = self._step(path) if path[:1] == OWN else []
            pending += steps
            if not steps:
                found.add(path)
        return found

    def _step(self, path: str) -> list[str]:
        parts = path[1:].split(".")
        for end in range(len(parts) - 1, 0, -1):
            files = _module_files(self._folder, "", ".".join(parts[:end]))
            if not files or _module_name(files[-1]) != ".".join(parts[:end]):
                continue
            rest = "".join(f".{part}" for part in parts[end + 1 :])
            names = self._file(files[-1]).names
            stars = [] if parts[end] in names.bound else [f"{star}.{parts[end]}" for star in names.stars]
            return [f"{each}{rest}" for each in (*names.paths.get(parts[end], ()), *stars) if f"{each}{rest}" != path]
        return []


def _is_shared(name: str) -> bool:
    """Whether Python, or what is installed, has a module of that name."""
    if name in sys.stdlib_module_names:
        return True
    found = PathFinder.find_spec(name, [place for place in sys.path if place not in ("", os.getcwd())])
    return found is not None and found.loader is not None


def _place(file: CodeFile, mention: Mention) -> str:
    return f"{mention.what} at {file.name}:{mention.line}"


def _module_name(file: str) -> str:
    """The dotted name under which the project's modules import a file."""
    return os.path.splitext(file)[0].removesuffix("/__init__").replace("/", ".")


def _module_files(folder: Path, place: str, name: str) -> list[str]:
    """The files that run when a module is imported: of each package its __init__.py, then its own."""
    files: list[str] = []
    path = place
    for part in name.split(".") if name else ():
        path = os.path.join(path, part)
        # As Python seeks them: a package, a compiled module, a file.
        if (folder / path / "__init__.py").is_file():
            files.append(f"{path}/__init__.py")
        elif any((folder / f"{path}{suffix}").is_file() for suffix in EXTENSION_SUFFIXES):
            continue
        elif (folder / f"{path}.py").is_file():
            files.append(f"{path}.py")
    if not name and place and (folder / place / "__init__.py").is_file():  # from . import something
        files.append(f"{place}/__init__.py")
    return files

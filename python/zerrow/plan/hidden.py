"""The entries of a project's folder that models don't see: sources, what git ignores, repositories, what runs write or
wrote, and what is no file at all, such as sockets.

A model sees everything else of it. The code that models import is handed over to them, wherever it lies.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES

from zerrow.plan.ignore_patterns import IgnorePatterns
from zerrow.plan.ignored import NO_SETTINGS, GitSettings, IgnoreRules, linked_repository
from zerrow.plan.place import was_at
from zerrow.tool_folders import TOOL_FOLDERS

ENTRIES_MAX = 200_000
"""So many files and folders of a project are looked at; the nearest to its top come first."""

_COMPILED = (".pyc", *EXTENSION_SUFFIXES)
"""What is made of code that is shown. Git ignores it in most projects, and Python imports some of it."""

_RESULT = re.compile(r"[0-9a-f]{32}\.arrow|.+\.arrows(\.\d+)?")
"""Names of results of runs: those that --cache-dir keeps, and those that --export writes."""


@dataclass
class HiddenEntries:
    """Files and folders, as real paths, none in another one.

    `shown` has, for a folder among them, what in it is shown all the same. `is_complete` is false for a project
    of so many files that not all were looked at.
    """

    paths: set[str] = field(default_factory=set)
    shown: dict[str, list[str]] = field(default_factory=dict)
    is_complete: bool = True


def find_hidden(
    project: str,
    show: Iterable[str],
    written: Iterable[str],
    sources: frozenset[str],
    git: GitSettings = NO_SETTINGS,
) -> HiddenEntries:
    """What is to be hidden in the folder `project`, but for its `sources`, which this leaves to others.

    `show` has patterns of what is shown although git ignores it. `written` has folders, and files, that runs write to;
    all these are real paths.
    """
    found = HiddenEntries()
    below = os.path.join(project, "")
    found.paths |= {path for path in written if path.startswith(below)}
    if git.folder is not None and os.path.realpath(git.folder).startswith(below):
        found.paths.add(os.path.realpath(git.folder))
    walk = _Walk(project, IgnorePatterns(show), sources, found, git)
    walk.run()
    inner = {path for path in found.paths if any(above in found.paths for above in _above(path, project))}
    found.paths -= inner
    return found


class _Walk:
    def __init__(
        self, project: str, show: IgnorePatterns, sources: frozenset[str], found: HiddenEntries, git: GitSettings
    ) -> None:
        self._project = project
        self._show = show
        self._sources = sources
        self._found = found
        self._rules = IgnoreRules(project, git)
        self._left = ENTRIES_MAX

    def run(self) -> None:
        pending = deque([self._project])
        while pending:
            folder = pending.popleft()
            self._rules.enter(folder)
            for entry in self._entries(folder):
                if entry.path in self._sources or entry.path in self._found.paths:
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.name == ".git" or _is_special(entry, is_folder):
                    self._found.paths.add(entry.path)
                    if entry.name == ".git":
                        self._hide_linked(folder)
                elif self._is_ignored(entry, is_folder):
                    self._hide(entry.path, is_folder)
                elif is_folder and entry.name not in TOOL_FOLDERS:
                    pending.append(entry.path)

    def _hide_linked(self, folder: str) -> None:
        """Hides the repository that a file named .git leads to, where it lies in the project."""
        place = linked_repository(folder)
        if place is not None and place.startswith(os.path.join(self._project, "")):
            self._found.paths.add(place)

    def _is_ignored(self, entry: os.DirEntry[str], is_folder: bool) -> bool:
        if not is_folder and _RESULT.fullmatch(entry.name):
            return True
        return not _is_compiled(entry.name) and self._rules.ignores(entry.path, is_folder)

    def _hide(self, path: str, is_folder: bool) -> None:
        if self._shows(path, is_folder):
            return
        self._found.paths.add(path)
        if is_folder and self._show:
            shown = sorted(self._shown_below(path))
            if shown:
                self._found.shown[path] = shown

    def _shown_below(self, folder: str) -> Iterable[str]:
        pending = [folder]
        while pending:
            for entry in self._entries(pending.pop()):
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.name == ".git":
                    self._hide_linked(os.path.dirname(entry.path))
                    continue
                if _is_special(entry, is_folder) or entry.path in self._sources or entry.path in self._found.paths:
                    continue
                if self._shows(entry.path, is_folder):
                    yield entry.path
                elif is_folder:
                    pending.append(entry.path)

    def _shows(self, path: str, is_folder: bool) -> bool:
        return bool(self._show) and self._show.says(os.path.relpath(path, self._project), is_folder) is True

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        if self._left <= 0:
            self._found.is_complete = False
            return []
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            return []  # what can't be listed here can't be in a worker
        self._left -= len(found)
        was_at(os.path.join(os.path.relpath(folder, self._project), ""))
        return found


def _above(path: str, project: str) -> Iterable[str]:
    while len(path) > len(project):
        path = os.path.dirname(path)
        yield path


def _is_special(entry: os.DirEntry[str], is_folder: bool) -> bool:
    """Whether it is a socket, a FIFO or a device."""
    return not (is_folder or entry.is_symlink() or entry.is_file(follow_symlinks=False))


def _is_compiled(name: str) -> bool:
    return name == "__pycache__" or name.endswith(_COMPILED)

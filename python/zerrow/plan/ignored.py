"""What git ignores in a project's folder: read from the files that say so. Git itself is not run, as a repository's
settings can make it run programs.

Git also knows which files it tracks although they are ignored; that is not looked at.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from zerrow.plan.ignore_patterns import IgnorePatterns
from zerrow.plan.place import now_at, was_at

NAME = ".gitignore"
FILE_BYTES_MAX = 1 << 20
"""A file of rules that is longer has its rest left out."""
FOLDERS_MAX = 64
"""So many folders above a project are looked at for the one that is a repository."""


class GitSettings(NamedTuple):
    """What git's configuration says of what it ignores, as the engine has read it; the planner sees no configuration.

    `excludes_file` is `core.excludesFile`, None where nothing is set; `ignores_case` is `core.ignoreCase`. `folder` is
    the repository's own, where a file named .git leads to it.
    """

    excludes_file: str | None = None
    ignores_case: bool = False
    folder: str | None = None


NO_SETTINGS = GitSettings()


class IgnoreRules:
    """The rules that hold in a project's folder; those of folders in it are added when a walk comes to them."""

    def __init__(self, project: str, git: GitSettings = NO_SETTINGS) -> None:
        """`project` is a real path. What a repository above it says, and its user for all repositories, holds too."""
        self._ignores_case = git.ignores_case
        self._below = os.path.join(project, "")
        self._patterns: list[tuple[str, IgnorePatterns, str]] = []
        repository = _repository(project)
        if repository is not None:
            self._add(repository, _user_file() if git.excludes_file is None else git.excludes_file)
            own = git.folder or linked_repository(repository) or os.path.join(repository, ".git")
            self._add(repository, os.path.join(own, "info", "exclude"))
            folder = repository
            for name in os.path.relpath(project, repository).split(os.sep) if repository != project else ():
                self._add(folder, os.path.join(folder, NAME))
                folder = os.path.join(folder, name)
                if self.ignores(folder, is_folder=True):
                    # To the repository nothing of the project is there; what its own files say holds.
                    self._patterns = []
                    break

    def enter(self, folder: str) -> None:
        """Takes in the rules that lie in a folder of the project."""
        self._add(folder, os.path.join(folder, NAME))

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Whether git ignores a file or folder that lies in folders which it doesn't ignore."""
        for folder, patterns, file in reversed(self._patterns):
            if path.startswith(folder):
                found = patterns.says(path[len(folder) :], is_folder)
                was_at(file)
                if found is not None:
                    return found
        return False

    def _add(self, folder: str, file: str) -> None:
        """Takes in a file's rules, for what lies in a folder. Later ones win."""
        lines = _lines(file)
        if not lines:
            return
        name = file.removeprefix(self._below)
        now_at(name)
        patterns = IgnorePatterns(lines, self._ignores_case)
        if patterns:
            self._patterns.append((os.path.join(folder, ""), patterns, name))


class ModelFileRules:
    """Which files of a project declare no models: those that git ignores are no part of what its author keeps."""

    def __init__(self, project: Path, git: GitSettings = NO_SETTINGS) -> None:
        self._project = str(project)
        self._rules = IgnoreRules(self._project, git)
        self._rules.enter(self._project)
        self._folders: dict[str, bool] = {"": False}

    def ignores(self, name: str) -> bool:
        """Whether git ignores a file, by its path in the project, or a folder that it lies in."""
        folder = os.path.dirname(name)
        path = os.path.join(self._project, name)
        return self._ignores_folder(folder) or self._rules.ignores(path, is_folder=False)

    def _ignores_folder(self, folder: str) -> bool:
        if folder not in self._folders:
            path = os.path.join(self._project, folder)
            is_ignored = self._ignores_folder(os.path.dirname(folder)) or self._rules.ignores(path, is_folder=True)
            if not is_ignored:
                self._rules.enter(path)
            self._folders[folder] = is_ignored
        return self._folders[folder]


def _repository(project: str) -> str | None:
    folder = project
    for _ in range(FOLDERS_MAX):
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    return None


def linked_repository(folder: str) -> str | None:
    """The real path of the repository that a file named .git in a folder leads to; None where none does."""
    first = next(iter(_lines(os.path.join(folder, ".git"))), "")
    name = first.removeprefix("gitdir:").strip()
    return os.path.realpath(os.path.join(folder, name)) if name and name != first and "\0" not in name else None


def _user_file() -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "git", "ignore")


def _lines(path: str) -> list[str]:
    """The rules of a file; none where there is no regular file of that name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return []
    with open(descriptor, "rb") as file:
        text = file.read(FILE_BYTES_MAX).decode("utf-8-sig", errors="surrogateescape")
    return text.split("\n")

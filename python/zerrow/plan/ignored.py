"""What git ignores in a project's folder: read from the files that say so. Git itself is not run, as a repository's
settings can make it run programs.

Git also knows which files it tracks although they are ignored; that is not looked at.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

NAME = ".gitignore"
FILE_BYTES_MAX = 1 << 20
"""A file of rules that is longer has its rest left out."""
FOLDERS_MAX = 64
"""So many folders above a project are looked at for the one that is a repository."""


class IgnoreRules:
    """The rules that hold in a project's folder; those of folders in it are added when a walk comes to them."""

    def __init__(self, project: str) -> None:
        """`project` is a real path. What a repository above it says, and its user for all repositories, holds too."""
        self._specs: list[tuple[str, GitIgnoreSpec]] = []
        repository = _repository(project)
        if repository is not None:
            self._add(repository, _user_file())
            self._add(repository, os.path.join(repository, ".git", "info", "exclude"))
            folder = repository
            for name in os.path.relpath(project, repository).split(os.sep) if repository != project else ():
                self._add(folder, os.path.join(folder, NAME))
                folder = os.path.join(folder, name)

    def enter(self, folder: str) -> None:
        """Takes in the rules that lie in a folder of the project."""
        self._add(folder, os.path.join(folder, NAME))

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Whether git ignores a file or folder that lies in folders which it doesn't ignore."""
        for folder, spec in reversed(self._specs):
            if path.startswith(folder):
                found = _found(spec, path[len(folder) :], is_folder)
                if found is not None:
                    return found
        return False

    def _add(self, folder: str, file: str) -> None:
        """Takes in a file's rules, for what lies in a folder. Later ones win."""
        lines = _lines(file)
        if not lines:
            return
        try:
            spec = rules(lines)
        except ValueError:
            spec = rules([line for line in lines if _is_pattern(line)])
        self._specs.append((os.path.join(folder, ""), spec))


def rules(lines: list[str]) -> GitIgnoreSpec:
    """Patterns as .gitignore files have them. Raises ValueError for one that is none."""
    from pathspec import GitIgnoreSpec  # importing it takes longer than all that is done with it

    return GitIgnoreSpec.from_lines(lines)


def _found(spec: GitIgnoreSpec, name: str, is_folder: bool) -> bool | None:
    if not is_folder:
        return spec.check_file(name).include
    found = spec.check_file(f"{name}/")
    if found.include and found.index is not None:
        # `a/**` is all that is in a, and not a itself: something of it may be wanted all the same.
        text = str(getattr(spec.patterns[found.index], "pattern", ""))
        if text.rstrip("/").endswith("/**") and spec.check_file(name).include is None:
            return None
    return found.include


def _repository(project: str) -> str | None:
    folder = project
    for _ in range(FOLDERS_MAX):
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    return None


def _user_file() -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "git", "ignore")


def _lines(path: str) -> list[str]:
    """The rules of a file; none where there is no regular file of that name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        text = file.read(FILE_BYTES_MAX).decode("utf-8-sig", errors="surrogateescape")
    return [line for line in (line.rstrip("\r") for line in text.split("\n")) if line.strip() and line[0] != "#"]


def _is_pattern(line: str) -> bool:
    """Whether a line is one that git could match something with: it passes over the others."""
    try:
        rules([line])
    except ValueError:
        return False
    return True

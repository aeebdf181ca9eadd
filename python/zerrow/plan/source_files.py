"""The files that a source's path means: one file, those of a folder, or those that a pattern matches."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zerrow.identity import identity

_MAGIC = re.compile(r"[*?\[]")
_FOLDERS_MAX = 500_000
"""More folders than these are no source: links to folders have gone astray."""


class UnreadableSource(Exception):
    """A source of which some file or folder can't be read; the text says which and why."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source. `path` is real and absolute; `folders` are those that the source's path and search name."""

    path: str
    folders: tuple[str, ...]
    identity: dict[str, Any]


def find_files(path: str, folder: str) -> list[SourceFile]:
    """The files of a path that a project in `folder` names, sorted as they are named. Links are followed.

    What is there by just this name is meant, whatever characters the name has; else it may be a pattern. Raises
    UnreadableSource.
    """
    path = os.path.expanduser(path)
    whole = os.path.join(folder, path)
    search = _Search()
    if os.path.isdir(whole):
        found = list(search.below(whole))
    elif os.path.lexists(whole):
        found = [whole]
    elif _MAGIC.search(path):
        start = "/" if os.path.isabs(path) else folder
        parts = [part for part in path.split("/") if part not in ("", ".")]
        found = list(dict.fromkeys(search.matches(start, parts)))
    else:
        found = []
    places = _Places()
    named = "" if os.path.isabs(path) else os.path.join(folder, "")
    return [places.file(each, each.removeprefix(named)) for each in sorted(found, key=os.fsencode)]


def shown(path: str) -> str:
    """A path for a message: what is no text, or would break its line, as escapes."""
    if path.isprintable():
        return path
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class _Search:
    """A walk through folders. It is an error, not fewer rows, where one of them may not be read."""

    def __init__(self) -> None:
        self._folders = 0

    def below(self, folder: str) -> Iterator[str]:
        """The Parquet files of a folder and those below it; names that start with . or _ are writers' leftovers."""
        for root in self.folders(folder):
            for entry in self._entries(root):
                if entry.name.endswith(".parquet") and entry.name[0] not in "._" and not _is_folder(entry):
                    yield entry.path

    def folders(self, folder: str) -> Iterator[str]:
        """A folder and all below it that hold data; links are followed, but not to a folder that they are in."""
        pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [(folder, ())]
        while pending:
            root, above = pending.pop()
            status = os.stat(root)
            own = (status.st_dev, status.st_ino)
            if own in above:
                continue
            yield root
            below = [entry.path for entry in self._entries(root) if _is_folder(entry) and _holds_data(entry.name)]
            pending += [(path, (*above, own)) for path in below]

    def matches(self, folder: str, parts: list[str]) -> Iterator[str]:
        """The files below a folder that match a pattern, part by part."""
        part, rest = parts[0], parts[1:]
        path = os.path.join(folder, part)
        if part == "**":
            for each in self.folders(folder) if os.path.isdir(folder) else ():
                yield from self.matches(each, rest or ["*"])
        elif not _MAGIC.search(part) or os.path.lexists(path):
            if rest:
                yield from self.matches(path, rest)
            elif os.path.lexists(path) and not os.path.isdir(path):
                yield path
        else:
            for entry in self._entries(folder) if os.path.isdir(folder) else ():
                is_hidden = entry.name[0] == "." and part[0] != "."
                if not is_hidden and fnmatch.fnmatchcase(entry.name, part) and _is_folder(entry) == bool(rest):
                    yield from self.matches(entry.path, rest) if rest else (entry.path,)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        self._folders += 1
        if self._folders > _FOLDERS_MAX:
            raise UnreadableSource(f"it has more than {_FOLDERS_MAX} folders: {shown(folder)} is one of them")
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except OSError as error:
            raise UnreadableSource(f"the folder {shown(folder)} can't be read: {error.strerror}") from None


class _Places:
    """Where files really are; folders are looked up once."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def file(self, path: str, named: str) -> SourceFile:
        """The file at a path that its source names in some way. Raises UnreadableSource."""
        real = self._real_path(path)
        try:
            real.encode()
        except UnicodeEncodeError:
            raise UnreadableSource(f"the name of {shown(path)} is no UTF-8 text: rename it") from None
        try:
            status = os.stat(real)
        except FileNotFoundError:
            raise UnreadableSource(f"{shown(path)} is a link to nothing") from None
        except OSError as error:
            raise UnreadableSource(f"{shown(path)} can't be read: {error.strerror}") from None
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableSource(f"{shown(path)} is no regular file")
        if not os.access(real, os.R_OK):
            raise UnreadableSource(f"no permission for {shown(path)}")
        return SourceFile(real, tuple(named.split("/")[:-1]), identity(real))

    def _real_path(self, path: str) -> str:
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder)
        return os.path.join(real, name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads round in circles, for one


def _holds_data(name: str) -> bool:
    """Whether a folder is more than a writer's leftover; one that is named for a value may start with an underscore."""
    return name[0] != "." and (name[0] != "_" or "=" in name)

"""The files that a source's path means: one file, those of a folder, or those that a pattern matches."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from zerrow.plan.host_files import OWN_FILES, Entry, HostFiles, Status

_MAGIC = re.compile(r"[*?\[]")
ENTRIES_MAX = 1_000_000
"""So much is looked at for one source: more is no data, or links to folders have gone astray."""
FILES_MAX = 200_000
"""The most files of a source. Each is a line of the plan."""


class UnreadableSource(Exception):
    """A source of which some file or folder can't be read; the text says which and why."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source. `path` is real and absolute; `folders` are those that the source's path and search name.

    `file_system` is the kind of the one that it is on, where somebody has asked.
    """

    path: str
    folders: tuple[str, ...]
    identity: dict[str, Any]
    file_system: int | None = None


def find_files(path: str, folder: str, host: HostFiles = OWN_FILES) -> list[SourceFile]:
    """The files of a path that a project in `folder` names, sorted as they are named. Links are followed.

    What is there by just this name is meant, whatever characters the name has; else it may be a pattern. Raises
    UnreadableSource.
    """
    path = os.path.expanduser(path)
    whole = os.path.join(folder, path)
    if "\0" in path:
        raise UnreadableSource("its path has a NUL character")
    search = _Search(host)
    status = next(iter(host.status([whole])))
    if status.is_folder:
        found = search.found(search.below(whole, status))
    elif status.problem not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        found = [whole]
    elif _MAGIC.search(path):
        start = "/" if os.path.isabs(path) else folder
        parts = [part for part in path.split("/") if part not in ("", ".")]
        found = search.found(dict.fromkeys(search.matches(start, parts)))
    else:
        found = []
    named = "" if os.path.isabs(path) else os.path.join(folder, "")
    found.sort(key=os.fsencode)
    return [
        _file(each, each.removeprefix(named), status) for each, status in zip(found, host.status(found), strict=True)
    ]


def known_files(paths: Iterable[str], host: HostFiles = OWN_FILES) -> list[SourceFile]:
    """Files that are named one by one, by absolute paths. Raises UnreadableSource."""
    paths = list(paths)
    found = []
    for path, status in zip(paths, host.status(paths), strict=True):
        if status.problem == errno.ENOENT:
            raise UnreadableSource(f"{shown(path)} is not there")
        found.append(_file(path, path, status))
    return found


def is_parquet(name: str) -> bool:
    """Whether a file of a folder is one of Parquet by its name, as its writers spell it."""
    return name.lower().endswith((".parquet", ".parq", ".pq"))


def shown(path: str) -> str:
    """A path for a message: what is no text, or would break its line, as escapes."""
    if path.isprintable():
        return path
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class _Search:
    """A walk through folders. It is an error, not fewer rows, where one of them may not be read."""

    def __init__(self, host: HostFiles) -> None:
        self._host = host
        self._entries_count = 0

    def found(self, paths: Iterable[str]) -> list[str]:
        """The paths, if they are not too many."""
        found = []
        for path in paths:
            found.append(path)
            if len(found) > FILES_MAX:
                raise UnreadableSource(
                    f"it has more than {FILES_MAX} files, {shown(path)} among them: name fewer, or put them together"
                )
        return found

    def below(self, folder: str, status: Status) -> Iterator[str]:
        """The Parquet files of a folder and those below it; names that start with . or _ are writers' leftovers."""
        for _, entries in self.folders(folder, status):
            for entry in entries:
                if is_parquet(entry.name) and entry.name[0] not in "._" and not entry.is_folder:
                    yield entry.path

    def folders(self, folder: str, status: Status) -> Iterator[tuple[str, list[Entry]]]:
        """A folder and all below it that hold data, each with what is in it.

        Links are followed, but not to a folder that they are in.
        """
        if status.path == "/":
            raise UnreadableSource("it means every file of the machine: begin its path with a folder")
        pending: list[tuple[str, str, tuple[str, ...]]] = [(folder, status.path, ())]
        while pending:
            root, real, above = pending.pop()
            if real in above:
                continue
            entries = self._entries(root)
            yield root, entries
            below = [entry for entry in entries if entry.is_folder and _holds_data(entry.name)]
            links = [entry.path for entry in below if entry.is_link]
            led = dict(zip(links, self._host.status(links), strict=True)) if links else {}
            for entry in below:
                place = led[entry.path].path if entry.is_link else f"{real}/{entry.name}"
                pending.append((entry.path, place, (*above, real)))

    def matches(self, folder: str, parts: list[str], entries: list[Entry] | None = None) -> Iterator[str]:
        """What below a folder matches a pattern, part by part; `entries` are the folder's where they are known."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            status = self._folder(folder)
            for each, own in self.folders(folder, status) if status is not None else ():
                yield from self.matches(each, rest or ["*"], own)
        elif not _MAGIC.search(part):
            path = os.path.join(folder, part)
            if rest:
                yield from self.matches(path, rest)
            elif entries is not None:
                yield from (entry.path for entry in entries if entry.name == part and not entry.is_folder)
            else:
                status = next(iter(self._host.status([path])))
                if status.problem != errno.ENOENT and status.problem != errno.ENOTDIR and not status.is_folder:
                    yield path
        else:
            if entries is None:
                entries = self._entries(folder) if self._folder(folder) is not None else []
            # A file of just this name is meant, if there is one.
            exact = [entry for entry in entries if entry.name == part]
            for entry in exact or entries:
                is_hidden = entry.name[0] == "." and part[0] != "."
                is_meant = bool(exact) or (not is_hidden and fnmatch.fnmatchcase(entry.name, part))
                if is_meant and entry.is_folder == bool(rest):
                    yield from self.matches(entry.path, rest) if rest else (entry.path,)

    def _folder(self, path: str) -> Status | None:
        """The folder that the path leads to; None where it is none."""
        status = next(iter(self._host.status([path])))
        return status if status.is_folder else None

    def _entries(self, folder: str) -> list[Entry]:
        try:
            entries = self._host.entries(folder)
        except OSError as error:
            raise UnreadableSource(f"the folder {shown(folder)} can't be read: {error.strerror}") from None
        self._entries_count += len(entries) + 1
        if self._entries_count > ENTRIES_MAX:
            raise UnreadableSource(
                f"more than {ENTRIES_MAX} files and folders would have to be looked at, {shown(folder)} among them: "
                "name a folder with less in it"
            )
        return entries


def _file(path: str, named: str, status: Status) -> SourceFile:
    """The file at a path that its source names in some way. Raises UnreadableSource."""
    if status.problem in (errno.ENOENT, errno.ENOLINK):
        raise UnreadableSource(f"{shown(path)} is a link to nothing")
    if status.problem:
        raise UnreadableSource(f"{shown(path)} can't be read: {os.strerror(status.problem)}")
    try:
        status.path.encode()
    except UnicodeEncodeError:
        raise UnreadableSource(f"the name of {shown(path)} is no UTF-8 text: rename it") from None
    if not stat.S_ISREG(status.mode):
        raise UnreadableSource(f"{shown(path)} is no regular file")
    if not status.is_readable:
        raise UnreadableSource(f"no permission for {shown(path)}")
    return SourceFile(status.path, tuple(named.split("/")[:-1]), status.identity, status.file_system)


def _holds_data(name: str) -> bool:
    """Whether a folder is more than a writer's leftover; one that is named for a value may start with an underscore."""
    return name[0] != "." and (name[0] != "_" or "=" in name)

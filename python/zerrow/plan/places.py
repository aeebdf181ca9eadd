"""Where sources lie: the folders that their scans read, and what of the project's folder other models must not see.

What matters is that these lists stay short: each entry is a mount in a worker. A folder in which there is nothing but
source files, however deep, is one entry; so a table of ten thousand partitions mostly is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from zerrow.plan.host_files import OWN_FILES, HostFiles
from zerrow.plan.names import is_text

FOLDERS_MAX = 16
"""A scan's folders are named one by one up to here; more of them are named by what holds them, where that can be."""

COVERS_MAX = 64
"""So many things of one folder are covered one by one, before it is looked whether the rest of it is less."""

OUTSIDE_MAX = 128
"""So many folders outside of the project a zygote is shown one by one."""

_SHARED = ("/", "/tmp")
"""Folders that no worker is shown as a whole: the root is made anew for each zygote, and /tmp for each worker."""


@dataclass
class Hidden:
    """The parts of the project's folder that are hidden from models.

    `covered` has files and folders, none in another one. `rebuilt` has folders of which only what is listed stays
    visible; each comes before those that lie in it, and before what is covered.
    """

    covered: list[str] = field(default_factory=list)
    rebuilt: list[tuple[str, list[str]]] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """The plan's `hidden`."""
        rebuilt = [{"folder": folder, "shown": shown} for folder, shown in self.rebuilt]
        return {"covered": self.covered, "rebuilt": rebuilt}


def hidden(project: str, files: Iterable[str]) -> Hidden:
    """How the sources' `files` (real paths) are hidden in the folder `project`; the other files of it stay visible.

    In a folder with nothing but sources, other Parquet files and what writers leave behind (names that start with `.`
    or `_`) all is hidden.
    """
    tree: dict[str, _Folder] = {project: _Folder()}
    start = project.rstrip("/") + "/"
    for file in files:
        if not file.startswith(start):
            continue
        folder, name = os.path.split(file)
        known = folder in tree
        tree.setdefault(folder, _Folder()).files.add(name)
        while not known and folder != project:
            folder, name = os.path.split(folder)
            known = folder in tree
            tree.setdefault(folder, _Folder()).folders.add(name)
    found = Hidden()
    if len(tree) > 1 or tree[project].files:
        _hide(project, tree, found)
    return found


def read_paths(project: str, files: Iterable[str], host: HostFiles = OWN_FILES) -> list[str]:
    """The paths that a worker has to see in order to read `files` (real paths): their folders, or what holds nothing
    else."""
    folders: dict[str, set[str]] = {}
    alone = []
    for file in files:
        folder, name = os.path.split(file)
        if folder in _SHARED:
            alone.append(file)
        else:
            folders.setdefault(folder, set()).add(name)
    found = set(folders)
    if len(found) > FOLDERS_MAX:
        _join(found, folders, host)
    outside = [folder for folder in found if not f"{folder}/".startswith(project.rstrip("/") + "/")]
    if len(outside) > OUTSIDE_MAX and (common := os.path.commonpath(outside)) not in _SHARED:
        found = found.difference(outside) | {common}
    return sorted([*found, *alone])


@dataclass
class _Folder:
    """The part of a folder's content that is to be hidden, or holds such."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)


def _hide(path: str, tree: dict[str, _Folder], found: Hidden, is_project: bool = True) -> bool:
    """Adds what hides the sources in a folder; False for a folder in which nothing has to stay visible."""
    here = tree[path]
    covered = [f"{path}/{name}" for name in sorted(here.files)]
    inner = Hidden()
    rest = []
    must_stay = is_project
    for name, is_folder in _entries(path):
        below = f"{path}/{name}"
        if is_folder and name in here.folders:
            if _hide(below, tree, inner, is_project=False):
                rest.append(below)
                must_stay = True
            else:
                covered.append(below)
        elif name not in here.files:
            rest.append(below)
            must_stay = must_stay or not _is_data(name)
    if not must_stay:
        return False
    if len(covered) > max(COVERS_MAX, len(rest)) and all(map(is_text, rest)):
        found.rebuilt.append((path, rest))
    else:
        found.covered += covered
    found.rebuilt += inner.rebuilt
    found.covered += inner.covered
    return True


def _join(found: set[str], files: dict[str, set[str]], host: HostFiles) -> None:
    """Puts in the place of folders what holds nothing but them and `files`, deepest first, until they are few."""
    levels: dict[int, set[str]] = {}
    for folder in found:
        levels.setdefault(folder.count("/"), set()).add(folder)
    for depth in range(max(levels), 2, -1):
        for parent in sorted({os.path.dirname(folder) for folder in levels.get(depth, ())}.difference(_SHARED)):
            own = files.get(parent, set())
            entries = _host_entries(parent, host)
            if entries and all(
                f"{parent}/{name}" in found if is_folder else name in own or name[0] in "._"
                for name, is_folder in entries
            ):
                found.difference_update(f"{parent}/{name}" for name, _ in entries)
                found.add(parent)
                levels.setdefault(depth - 1, set()).add(parent)
        if len(found) <= FOLDERS_MAX:
            return


def _host_entries(path: str, host: HostFiles) -> list[tuple[str, bool]]:
    """The same of any folder of the host, which may be one that the planner does not see."""
    try:
        return [(entry.name, entry.is_folder and not entry.is_link) for entry in host.entries(path)]
    except OSError:
        return []


def _entries(path: str) -> Iterable[tuple[str, bool]]:
    """The names in a folder, sorted, and which are folders themselves; none of what can't be listed."""
    try:
        with os.scandir(path) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return ()


def _is_data(name: str) -> bool:
    return name.endswith(".parquet") or (name[0] in "._" and not name.endswith(".py"))

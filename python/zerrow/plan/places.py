"""How what models must not see is hidden in the project's folder.

What matters is that these lists stay short: each entry is a mount in a worker. A folder in which there is nothing but
source files, however deep, is one entry; so a table of ten thousand partitions mostly is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from zerrow.plan.hidden import HiddenEntries
from zerrow.plan.names import is_text
from zerrow.plan.source_files import is_parquet

COVERS_MAX = 64
"""So many things of one folder are covered one by one, before it is looked whether the rest of it is less."""


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


def hidden(project: str, sources: Iterable[str], others: HiddenEntries | None = None) -> Hidden:
    """How the sources' files (real paths) and `others` are hidden in the folder `project`; all else stays visible.

    In a folder with nothing but sources, other Parquet files and what writers leave behind (names that start with `.`
    or `_`) all is hidden.
    """
    others = others or HiddenEntries()
    tree: dict[str, _Folder] = {project: _Folder()}
    for path in others.paths.difference(others.shown):
        _add(project, tree, path, others.paths, is_source=False)
    for path in sources:
        _add(project, tree, path, others.paths, is_source=True)
    found = Hidden()
    if len(tree) > 1 or tree[project].files:
        _hide(project, tree, set(others.shown), found)
    found.rebuilt += sorted(others.shown.items())
    return found


def _add(project: str, tree: dict[str, _Folder], path: str, hidden_: set[str], is_source: bool) -> None:
    """Adds a path to what is hidden, unless it is outside of the project, or in a folder that is hidden itself."""
    if not path.startswith(os.path.join(project, "")):
        return
    steps = []
    folder, name = os.path.split(path)
    while True:
        if folder in hidden_:
            return
        steps.append((folder, name))
        if folder == project:
            break
        folder, name = os.path.split(folder)
    (folder, name), *above = steps
    tree.setdefault(folder, _Folder()).files.add(name)
    for folder, name in above:
        tree.setdefault(folder, _Folder()).folders.add(name)
    if is_source:
        for folder, _ in steps:
            tree[folder].holds_sources = True


@dataclass
class _Folder:
    """The part of a folder's content that is to be hidden, or holds such."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    holds_sources: bool = False


def _hide(project: str, tree: dict[str, _Folder], kept: set[str], found: Hidden) -> None:
    """Adds what hides the entries of the folders of a tree. Of the folders in `kept` something is shown."""
    # A folder comes after all that lie in it.
    done: dict[str, Hidden | None] = {}
    for path in sorted(tree, key=lambda path: path.count("/"), reverse=True):
        done[path] = _hidden_in(path, tree[path], done, kept, is_project=path == project)
    whole = done[project] or Hidden()
    found.covered += whole.covered
    found.rebuilt += whole.rebuilt


def _hidden_in(
    path: str, here: _Folder, done: dict[str, Hidden | None], kept: set[str], is_project: bool
) -> Hidden | None:
    """What hides the entries of a folder; None for one in which nothing has to stay visible.

    What was found of the folders in it is taken from `done`.
    """
    covered = [f"{path}/{name}" for name in sorted(here.files)]
    inner = Hidden()
    rest = []
    must_stay = is_project
    for name, is_folder in _entries(path):
        below = f"{path}/{name}"
        if is_folder and name in here.folders:
            hidden_below = done.pop(below)
            if hidden_below is None:
                covered.append(below)
                continue
            inner.rebuilt += hidden_below.rebuilt
            inner.covered += hidden_below.covered
            rest.append(below)
            must_stay = True
        elif name not in here.files:
            rest.append(below)
            must_stay = must_stay or below in kept or not (here.holds_sources and _is_data(name))
    if not must_stay:
        return None
    if len(covered) > max(COVERS_MAX, len(rest)) and all(map(is_text, rest)):
        return Hidden(inner.covered, [(path, rest), *inner.rebuilt])
    return Hidden(covered + inner.covered, inner.rebuilt)


def _entries(path: str) -> Iterable[tuple[str, bool]]:
    """The names in a folder, sorted, and which are folders themselves; none of what can't be listed."""
    try:
        with os.scandir(path) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return ()


def _is_data(name: str) -> bool:
    return is_parquet(name) or (name[0] in "._" and not name.endswith(".py"))

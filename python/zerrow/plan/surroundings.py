"""The surroundings on which a model's result depends besides code and inputs: project files, and installed packages."""

from __future__ import annotations

import hashlib
import os
import site
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from zerrow.identity import identity, is_settled, settles
from zerrow.tool_folders import TOOL_FOLDERS

FILES_MAX = 10_000
"""A project of more files than this is not looked through."""

_WORKER_FOLDERS = ("zerrow", "zerrow/worker", "bauplan", "bpln_sdk")
_CODE_ENDINGS = (".py", ".sql")


class ProjectFiles:
    """The files of a project's folder that models could read when they run, each as a name with its size and times."""

    def __init__(self, folder: Path, project_files: Collection[str], left_out: frozenset[str]) -> None:
        """`left_out` has real paths: of files that no model sees, and of folders whose files count for nothing."""
        self.code: list[str] = []
        self.others: list[str] = []
        self._problems: dict[bool, str] = {}
        for count, entry in enumerate(_files(str(folder), left_out)):
            name = os.path.relpath(entry.path, folder)
            is_code = name.endswith(_CODE_ENDINGS) or name in project_files
            if count == FILES_MAX:
                self._problems = dict.fromkeys((True, False), f"the project has over {FILES_MAX} files")
                return
            if entry.is_dir(follow_symlinks=False):
                self.others.append(f"{name}/")
                continue
            now_ns = time.time_ns()
            try:
                known = identity(entry.path)
            except OSError as error:  # a link to nowhere, for instance
                state = f"errno {error.errno}"
            else:
                state = f"{known['bytes']} {known['mtime_ns']} {known['ctime_ns']} {known['inode']}"
                if not settles(known, now_ns):
                    self._problems[is_code] = just_changed(name)
            (self.code if is_code else self.others).append(f"{name} {state}")

    def problem(self, reads_code: bool) -> str | None:
        """Why the files can't be told from their later states; None where they can."""
        return self._problems.get(False) or (self._problems.get(True) if reads_code else None)


def _files(folder: str, left_out: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    """The files below a folder, and the folders, each before what is in it; nothing of what tools keep."""
    levels = [_listed(folder)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif entry.path in left_out:
            continue
        elif not entry.is_dir(follow_symlinks=False):
            yield entry
        elif entry.name not in TOOL_FOLDERS:
            yield entry
            levels.append(_listed(entry.path))


def _listed(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return iter(sorted(found, key=lambda entry: entry.name))
    except OSError:
        return iter(())  # what can't be listed can't be read by its name's pattern either


_JUST_CHANGED = " was changed less than two seconds before the run"


def just_changed(name: str) -> str:
    """The reason that is given for a file that was changed too short a time ago."""
    return f"{name}{_JUST_CHANGED}"


def is_just_changed(reason: str) -> bool:
    """Whether a reason is that one."""
    return reason.endswith(_JUST_CHANGED)


def environment() -> list[str] | None:
    """Python, the time zone, and every package installed with its version; None where one is installed as editable.

    An editable package is code outside of the environment, which has no version for each of its states.
    """
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    installed = [sys.version, os.uname().machine, *time_zone()]
    for folder in folders:
        if not os.path.isdir(folder):
            continue
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.startswith("__editable__") or name.endswith(".egg-link"):
                return None
            if name.endswith(".pth") and _names_folders(path):
                return None
            if name.endswith((".dist-info", ".egg-info")):
                # One version can be installed twice, from sources that differ.
                installed.append(f"{name} {os.stat(path).st_mtime_ns}")
    return installed


def time_zone() -> list[str]:
    """What stands for the machine's time zone."""
    return [os.environ.get("TZ", ""), os.path.realpath("/etc/localtime")]


def _names_folders(path: str) -> bool:
    """Whether a file of the kind that adds folders to Python's path does so."""
    with open(path, "rb") as file:
        lines = [line.strip() for line in file]
    return any(line and not line.startswith((b"#", b"import ", b"import\t")) for line in lines)


def installed_folders() -> tuple[str, ...]:
    """The folders of Python itself and of what is installed for it."""
    places = {sys.prefix, sys.base_prefix, *site.getsitepackages(), str(Path(__file__).parents[2])}
    return tuple(sorted({*places, *map(os.path.realpath, places)}))


def own_code() -> str:
    """A hash of zerrow's Python code that runs in workers, and of the packages of other names for it.

    A process that is forked from one that has asked for it reads none of the files again that are as they were.
    """
    global _own_code
    now_ns = time.time_ns()
    states = _own_states()
    if _own_code is None or _own_code[0] != states:
        home = Path(__file__).resolve().parents[2]
        found = hashlib.blake2b(digest_size=16)
        for name in sorted(states):
            found.update(f"{name}\0".encode() + (home / name).read_bytes())
        # Only what was not changed a moment ago, nor meanwhile, can't have changed without a new state.
        is_known = all(is_settled(state, now_ns) for state in states.values()) and _own_states() == states
        _own_code = (states if is_known else None, found.hexdigest())
    return _own_code[1]


_own_code: tuple[dict[str, dict[str, Any]] | None, str] | None = None
"""The states of the files when they were hashed, None where these may not be relied on, and the hash."""


def _own_states() -> dict[str, dict[str, Any]]:
    """The identities of the files of zerrow's that run in workers, by their names."""
    home = str(Path(__file__).resolve().parents[2])
    states = {}
    for folder in _WORKER_FOLDERS:
        try:
            names = [name for name in os.listdir(os.path.join(home, folder)) if name.endswith(".py")]
        except FileNotFoundError:
            continue
        for name in names:
            states[f"{folder}/{name}"] = identity(os.path.join(home, folder, name))
    return states

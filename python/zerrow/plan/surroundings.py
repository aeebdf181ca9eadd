"""What a model's result depends on besides its code and its inputs: files of the project, and what is installed."""

from __future__ import annotations

import hashlib
import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path

FILES_MAX = 10_000
"""A project of more files than this is not looked through."""

_CODE_ENDINGS = (".py", ".sql")


class ProjectFiles:
    """The files of a project's folder that models could read when they run, each as a name with its size and times."""

    def __init__(self, folder: Path, project_file: str, left_out: frozenset[str]) -> None:
        """`left_out` has real paths: of files that no model sees, and of folders whose files count for nothing."""
        self.code: list[str] | None = []
        self.others: list[str] | None = []
        for count, entry in enumerate(_files(str(folder), left_out)):
            if count == FILES_MAX:
                self.code = self.others = None
                return
            name = os.path.relpath(entry.path, folder)
            is_code = name.endswith(_CODE_ENDINGS) or name == project_file
            (self.code if is_code else self.others).append(f"{name} {_state(entry)}")


def _files(folder: str, left_out: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return  # what can't be listed can't be read by its name's pattern either
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name != "__pycache__" and not entry.name.startswith(".") and entry.path not in left_out:
                yield from _files(entry.path, left_out)
        elif entry.path not in left_out:
            yield entry


def _state(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError as error:  # a link to nowhere, for instance
        return f"errno {error.errno}"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def environment() -> list[str] | None:
    """Python, and every package installed for it with its version; None where one is installed as editable.

    An editable package is code outside of the environment, which has no version for each of its states.
    """
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    installed = [sys.version, os.uname().machine]
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


def _names_folders(path: str) -> bool:
    """Whether a file of the kind that adds folders to Python's path does so."""
    with open(path, "rb") as file:
        lines = [line.strip() for line in file]
    return any(line and not line.startswith((b"#", b"import ", b"import\t")) for line in lines)


def own_code() -> str:
    """A hash of zerrow's Python code that runs in workers."""
    package = Path(__file__).resolve().parents[1]
    found = hashlib.blake2b(digest_size=16)
    for file in sorted([*package.glob("*.py"), *package.glob("worker/*.py")]):
        found.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes())
    return found.hexdigest()

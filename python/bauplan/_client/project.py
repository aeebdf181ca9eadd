"""Projects on this machine: their folders, and the text of their files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bauplan.exceptions import BauplanJobError

BAUPLAN_FILES = ("bauplan_project.yml", "bauplan_project.yaml")
FILES = (*BAUPLAN_FILES, "zerrow_project.yml")

_SNAPSHOT_BYTES_MAX = 4 << 20
"""Files of a project beyond this are not kept."""


def is_project(folder: Path) -> bool:
    """Whether the folder holds a project file."""
    return any((folder / name).is_file() for name in FILES)


def check_project(folder: Path) -> None:
    """Refuse a folder that can't be a project before the command is asked."""
    if not folder.is_dir():
        raise BauplanJobError(f"{folder} is not a folder: project_dir names the folder of a project file")
    if all((folder / name).exists() for name in BAUPLAN_FILES):
        raise BauplanJobError(f"both {' and '.join(BAUPLAN_FILES)} are in {folder}: remove one of them")
    if not is_project(folder):
        raise BauplanJobError(f"no {BAUPLAN_FILES[0]} was found in {folder}")


def project_above(folder: Path) -> Path | None:
    """The folder itself, or the nearest above it, that holds a project file."""
    return next((each for each in (folder, *folder.parents) if is_project(each)), None)


def snapshot(folder: Path) -> dict[str, str]:
    """The texts of a project's own files, by their names: those that models are read from, and the project file."""
    texts: dict[str, str] = {}
    room = _SNAPSHOT_BYTES_MAX
    for path in sorted(folder.iterdir()):
        if not (path.suffix in (".py", ".sql") or path.name in (*FILES, "requirements.txt")) or not path.is_file():
            continue
        room -= path.stat().st_size
        if room < 0:
            break
        texts[path.name] = path.read_text(encoding="utf-8", errors="replace")
    return texts


def snapshot_id(texts: dict[str, str]) -> str:
    """The same for the same files."""
    whole = hashlib.sha256()
    for name, text in texts.items():
        for part in (name, text):
            data = part.encode(errors="surrogatepass")
            whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()

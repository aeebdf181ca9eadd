"""Folders in which tools keep what is theirs: repositories, environments, caches.

What lies there is in no key of a result, for it is much and changes often. A model that reads it all the same is run
each time.
"""

from __future__ import annotations

TOOL_FOLDERS = frozenset(
    {
        *(".git", ".hg", ".svn", ".jj", ".venv", ".virtualenv", ".tox", ".nox", ".direnv", ".eggs", ".pixi", ".conda"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints", ".hypothesis", ".cache", ".zerrow"),
        *(".idea", ".vscode", ".vs", ".build", "__pycache__"),
    }
)


def in_tool_folder(path: str) -> bool:
    """Whether a path, relative to the project's folder, leads through such a folder."""
    return not TOOL_FOLDERS.isdisjoint(path.split("/"))

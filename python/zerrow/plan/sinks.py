"""Sinks: the nodes of a plan that write the tables of last models to files for others to read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from zerrow.plan.findings import Findings
from zerrow.plan.project_file import ProjectFile

FORMATS = {"parquet": ".parquet", "csv": ".csv", "json": ".jsonl", "feather": ".feather"}
"""The formats that a worker writes, and how the names of their files end. Arrow IPC streams need none: the engine
writes the very bytes that a table has."""


def sink_entries(planned: list[dict[str, Any]], kind: str, entry_of: Any) -> list[dict[str, Any]]:
    """The entries of a plan for the sinks of its last models. `entry_of` makes the beginning of an entry."""
    found = []
    for model in planned:
        if not model["final"]:
            continue
        name = model["name"]
        found.append(
            {
                **entry_of(f"export {name}", "write", [name]),
                "final": False,
                "file": model["file"],
                "line": model["line"],
                "task": {"kind": "write", "model": name, "table": name, "format": kind, "file": model["file"]},
                "sink": {"file": name + FORMATS[kind]},
                "cache": False,
                "code": None,
                "key": None,
                "because": "it writes a file",
                "repeatable": False,
                "expected_bytes": None,
            }
        )
    return found


def check_sinks(sinks: Iterable[dict[str, Any]], folders: Iterable[str], file: ProjectFile, findings: Findings) -> None:
    """Notes each source that the next run would find a sink's file in. `folders` are those that the run writes to."""
    for source in file.sources.values():
        if source.files is not None:
            continue
        path = os.path.normpath(os.path.join(str(file.folder), os.path.expanduser(source.path)))
        pattern = _pattern(path)
        for folder in folders:
            for sink in sinks:
                written = os.path.join(folder, sink["sink"]["file"])
                if not pattern.fullmatch(written):
                    continue
                findings.error(
                    "written-source",
                    f"{written} would be a file of the source {source.name!r} from the next run on",
                    file=file.file,
                    hint="export to a folder that is in no source's",
                )
                return


def _pattern(path: str) -> re.Pattern[str]:
    """What matches the files that a source's absolute path means: those below it, or those like it."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = (words.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", path))
    return re.compile("".join(parts) + "(?:/.*)?", re.DOTALL)

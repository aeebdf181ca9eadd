"""Looking at a project's catalog: by the command, and at the files that it names by pyarrow."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from command import Project


def call(project: Project, *arguments: str, env: dict | None = None) -> subprocess.CompletedProcess:
    """One call of the command, with the project's environment."""
    return subprocess.run(
        [*project.caller.words, *arguments], capture_output=True, text=True, env=project.environment(env), timeout=300
    )


def listed(project: Project, *arguments: str) -> list[dict[str, Any]]:
    """The tables of the catalog."""
    done = call(project, "table", "ls", "-p", str(project.folder), "-O", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return [table for table in json.loads(done.stdout)["tables"] if table["kind"] == "table"]


def details(project: Project, name: str) -> dict[str, Any]:
    """A table of the catalog, with its files."""
    done = call(project, "table", "get", name, "-p", str(project.folder), "-O", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["tables"][0]


def published(project: Project, name: str) -> pa.Table:
    """The rows of a table, as pyarrow reads its files one by one."""
    tables = [pq.read_table(path, partitioning=None) for path in details(project, name)["paths"]]
    return pa.concat_tables(tables, promote_options="default")


def queried(project: Project, sql: str, *arguments: str) -> str:
    """What a query prints."""
    done = call(project, "query", "-p", str(project.folder), sql, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def data_files(project: Project) -> set[str]:
    """The data files that lie in the project's warehouse, whether a table has them or not."""
    folder = project.folder / ".zerrow" / "warehouse"
    return {str(path.relative_to(folder)) for path in folder.glob("*/*/*.parquet")}


def state_files(project: Project) -> set[str]:
    """Those that the catalog's tables have, by its own file."""
    state = json.loads((project.folder / ".zerrow" / "warehouse" / "catalog.json").read_text())
    return {file["path"] for table in state["tables"].values() for file in table["files"]}


def warehouse(project: Project) -> Path:
    """The project's warehouse."""
    return project.folder / ".zerrow" / "warehouse"

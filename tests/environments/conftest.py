"""The fixtures of tests that run workers in other environments."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "worker"))

from made import environment, libraries, tried
from small_engine import SEGMENT_BYTES, SEGMENT_ID, SEGMENTS_AT, Engine, Table, built

LENT = 1 << 20
"""Numbers of segments of another engine begin here."""


class World:
    """An environment with a zygote, and a project's folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.python = environment(name)
        self.libraries = libraries(self.python)
        self.folder = folder
        self.engine = Engine(python=str(self.python), preload=built("libzerrow_arena.so")).wait_ready()

    def task(self, text: str, inputs: int = 1, **more: Any) -> dict[str, Any]:
        """The task of the function `model` of a file with that text; its arguments are t, u, v."""
        (self.folder / "models.py").write_text(text)
        arguments = [{"name": name, "input": index, "table": "base"} for index, name in enumerate("tuv"[:inputs])]
        return {
            "kind": "python", "model": "m", "folder": str(self.folder), "file": "models.py", "line": 1,
            "function": "model", "arguments": arguments, **more,
        }  # fmt: skip

    def run(self, text: str, *tables: Table, **more: Any) -> Table:
        """The result of such a task."""
        outcome = self.engine.run(self.task(text, len(tables), **more), list(tables))
        assert outcome.error is None, outcome.error
        assert outcome.table is not None, (outcome.exited, outcome.worker.text())
        return outcome.table

    def fail(self, text: str, *tables: Table, **more: Any) -> dict[str, Any]:
        """The error of such a task."""
        outcome = self.engine.run(self.task(text, len(tables), **more), list(tables))
        assert outcome.error is not None
        return outcome.error

    def lend(self, table: Table) -> Table:
        """A table of another engine's, for workers of this one: the segments are the same."""
        content = bytearray(table.descriptor)
        for index, identifier in enumerate(table.ids):
            if identifier + LENT not in self.engine.segments:
                self.engine.segments[identifier + LENT] = os.dup(table.segments[identifier])
            SEGMENT_ID.pack_into(content, SEGMENTS_AT + SEGMENT_BYTES * index, identifier + LENT)
        return Table(bytes(content), self.engine.segments, table.rows, None, None)


@pytest.fixture(scope="session")
def default_engine() -> Iterator[Engine]:
    """Workers of zerrow's own environment."""
    engine = Engine().wait_ready()
    yield engine
    assert engine.close() == ""


@pytest.fixture(scope="session", params=tried())
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Each of the environments."""
    world = World(request.param, tmp_path_factory.mktemp("project"))
    yield world
    # A library that warns of a fork, or can't be made ready, would have said so.
    assert world.engine.close() == ""
    # Nothing is left beside the project's files, compiled code neither.
    assert not list(world.folder.rglob("*.pyc"))

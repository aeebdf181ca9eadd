"""The fixtures that the tests of the worker share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_engine import Engine

sys.path.append(str(Path(__file__).parent / "libraries"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = Engine().wait_ready()
    yield engine
    assert engine.close() == ""


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """Write a models.py and get its task: project(source, arguments) → task."""

    def write(source: str, arguments: list[dict[str, Any]] | None = None, function: str = "model") -> dict[str, Any]:
        (tmp_path / "models.py").write_text(source)
        return {
            "kind": "python", "model": "m", "folder": str(tmp_path), "file": "models.py", "line": 1,
            "function": function, "arguments": arguments or [],
        }  # fmt: skip

    write.folder = tmp_path
    return write

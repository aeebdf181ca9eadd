"""What the tests of caches share: a project that is old enough to be kept, and what a run says of it."""

import os
import time
from pathlib import Path

import pytest
from command import Project, Result

CHAIN = """
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"]), factor=2):
        return numbers

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return {"rows": [len(first)], "last": [first["a"][len(first) - 1].as_py()]}
"""


def statuses(result: Result) -> dict[str, str]:
    """Each model's status."""
    return {model["name"]: model["status"] for model in result.report["models"]}


def age(folder: Path) -> None:
    """Make a project's files old: what was changed a moment ago is never kept."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (time.time() - 100, time.time() - 100))
    grow_old()


def grow_old() -> None:
    """Let what was changed a moment ago become old enough to be kept; the time of a status change can't be set."""
    time.sleep(0.1)


def own_folder(project: Project, folder: Path) -> Path:
    """Make a folder that only the user who runs a project may write to."""
    folder.mkdir(mode=0o755)
    os.chown(folder, project.caller.uid, -1)
    return folder


def open_folder(folder: Path) -> Path:
    """Make a folder that every user may write to."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    return folder


@pytest.fixture
def chain(any_project: Project) -> Project:
    """A project of a scan and two models, settled long ago."""
    any_project.write("models.py", CHAIN)
    age(any_project.folder)
    return any_project

"""Fixtures: the library, and a sandbox as each kind of user that this machine lets us be."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from host import ORDINARY_USER, Sandbox, build_library, python_for_everybody, scratch_folder

USERS = {"root": 0, "ordinary": ORDINARY_USER} if os.geteuid() == 0 else {"ordinary": os.geteuid()}


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that every user may read; removed at the end."""
    folder = scratch_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def library(scratch: Path) -> Path:
    """The sandbox's C functions."""
    folder = scratch / "library"
    folder.mkdir(mode=0o755)
    return build_library(folder)


@pytest.fixture(scope="session")
def python(scratch: Path) -> tuple[str, list[str]]:
    """An interpreter that every user can run."""
    return python_for_everybody(scratch)


@pytest.fixture(params=USERS.values(), ids=USERS.keys())
def user(request: pytest.FixtureRequest) -> int:
    """The engine's user."""
    return request.param


@pytest.fixture
def make(library: Path, python: tuple[str, list[str]], user: int) -> Iterator[Callable[..., Sandbox]]:
    """Makes sandboxes of the engine's user; they end with the test."""
    made: list[Sandbox] = []

    def make(**options: Any) -> Sandbox:
        made.append(Sandbox(library, python, user, **options))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


@pytest.fixture(scope="session")
def shared() -> Iterator[dict[int, Sandbox]]:
    """The sandboxes that tests of one user share."""
    sandboxes: dict[int, Sandbox] = {}
    yield sandboxes
    for sandbox in sandboxes.values():
        sandbox.close()


@pytest.fixture
def sandbox(
    shared: dict[int, Sandbox], library: Path, python: tuple[str, list[str]], user: int, request: pytest.FixtureRequest
) -> Iterator[Sandbox]:
    """A sandbox without network, for tests that leave it alive."""
    if user not in shared:
        shared[user] = Sandbox(library, python, user)
    yield shared[user]
    if request.node.stash.get(FAILED, False):
        shared.pop(user).close()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Note a failure on its test: what it leaves may be in any state."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report

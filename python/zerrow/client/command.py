"""Where the command `zerrow` is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from zerrow.errors import ZerrowError

_PACKAGE = Path(__file__).resolve().parents[1]

ENGINE = _PACKAGE / "_engine"
"""The folder of the built engine, in a package that was installed from a wheel."""


def find_command() -> str:
    """The path of the command: the one that ZERROW_COMMAND names, else the one that this package came with, else the
    one on the PATH.

    Raises ZerrowError where there is none.
    """
    named = os.environ.get("ZERROW_COMMAND")
    if named:
        program = shutil.which(named)
        if program is None:
            raise ZerrowError(
                f"ZERROW_COMMAND names {named!r}, which is no program: correct it, or unset it", code="no-command"
            )
        return os.path.abspath(program)
    for candidate in _candidates():
        program = shutil.which(candidate)
        if program is not None:
            return os.path.abspath(program)
    raise ZerrowError(
        "the command zerrow was not found: put its folder on the PATH, or name it in ZERROW_COMMAND", code="no-command"
    )


def _candidates() -> Iterator[str]:
    if ENGINE.exists():
        yield str(ENGINE / "command")
    # A clone: python/zerrow lies beside the launcher. Within an installation's copy there is no launcher.
    yield str(_PACKAGE.parents[1] / "zerrow")
    yield "zerrow"

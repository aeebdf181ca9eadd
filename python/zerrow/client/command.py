"""Where the command `zerrow` is."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from zerrow.errors import ZerrowError

_PACKAGE = Path(__file__).resolve().parents[1]

ENGINE = _PACKAGE / "_engine"
"""The folder of the built engine, in a package that was installed from a wheel."""


_PROGRAM = ENGINE / "bin" / "zerrow"


def find_command(on_path: bool = True) -> str:
    """The path of the command: the one that ZERROW_COMMAND names, else the one that this package came with, else the
    one on the PATH.

    Without `on_path` neither the variable nor the PATH is looked at: who asks may be what lies there. Raises
    ZerrowError where there is none.
    """
    named = os.environ.get("ZERROW_COMMAND")
    if named and on_path:
        program = shutil.which(named)
        if program is None:
            raise ZerrowError(
                f"ZERROW_COMMAND names {named!r}, which is no program: correct it, or unset it", code="no-command"
            )
        return os.path.abspath(program)
    # A clone: python/zerrow lies beside the launcher.
    for candidate in (str(_PROGRAM), str(_PACKAGE.parents[1] / "zerrow"), *(["zerrow"] if on_path else [])):
        program = shutil.which(candidate)
        if program is not None:
            return os.path.abspath(program)
    raise ZerrowError(
        "the command zerrow was not found: put its folder on the PATH, or name it in ZERROW_COMMAND", code="no-command"
    )


def engine_variables(program: str) -> dict[str, str]:
    """What the command has to be told beside its caller's variables, if it is the one of an installed package.

    The default environment of models is that of the running Python, and uv the one that was installed with zerrow.
    """
    if program != os.path.abspath(_PROGRAM):
        return {}
    variables = {"ZERROW_HOME": str(ENGINE)}
    if "ZERROW_PYTHON" not in os.environ:
        variables["ZERROW_PYTHON"] = sys.executable
    uv = Path(sys.executable).parent / "uv"
    if "ZERROW_UV" not in os.environ and shutil.which("uv") is None and uv.exists():
        variables["ZERROW_UV"] = str(uv)
    return variables

"""The command `zerrow` of an installed package: the engine's own, told where it is and which Python it is for."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from zerrow.client.command import ENGINE, engine_variables, find_command


def main() -> NoReturn:
    """Becomes the command. It runs models in the environment that this Python is of, where they ask for none."""
    name = os.path.basename(sys.argv[0])
    try:
        program = find_command(on_path=False)
    except Exception as error:
        sys.exit(f"{name}: {error}")
    if program.startswith(str(ENGINE)):
        compile_once()
    os.execve(program, [name, *sys.argv[1:]], {**os.environ, **engine_variables(program)})


def compile_once() -> None:
    """Compiles the copy of the packages that workers load, if it isn't: their sandboxes can't keep what they compile.

    Installers that compile nothing (uv's, unless it is asked to) leave that to the first call. A folder that can't be
    written to stays as it is.
    """
    folder = ENGINE / "python"
    if (folder / "zerrow" / "__pycache__").exists() or not os.access(folder / "zerrow", os.W_OK):
        return
    import compileall

    compileall.compile_dir(folder, quiet=2)

"""Builds one package that has no wheel: `python -m zerrow.wheel_builder NAME REQUIREMENT PYTHON UV`, in a sandbox.

Building runs a stranger's code, so it is done by a process isolated as a worker with network is: it sees Python and
uv, has a /tmp of its own, and is a user of its own where the engine is root. The wheel goes to descriptor 3, its file's
name and a line break before it; whatever lies there is a stranger's word to whoever reads it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

OUTPUT_DESCRIPTOR = 3
_FOLDER = Path("/tmp")


def main() -> int:
    """Builds in a child that is isolated; the exit status."""
    from zerrow.worker.abi import View, WorkerLibrary
    from zerrow.zygote import limit_namespace

    limit_namespace()
    library = WorkerLibrary(os.environ["ZERROW_WORKER_LIBRARY"])
    uid = int(os.environ["ZERROW_BUILD_USER"]) or None
    library.fork_prepare()
    child = os.fork()
    if child == 0:
        try:
            library.place_descriptors(OUTPUT_DESCRIPTOR, 1)
            library.enter(uid, View(tuple(filter(None, os.environ["ZERROW_BUILD_SHOWN"].split("\n")))))
            build(*sys.argv[1:])
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def build(name: str, requirement: str, python: str, uv: str) -> NoReturn:
    """Makes the wheel and writes it; ends the process."""
    environment, out = _FOLDER / "environment", _FOLDER / "out"
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("ZERROW_", "PYTHON", "LD_"))}
    variables |= {"HOME": str(_FOLDER), "UV_CACHE_DIR": str(_FOLDER / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    run = [uv, "venv", "--quiet", "--seed", "--no-project", "--python", python, str(environment)]
    subprocess.run(run, env=variables, cwd=_FOLDER, check=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir"]
    subprocess.run([*pip, "--no-binary", name, "-w", str(out), requirement], env=variables, cwd=_FOLDER, check=True)
    (wheel,) = out.glob("*.whl")
    os.write(OUTPUT_DESCRIPTOR, os.fsencode(wheel.name) + b"\n")
    with wheel.open("rb") as file:
        while piece := file.read(1 << 20):
            os.write(OUTPUT_DESCRIPTOR, piece)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

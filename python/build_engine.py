"""Hatchling's hook: builds the engine with Swift, and puts it into the wheel.

What goes into the wheel beside the packages lies below `zerrow/_engine`: `bin/` with the command and its two libraries,
and `python/`, a second copy of the packages for planners and workers. These get it as their only path beside their own
environment: an environment of another Python must not see what is installed in the one that zerrow is in.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PROGRAMS = ("zerrow", "libzerrow_worker.so", "libzerrow_arena.so")
_PACKAGES = ("zerrow", "bauplan", "bpln_sdk")

_LIBRARIES = ("libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "ld-linux")
"""What every Linux has for which wheels are made (PEP 600)."""


class EngineHook(BuildHookInterface):
    """Adds the engine to a wheel. An editable installation has none: it uses the repository's launcher."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Called before the wheel is written."""
        if version == "editable":
            return
        root = Path(self.root)
        release = self._build(root)
        staged = root / ".build" / "wheel"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        for name in _PROGRAMS:
            shutil.copy2(release / name, staged / name)
            (staged / name).chmod(0o755)
            if shutil.which("strip"):
                # Nobody debugs them where they are installed; the build's id, by which results are kept, stays.
                subprocess.run(["strip", "--strip-debug", str(staged / name)], check=True)
            build_data["force_include"][str(staged / name)] = f"zerrow/_engine/bin/{name}"
        for package in _PACKAGES:
            # A file that is included by name is left out where it would be otherwise: so it is a copy.
            copy = staged / "python" / package
            shutil.copytree(root / "python" / package, copy, ignore=shutil.ignore_patterns("__pycache__"))
            build_data["force_include"][str(copy)] = f"zerrow/_engine/python/{package}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag([staged / name for name in _PROGRAMS])}"

    def _build(self, root: Path) -> Path:
        """The folder of the engine, built anew where anything has changed."""
        if platform.system() != "Linux":
            self.app.abort("zerrow is for Linux: its engine can't be built here")
        if shutil.which("swift") is None:
            self.app.abort(
                "building zerrow needs Swift 6.3, and there is no 'swift' on the PATH: install it from "
                "https://www.swift.org/install/linux, or install a wheel that was built elsewhere"
            )
        if shutil.which(os.environ.get("CC", "cc")) is None and shutil.which("clang") is None:
            self.app.abort("building zerrow needs a C compiler: install gcc or clang, or name one in CC")
        self.app.display_info("building the engine with Swift (some minutes the first time)")
        swift = ["swift", "build", "-c", "release", "--static-swift-stdlib", "--product"]
        release = root / ".build" / "release"
        steps = [[*swift, "zerrow"], [*swift, "zerrow_worker"], ["Sources/Arena/build", str(release / _PROGRAMS[2])]]
        for step in steps:
            done = subprocess.run(step, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                lines = done.stdout.splitlines()[-30:]
                self.app.abort("\n".join([*lines, f"the engine did not build: {' '.join(step)}"]))
        return release


def platform_tag(programs: list[Path]) -> str:
    """The platform that built programs need: the machine, and the oldest glibc that has all they ask for.

    It says so only where they need no library that other Linuxes lack; else it is the plain name of the machine.
    """
    machine = platform.machine()
    minor = 17
    for program in programs:
        content = program.read_bytes()
        for found in re.findall(rb"GLIBC_2\.(\d+)", content):
            minor = max(minor, int(found))
        for library in needed(program):
            if not library.startswith(_LIBRARIES):
                return f"linux_{machine}"
    return f"manylinux_2_{minor}_{machine}"


def needed(program: Path) -> list[str]:
    """The libraries that a program names, by its dynamic section; readelf is part of what compiles C."""
    if shutil.which("readelf") is None:
        return ["unknown"]
    done = subprocess.run(["readelf", "-d", str(program)], capture_output=True, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout)


def get_build_hook() -> type[BuildHookInterface]:
    """What hatchling looks for where a module has more than one."""
    return EngineHook

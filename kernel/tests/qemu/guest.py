# SPDX-License-Identifier: GPL-2.0-only
"""What a machine boots: the module, the test program and the initial file system, built into a folder."""

import lzma
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from kernel import Kernel

TESTS = Path(__file__).resolve().parent.parent
MODULE = TESTS.parent
COMPILER = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"]


class BuildError(Exception):
    """A part could not be built; the message has the compiler's words."""


def build_program(folder: Path) -> Path:
    """Compiles all C files of the tests into one static program."""
    program = folder / "init"
    sources = sorted(TESTS.glob("*.c"))
    objects = [folder / f"{source.stem}.o" for source in sources]
    running = [
        subprocess.Popen(
            [*COMPILER, "-c", source, "-o", to], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for source, to in zip(sources, objects, strict=True)
    ]
    words = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise BuildError("the test program does not compile:\n" + "".join(words))
    run([*COMPILER, *objects, "-o", program], "the test program does not link")
    return program


def build_module(kernel: Kernel, folder: Path, debug: bool) -> Path:
    """Builds the module in a copy of its sources, so that the tree stays clean and kernels build side by side."""
    copy = folder / f"module-{kernel.series}{'-debug' if debug else ''}"
    if copy.exists():
        return copy / "kernelzero.ko"
    shutil.copytree(MODULE, copy, ignore=shutil.ignore_patterns("tests", "*.o", "*.ko", "*.cmd", "*.mod*", "probed.h"))
    options = ["KERNELZERO_DEBUG=1"] if debug else []
    command = ["make", "-s", "-C", copy, f"KDIR={kernel.build}", f"-j{os.cpu_count()}", *options]
    run(command, f"the module does not build for {kernel.release}")
    return copy / "kernelzero.ko"


def run(command: list, what: str) -> None:
    """Runs a command whose words matter only when it fails."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{what}:\n{done.stdout}")


def kernel_modules(kernel: Kernel, names: list[str]) -> list[tuple[str, bytes]]:
    """The kernel's own modules of these names and what they depend on, dependencies first, without built-in ones."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in kernel.modules.rglob("*.ko*")}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in found or name not in files:
            return
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        for dependency in module_dependencies(data):
            add(dependency)
        found[name] = data

    for name in names:
        add(name)
    return [(f"{name}.ko", data) for name, data in found.items()]


def module_dependencies(data: bytes) -> list[str]:
    """The names in a module's `depends=`, as modinfo shows it."""
    match = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name.replace("-", "_") for name in match[1].decode().split(",") if name] if match else []


def initial_files(program: Path, modules: list[tuple[str, bytes]], parameters: str) -> bytes:
    """The initial file system: the program as /init, the modules, and in which order they are loaded.

    The parameters are those of kernelzero.ko.
    """
    order = "".join(f"{name} {parameters if name == 'kernelzero.ko' else ''}".strip() + "\n" for name, _ in modules)
    archive = [entry(folder, stat.S_IFDIR | 0o755, b"") for folder in ("dev", "proc", "sys", "tmp", "modules", "root")]
    archive.append(entry("dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1)))
    archive.append(entry("init", stat.S_IFREG | 0o755, program.read_bytes()))
    archive.append(entry("modules/order", stat.S_IFREG | 0o644, order.encode()))
    archive += [entry(f"modules/{name}", stat.S_IFREG | 0o644, data) for name, data in modules]
    archive.append(entry("TRAILER!!!", 0, b""))
    return b"".join(archive)


def entry(name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    """One file of a cpio archive in the format that the kernel unpacks ("newc")."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return padded(header) + padded(data)


def padded(data: bytes) -> bytes:
    """To a multiple of four bytes."""
    return data + b"\0" * (-len(data) % 4)

# SPDX-License-Identifier: GPL-2.0-only
"""A machine under QEMU's emulator: boots a kernel, gives the lines that the tests print, and ends with nothing left."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kernel import Kernel

# The kernel's words go to the first serial port, the tests' to the second. An oops ends the machine: what follows it
# says nothing about the module. Process 1 starts without huge pages; the tests switch them on. Stalls are measured on a
# host that has other work too, on which the kernel's own check of the timer may come too late.
BOOT_WORDS = (
    "console=ttyS0 panic=-1 oops=panic random.trust_cpu=on mitigations=off rcupdate.rcu_cpu_stall_timeout=60"
    " watchdog_thresh=30 log_buf_len=4M transparent_hugepage=never no_timer_check"
)


@dataclass(frozen=True)
class Disk:
    """An empty virtio disk, which the tests know by its serial number; as slow as its limits say."""

    serial: str
    size_bytes: int
    limits: str = ""


@dataclass
class Machine:
    """What to boot."""

    kernel: Kernel
    initial_files: bytes
    words: list[str]
    folder: Path
    memory: str = "1G"
    seconds: int = 600
    disks: tuple[Disk, ...] = ()
    boot_words: str = ""
    instruction_counter: bool = False
    host_root: bool = False
    log: str = field(default="", init=False)
    ended: str = field(default="", init=False)

    def run(self) -> Iterator[str]:
        """Boots, gives the tests' lines as they come, and ends the machine in any case.

        Afterwards `log` has the kernel's log and `ended` says how it ended if that was not by itself.
        """
        log_path = self.folder / "log"
        initial_path = self.folder / "initial-files"
        initial_path.write_bytes(self.initial_files)
        process = subprocess.Popen(
            self.command(initial_path, log_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        try:
            yield from self.lines(process)
        finally:
            process.kill()
            errors = process.communicate()[1].decode(errors="replace").strip()
            self.log = log_path.read_text(errors="replace") if log_path.exists() else ""
            if errors:
                self.ended = f"{self.ended}; QEMU says: {errors}".lstrip("; ")

    def lines(self, process: subprocess.Popen) -> Iterator[str]:
        """Complete lines of the second serial port until the machine ends or its time is up."""
        until = time.monotonic() + self.seconds
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0, until - time.monotonic())):
                    self.ended = f"still running after {self.seconds} s"
                    return
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return
                *complete, rest = (rest + data).split(b"\n")
                yield from (line.decode(errors="replace").rstrip("\r") for line in complete)

    def command(self, initial_path: Path, log_path: Path) -> list[str]:
        """The command line of QEMU."""
        append = f"{BOOT_WORDS} {self.boot_words} -- {' '.join(self.words)}"
        processor = "max,-erms,-fsrm" if self.instruction_counter else "max"
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-cpu", processor, "-m", self.memory]
        if self.instruction_counter:
            command += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]
        else:
            command += ["-accel", "tcg,thread=multi", "-smp", "2"]
        command += ["-kernel", str(self.kernel.image), "-initrd", str(initial_path), "-append", append]
        command += ["-serial", f"file:{log_path}", "-chardev", "stdio,id=results,signal=off"]
        command += ["-serial", "chardev:results"]
        for disk in self.disks:
            path = self.folder / f"disk-{disk.serial}"
            with path.open("wb") as file:
                file.truncate(disk.size_bytes)
            limits = f",{disk.limits}" if disk.limits else ""
            command += ["-drive", f"id={disk.serial},file={path},format=raw,if=none,cache=unsafe{limits}"]
            command += ["-device", f"virtio-blk-pci,drive={disk.serial},serial={disk.serial}"]
        if self.host_root:
            share = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
            command += ["-virtfs", share]
        return command


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends in whatever way."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)

# SPDX-License-Identifier: GPL-2.0-only
"""The suites: which machines each boots, with what, and what is expected of its tests."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from machine import Disk


class Expectation(Enum):
    """What a run must show to pass."""

    ALL_PASS = "every test passes and the kernel doesn't complain"
    CAUGHT = "some test fails, or the kernel complains"
    FAULTY_FAIL = "tests named faulty_* fail, all others pass"


@dataclass(frozen=True)
class Plan:
    """One machine of a suite. `words` are suites or tests of the test program, or "host" and a program of the host."""

    title: str
    words: tuple[str, ...]
    expectation: Expectation = Expectation.ALL_PASS
    module: bool = True
    debug: bool = False
    parameters: str = ""
    kernel_modules: tuple[str, ...] = ()
    memory: str = "1G"
    seconds: int = 900
    disks: tuple[Disk, ...] = ()
    boot_words: str = ""
    instruction_counter: bool = False
    host_root: bool = False


# Freed pages and slab objects are filled with a pattern, so that a use after free shows.
POISON = "page_poison=1 slub_debug=FZP init_on_alloc=0"
DISK = ("virtio_pci", "virtio_blk")
SLOW_DISK = Disk("slow", 32 << 20, f"throttling.bps-total={4 << 20}")
SWAP_DISK = Disk("swap", 256 << 20)
HOST_ROOT = ("virtio_pci", "9pnet_virtio", "9p")

# Whole runs of the engine, which `./zerrow --version` has to have built.
ARROW = str(Path(__file__).resolve().parents[3] / "tests" / "conformance" / "guest")

# Each switch of the debug build that breaks the module, and the tests that must notice.
MUTATIONS: dict[str, tuple[str, ...]] = {}

SUITES: dict[str, list[Plan]] = {
    "harness": [
        Plan("harness", ("harness",), Expectation.FAULTY_FAIL, module=False),
        Plan("panic", ("panic",), Expectation.FAULTY_FAIL, module=False),
    ],
    "quick": [
        Plan(
            "quick",
            ("quick",),
            kernel_modules=("zram", "kvm_amd", *DISK),
            boot_words=POISON,
            disks=(SLOW_DISK,),
        )
    ],
    "swap": [
        Plan("swap to zram", ("swap",), kernel_modules=("zram",), boot_words=POISON),
        Plan("swap to a disk", ("swap",), kernel_modules=DISK, boot_words=POISON, disks=(SWAP_DISK,)),
    ],
    "arrow": [
        Plan("arrow", ("host", ARROW), kernel_modules=HOST_ROOT, memory="3G", seconds=5400, host_root=True),
        Plan("arrow with faults", ("host", ARROW, "faults"), debug=True, kernel_modules=HOST_ROOT, host_root=True),
    ],
}

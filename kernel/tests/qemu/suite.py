# SPDX-License-Identifier: GPL-2.0-only
"""The suites: which machines each boots, with what, and what is expected of its tests."""

import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from machine import Disk

REPOSITORY = Path(__file__).resolve().parents[3]


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
    limits_kill: bool = False


# Freed pages and slab objects are filled with a pattern, so that a use after free shows.
POISON = "page_poison=1 slub_debug=FZP init_on_alloc=0"
DISK = ("virtio_pci", "virtio_blk")
SLOW_DISK = Disk("slow", 32 << 20, f"throttling.bps-total={4 << 20}")
SWAP_DISK = Disk("swap", 256 << 20)
SLOW_SWAP_DISK = Disk("swap", 256 << 20, f"throttling.bps-total={4 << 20}")
# Whole runs of the engine, which `./zerrow --version` has to have built.
HOST = ("host", f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", str(REPOSITORY / "tests/conformance/guest"))
HOST_ROOT = ("virtio_pci", "9pnet_virtio", "9p")
# Checksums of ext4 are found by name, so nothing names their module.
HOST_DISK = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "loop")
WORK_DISK = Disk("work", 6 << 30)


# Each switch of the debug build that breaks the module, and the tests that must notice.
MUTATIONS: dict[str, tuple[str, ...]] = {
    "skip_tlb_flush": ("writes_to_the_source_never_reach_the_file",),
    "skip_dirty": ("published_pages_survive_reclaim",),
    "skip_rss": ("counters_follow_small_pages",),
    "skip_rmap": ("published_bytes_are_read_by_a_second_process",),
    "skip_nr_shmem": ("counters_follow_small_pages",),
    "skip_nr_anon": ("counters_follow_small_pages",),
    "skip_iblocks": ("counters_follow_small_pages",),
    "skip_nrpages": ("truncation_frees_the_pages",),
    "skip_vm_accounting": ("counters_follow_small_pages",),
    "skip_swaplist": ("swapoff_brings_moved_places_back",),
    "swap_in_cache_thp": ("huge_pages_still_in_the_swap_cache_keep_their_bytes",),
    "swap_shared": ("places_that_a_child_shares_are_copied",),
    "edge_not_zeroed": ("an_unaligned_range_publishes_its_own_bytes_alone",),
    "skip_pin_check": ("pages_in_a_pipe_are_copied",),
    "skip_drain": ("pages_that_a_processor_has_just_made_move_too",),
    "skip_undo_pte": ("a_call_that_fails_at_any_step_has_done_nothing",),
    "skip_undo_reserve": ("a_call_that_fails_at_any_step_has_done_nothing",),
    "skip_seals": ("sealed_files_are_EPERM",),
    "skip_charge": ("counters_follow_copies",),
    "skip_pgtable_free": ("counters_of_a_huge_page_follow_it",),
    "early_size": ("a_reader_of_the_files_end_never_sees_a_missing_page",),
    "skip_zero_page": ("what_was_never_written_is_zero_when_the_file_system_is_full",),
    "skip_mappings_count": ("a_call_that_needs_too_many_mappings_makes_none",),
    "skip_vma_move": ("what_is_written_after_publication_is_swapped_out_and_back",),
    "skip_notify": ("those_who_watch_the_file_hear_of_what_is_published",),
    "skip_huge_deny": ("huge_pages_move_by_their_small_pages_where_shared_memory_may_have_none",),
    "may_grow": ("a_published_mapping_does_not_grow",),
    "dirty_early": ("a_fuse_server_cannot_keep_others_from_the_file",),
    "swap_in_may_kill": (
        "shared_places_beyond_the_groups_limit_are_ENOMEM_without_a_kill",
        "swapped_out_edges_beyond_the_groups_limit_are_ENOMEM_without_a_kill",
    ),
    "drain_waits": ("a_call_does_not_wait_for_a_busy_processor",),
    "wait_for_each": ("a_call_waits_a_bounded_time_for_pages_that_are_being_written",),
    "split_late": ("the_own_half_of_a_huge_page_moves_when_the_first_is_shared",),
}
# The tests of these machines need a disk that is written slowly enough for pages to stay in the swap cache.
MUTATIONS_ON_DISK = {"swap_in_cache_thp": SWAP_DISK, "wait_for_each": SLOW_SWAP_DISK}


# Less than what tests have otherwise, as some mistakes make a test hang for ever.
MUTATION_SECONDS = 60


def mutation_plan(name: str) -> Plan:
    """A machine with a broken module, in which the tests must fail."""
    disk = MUTATIONS_ON_DISK.get(name)
    return Plan(
        f"mutation {name}",
        (*MUTATIONS[name], f"seconds={MUTATION_SECONDS}"),
        Expectation.CAUGHT,
        debug=True,
        parameters=f"mutation={name}",
        kernel_modules=DISK if disk else ("zram",),
        disks=(disk,) if disk else (),
        seconds=200,
    )


def control_plan(disk: Disk | None) -> Plan:
    """The same tests with the same module unbroken: they must pass, or their failures mean nothing."""
    names = [name for name in MUTATIONS if MUTATIONS_ON_DISK.get(name) == disk]
    return Plan(
        f"no mutation{f', {disk.serial} disk {disk.limits}'.rstrip() if disk else ''}",
        tuple(dict.fromkeys(test for name in names for test in MUTATIONS[name])),
        debug=True,
        kernel_modules=DISK if disk else ("zram",),
        disks=(disk,) if disk else (),
    )


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
            boot_words=f"{POISON} secretmem.enable=1",
            disks=(SLOW_DISK,),
        )
    ],
    "swap": [
        Plan("swap to zram", ("swap",), kernel_modules=("zram",), boot_words=POISON),
        Plan("swap to a disk", ("swap",), kernel_modules=DISK, boot_words=POISON, disks=(SWAP_DISK,)),
    ],
    "faults": [
        Plan("faults", ("faults",), debug=True, kernel_modules=("zram",), boot_words=POISON),
        Plan(
            "faults with a slow disk",
            ("slowfaults",),
            debug=True,
            kernel_modules=DISK,
            boot_words=POISON,
            disks=(SLOW_SWAP_DISK,),
        ),
    ],
    "mutations": [
        *(control_plan(disk) for disk in (None, SWAP_DISK, SLOW_SWAP_DISK)),
        *(mutation_plan(name) for name in MUTATIONS),
    ],
    "stress": [
        Plan("stress with zram", ("stress",), kernel_modules=("zram",), boot_words=POISON),
        Plan("stress with a disk", ("stress",), kernel_modules=DISK, boot_words=POISON, disks=(SWAP_DISK,)),
    ],
    # Without filling new pages with zeroes, which is the same work for all that need a new page.
    "icount": [Plan("icount", ("icount",), boot_words="init_on_alloc=0", instruction_counter=True, seconds=1800)],
    # The second machine has a debug build, which the engine refuses and the worker library takes.
    "arrow": [
        Plan("arrow", HOST, kernel_modules=HOST_ROOT, memory="3G", seconds=5400, host_root=True),
        Plan("arrow with faults", (*HOST, "faults"), debug=True, kernel_modules=HOST_ROOT, host_root=True),
    ],
    "cgroup2": [
        Plan(
            "cgroup2",
            (*HOST, "cgroup2"),
            module=False,
            kernel_modules=(*HOST_ROOT, *HOST_DISK),
            memory="3G",
            seconds=5400,
            disks=(WORK_DISK,),
            host_root=True,
            limits_kill=True,
        )
    ],
}

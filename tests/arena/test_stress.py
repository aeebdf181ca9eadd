"""Random calls against shadow copies. A failure prints the seed; ZERROW_TEST_SEED repeats it."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run

SEED = int(os.environ.get("ZERROW_TEST_SEED", "0")) or random.randrange(1, 1 << 31)
# The size of the file in MiB: plenty of address space, and so little that extents are often refused and passed to libc.
FILE_MIB = ("262144", "512", "128")


@pytest.mark.parametrize("file_mib", FILE_MIB)
def test_heap_keeps_content_under_threads(program: Callable[[str], Path], preloaded: Run, file_mib: str) -> None:
    """malloc, calloc, realloc, posix_memalign and free from four threads, blocks freed by others."""
    done = preloaded(program("heap_fuzz"), str(SEED), "4", "1500", file_mib)
    assert done.stdout == "ok\n"


def test_heap_passes_through_without_an_arena(program: Callable[[str], Path], preloaded: Run) -> None:
    """The same calls before an attachment."""
    assert preloaded(program("heap_fuzz"), str(SEED), "4", "800").stdout == "ok\n"


@pytest.mark.parametrize("adopt", [(), ("adopt",)], ids=["attached-first", "adopted"])
@pytest.mark.parametrize("file_mib", FILE_MIB)
def test_mappings_behave_as_the_kernels(
    program: Callable[[str], Path], preloaded: Run, file_mib: str, adopt: tuple[str, ...]
) -> None:
    """Anonymous mappings: dropped pages read as zero, parts can be unmapped, moved, grown, mapped over."""
    done = preloaded(program("mapping_fuzz"), str(SEED), "1500", file_mib, *adopt)
    assert done.stdout == "ok\n"


def test_forks_keep_parent_and_child_apart(program: Callable[[str], Path], preloaded: Run) -> None:
    """Forks while other threads allocate: content, MADV_DONTNEED, location and new extents on both sides."""
    assert preloaded(program("fork_stress"), str(SEED), "12").stdout == "ok\n"

"""Which pages the file gets: of 2 MiB where the kernel makes them, the same ones for every reader, never too few."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run

FILL = """
import arena_client, numpy as np
fd = arena_client.attach()
arrays = [np.full(size, 7, dtype=np.uint8) for size in (100_000, 1 << 20, 5 << 20, 40 << 20)]
for array in arrays:
    offset = arena_client.locate(array.ctypes.data, array.nbytes)
    assert arena_client.view(fd)[offset:offset + array.nbytes] == array.tobytes()
"""


# A seccomp filter: madvise(…, more than 2 MiB, MADV_COLLAPSE) gives ENOMEM, as where a 2 MiB page is missing.
REFUSE_LONG_COLLAPSES = """
import ctypes, struct
load, equal, greater, end = 0x20, 0x15, 0x25, 0x06
steps = [(load, 0, 0, 0), (equal, 0, 5, 28), (load, 0, 0, 32), (equal, 0, 3, 25), (load, 0, 0, 24),
         (greater, 0, 1, 2 << 20), (end, 0, 0, 0x50000 | 12), (end, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0
"""


def kernel_collapses() -> bool:
    """Whether this kernel makes 2 MiB pages of shared memory on request."""
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return release >= (6, 1) and Path("/sys/kernel/mm/transparent_hugepage").exists()


@pytest.mark.skipif(not kernel_collapses(), reason="this kernel has no MADV_COLLAPSE for shared memory")
def test_what_will_be_filled_gets_large_pages(script: Run) -> None:
    """Arrays of 2 MiB and more are in 2 MiB pages, small ones share some."""
    done = script(FILL + "print(arena_client.counts().huge_bytes)\n")
    assert int(done.stdout) >= 46 << 20
    assert done.stderr == ""


@pytest.mark.skipif(not kernel_collapses(), reason="this kernel has no MADV_COLLAPSE for shared memory")
def test_a_missing_large_page_costs_its_own_chunk_only(script: Run) -> None:
    """Where one call for a whole array is refused for want of memory, its chunks are asked for one by one."""
    done = script(REFUSE_LONG_COLLAPSES + FILL + "print(arena_client.counts().huge_bytes)\n")
    assert int(done.stdout) >= 46 << 20
    assert done.stderr == ""


CUT = """
import arena_client, ctypes
libc = ctypes.CDLL(None)
for name in ("malloc", "realloc"):
    getattr(libc, name).restype = ctypes.c_void_p
libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
MIB = 1 << 20
fd = arena_client.attach()
kept = []
for number in range(8):
    at = libc.malloc(16 * MIB)
    ctypes.memset(at, 1 + number, 16 * MIB)
    kept.append(libc.realloc(at, 12 * MIB - 100 * number))
before = arena_client.counts().resident_bytes
others = [libc.malloc(4 * MIB - 65536 * number) for number in range(8)]
for number, at in enumerate(others):
    ctypes.memset(at, 100 + number, 4 * MIB - 65536 * number)
grown = (arena_client.counts().resident_bytes - before) // MIB
for number in (1, 3, 5):
    libc.free(ctypes.c_void_p(others[number]))
# Some have their own end back where they are, the others move.
kept = [libc.realloc(at, 15 * MIB) for at in kept]
for number, at in enumerate(kept):
    assert ctypes.string_at(at, 12 * MIB - 100 * number) == bytes([1 + number]) * (12 * MIB - 100 * number)
for number in (0, 2, 4, 6, 7):
    assert ctypes.string_at(others[number], MIB) == bytes([100 + number]) * MIB
"""


def test_what_a_buffer_does_not_need_after_all_is_for_others(script: Run) -> None:
    """Libraries take a power of two and shrink: the pages behind a buffer are the next buffers'."""
    done = script(CUT + "print(grown)\n")
    assert int(done.stdout) <= 4, "eight buffers of 4 MiB lie where 16 MiB became 12"


def test_small_pages_do_where_the_kernel_makes_no_large_ones(script: Run) -> None:
    """Without the kernel's help everything works in 4 KiB pages, which is said once."""
    forbid = "import ctypes\nassert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0  # PR_SET_THP_DISABLE\n"
    done = script(forbid + FILL + "print(arena_client.counts().huge_bytes)\n")
    assert int(done.stdout) == 0
    assert done.stderr.count("zerrow arena:") == 1
    assert "4 KiB pages" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the numbers of physical pages")
def test_a_reader_maps_the_same_physical_pages(script: Run) -> None:
    """A second mapping of the file, in another process, shows the producer's own pages."""
    done = script(
        """
import arena_client, mmap, os, struct, numpy as np, ctypes
fd = arena_client.attach()
arrays = [np.full(size, 7, dtype=np.uint8) for size in (200_000, 6 << 20, 40 << 20)]
def frames(address, size):
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(address // 4096 * 8)
        return [entry & ((1 << 55) - 1) for entry in struct.unpack(f"{size // 4096}Q", pagemap.read(size // 4096 * 8))]
own = [frames(array.ctypes.data, array.nbytes) for array in arrays]
if not any(own[0]):
    raise SystemExit(77)
places = [(arena_client.locate(array.ctypes.data, array.nbytes), array.nbytes) for array in arrays]
if os.fork() == 0:
    content = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(content))
    for (offset, size), expected in zip(places, own):
        assert sum(content[offset:offset + size:4096]) == 7 * len(range(0, size, 4096))
        assert frames(base + offset, size) == expected
    os._exit(0)
assert os.wait()[1] == 0
""",
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("the kernel hides the numbers of physical pages here")
    assert done.returncode == 0, done.stderr


FULL = """
mount -t tmpfs -o size=64m none "$1" && exec "$2" -c '
import arena_client, errno, mmap, os, sys, numpy as np
fd = os.open(sys.argv[1] + "/file", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8 << 30)
assert arena_client.attach_code(fd, 8 << 30, 4 << 30) == 0
held = []
try:
    while True:
        held.append(np.ones(1 << 20))
except MemoryError:
    print(len(held))
try:
    mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    raise SystemExit("more than the file system holds was given out")
except OSError as error:
    assert error.errno == errno.ENOMEM
held.clear()
assert np.ones(4 << 20).sum() == 4 << 20
' "$1"
"""


def test_a_full_file_system_refuses_memory_instead_of_killing(preloaded: Run, tmp_path: Path) -> None:
    """On a tmpfs with a limit pages are reserved before use: MemoryError and ENOMEM, never SIGBUS."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    probe = subprocess.run([*alone, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("no file system can be mounted here")
    done = preloaded(*alone, "sh", "-c", FULL, "sh", str(tmp_path), sys.executable)
    assert 6 <= int(done.stdout) <= 8

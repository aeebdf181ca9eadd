"""bytes_max, untouched memory, recycling, and the API's edges."""

from conftest import Run


def test_past_bytes_max_is_a_memory_error_and_the_process_goes_on(script: Run) -> None:
    """numpy gets MemoryError, the refusal is counted, and what is freed can be had again."""
    script("""
import arena_client, numpy as np
arena_client.attach(bytes_max=256 << 20)
held = np.ones(20 << 20)
for attempt in range(3):
    try:
        np.empty(20 << 20)
        raise SystemExit("more than bytes_max was given out")
    except MemoryError:
        pass
assert arena_client.counts().refused == 3
del held
assert np.ones(30 << 20).sum() == 30 << 20
assert arena_client.counts().live_bytes_max <= 256 << 20
""")


def test_anonymous_mappings_past_bytes_max_get_enomem(script: Run) -> None:
    """A private mapping that does not fit is refused with ENOMEM."""
    script("""
import arena_client, errno, mmap
arena_client.attach(bytes_max=64 << 20)
kept = mmap.mmap(-1, 48 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
try:
    mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    raise SystemExit("more than bytes_max was given out")
except OSError as error:
    assert error.errno == errno.ENOMEM
kept.close()
mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
""")


def test_untouched_memory_costs_nothing(script: Run) -> None:
    """10 GiB that nobody writes to do not take 10 GiB."""
    script("""
import arena_client, numpy as np
arena_client.attach(bytes_max=16 << 30)
array = np.empty(10 << 30, dtype=np.uint8)
assert arena_client.locate(array.ctypes.data, array.nbytes) is not None
array[5 << 30] = 1
assert arena_client.counts().resident_bytes < 64 << 20, arena_client.counts().resident_bytes
""")


def test_freed_memory_is_used_again(script: Run) -> None:
    """A hundred arrays one after the other take the pages of one or two."""
    script("""
import arena_client, numpy as np
arena_client.attach()
for size in [8 << 20, 100_000, 3 << 20]:
    before = arena_client.counts().resident_bytes
    for i in range(100):
        assert np.full(size, i % 251, dtype=np.uint8)[-1] == i % 251
    assert arena_client.counts().resident_bytes - before < 3 * size + (4 << 20)
""")


def test_calloc_of_recycled_memory_is_zero(script: Run) -> None:
    """np.zeros never shows what was freed before it."""
    script("""
import arena_client, numpy as np, random
arena_client.attach()
for i in range(200):
    size = random.randrange(64 << 10, 9 << 20)
    np.full(size, 0xff, dtype=np.uint8)
    zeros = np.zeros(size, dtype=np.uint8)
    assert arena_client.locate(zeros.ctypes.data, size) is not None
    assert not zeros.any()
    zeros[:] = 0xee
""")


def test_resident_memory_stays_within_bytes_max(script: Run) -> None:
    """Idle pages are given back before live and idle bytes together pass bytes_max."""
    script("""
import arena_client, numpy as np
arena_client.attach(bytes_max=400 << 20)
for size in (60, 150, 90, 300, 200, 350, 10, 390):
    assert np.full(size << 20, 7, dtype=np.uint8)[-1] == 7
    assert arena_client.counts().resident_bytes <= 420 << 20, arena_client.counts().resident_bytes >> 20
""")


def test_growing_by_realloc_rarely_moves(script: Run) -> None:
    """A buffer that grows in small steps is copied a handful of times, not at every step."""
    script("""
import arena_client, ctypes
arena_client.attach()
libc = ctypes.CDLL(None)
libc.realloc.restype = ctypes.c_void_p
libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
address, moves = None, 0
for size in range(100_000, 200 << 20, 100_000):
    new = libc.realloc(address, size)
    moves += new != address
    address = new
    ctypes.memset(address + size - 8, 1, 8)
assert moves <= 8, moves
offset = arena_client.locate(address, size)
assert offset is not None
""")


def test_take_gives_zeroed_separate_aligned_places(script: Run) -> None:
    """Takes of all sizes do not overlap, are zero, 64-byte aligned, and are where they say they are."""
    script("""
import arena_client, ctypes, numpy as np, random
fd = arena_client.attach(bytes_max=512 << 20)
for i in range(20):
    np.full(random.randrange(65536, 4 << 20), 0xff, dtype=np.uint8)
taken = []
for i in range(300):
    size = random.choice([0, 1, 63, 64, 1000, 65536, 300_000, 2 << 20, 5 << 20]) if i % 10 else 70_000
    code, address, offset = arena_client.take(size)
    if code != 0:
        break
    assert offset % 64 == 0 and address % 64 == 0
    assert not any(ctypes.string_at(address, size)), "not zero"
    assert size == 0 or arena_client.locate(address, size) == offset
    ctypes.memset(address, i % 255 + 1, size)
    taken.append((offset, size, i % 255 + 1))
assert len(taken) > 50
content = arena_client.view(fd)
for offset, size, value in taken:
    assert content[offset:offset + size] == bytes([value]) * size
assert arena_client.take(1 << 40)[0] < 0
""")


def test_after_freeze_nothing_is_handed_out_twice(script: Run) -> None:
    """What is freed after the freeze keeps its content in the file, whatever is allocated later."""
    script("""
import arena_client, mmap, numpy as np, ctypes
fd = arena_client.attach()
arrays = [np.full(s, 0xab, dtype=np.uint8) for s in (70_000, 1 << 20, 5 << 20)]
places = [(arena_client.locate(a.ctypes.data, a.nbytes), a.nbytes) for a in arrays]
mapping = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
mapping.write(b"\\xab" * (4 << 20))
address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
places.append((arena_client.locate(address, 4 << 20), 4 << 20))
assert arena_client.freeze() == 0
mapping.madvise(mmap.MADV_DONTNEED, 0, 1 << 20)
assert mapping[:1 << 20] == bytes(1 << 20)
del arrays
for i in range(50):
    np.full((i + 1) * 70_000, 0xcd, dtype=np.uint8)
content = arena_client.view(fd)
for offset, size in places:
    assert content[offset:offset + size] == b"\\xab" * size
""")


def test_attach_refuses_what_makes_no_sense(script: Run) -> None:
    """Bad sizes, a bad descriptor, a file that is too small and cannot grow, a second attachment."""
    script("""
import arena_client, errno, fcntl, os
fd = os.memfd_create("small", os.MFD_ALLOW_SEALING)
assert arena_client.attach_code(fd, 0, 1) == -errno.EINVAL
assert arena_client.attach_code(fd, (2 << 20) + 4096, 1 << 20) == -errno.EINVAL
assert arena_client.attach_code(fd, 2 << 20, 0) == -errno.EINVAL
assert arena_client.attach_code(1000, 2 << 20, 1 << 20) == -errno.EBADF
fcntl.fcntl(fd, 1033, 4)  # F_ADD_SEALS, F_SEAL_GROW
assert arena_client.attach_code(fd, 2 << 20, 1 << 20) == -errno.EPERM
arena_client.attach()
assert arena_client.attach_code(fd, 2 << 20, 1 << 20) == -errno.EALREADY
""")


def test_pages_of_a_recycled_file_are_used_first(script: Run) -> None:
    """A file that comes with zeroed pages serves from them, for small and large extents, and takes no new ones."""
    script("""
import arena_client, mmap, os, numpy as np
fd = os.memfd_create("recycled", os.MFD_ALLOW_SEALING)
os.ftruncate(fd, arena_client.FILE_BYTES)
for start, size in ((128 << 20, 82 << 20), (256 << 20, 40 << 20), (600 << 20, 8 << 20)):
    for at in range(start, start + size, 2 << 20):
        os.pwrite(fd, bytes(2 << 20), at)
assert arena_client.attach_code(fd, arena_client.FILE_BYTES, 1 << 30) == 0
before = arena_client.counts().resident_bytes
assert before == 130 << 20
held = [np.ones(80 << 20, dtype=np.uint8), np.zeros(7 << 20, dtype=np.uint8), np.ones(38 << 20, dtype=np.uint8)]
assert not held[1].any()
held.append(np.ones(100_000, dtype=np.uint8))
assert arena_client.counts().resident_bytes <= before + (16 << 20), arena_client.counts().resident_bytes >> 20
""")


def test_mappings_in_a_crowded_file_are_zero(script: Run) -> None:
    """A mapping that gets what malloc had before does not show it."""
    script("""
import arena_client, ctypes, mmap, numpy as np
arena_client.attach(bytes_max=64 << 20, file_bytes=64 << 20)
for i in range(3):
    held = [np.full(size << 20, 0xff, dtype=np.uint8) for size in (30, 15, 7, 3)]
    del held
    mapping = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    assert arena_client.locate(address, 32 << 20) is not None
    assert not np.frombuffer(mapping, dtype=np.uint64).any()
    del mapping
""")

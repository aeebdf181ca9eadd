"""Publishing with KernelZero: memory is moved where it can be, and copied where it cannot.

All but the first tests need the module: they run in the virtual machine of kernel/tests.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import mmap
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from abi import MIB, Counts, Engine, Pages, Session, ZerrowError, memory_file, renumbered, segments

PAGE = 4096
HUGE = 2 * MIB
OUTPUT = 64 * MIB
DEVICE = Path("/dev/kernelzero")
PARAMETERS = Path("/sys/module/kernelzero/parameters")
loaded = pytest.mark.skipif(not DEVICE.exists(), reason="KernelZero is not loaded: see kernel/tests")

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class Producer:
    """A session with KernelZero and an output file, and readers of what it publishes."""

    def __init__(self, seals: int = 0) -> None:
        self.file = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.file, OUTPUT)
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, seals)
        self.session = Session()
        self.session.output(self.file)
        self.session.kernelzero()

    @property
    def bytes(self) -> int:
        """The size of the output file."""
        return os.fstat(self.file).st_size

    def publish(self, table: pa.Table) -> tuple[pa.Table, Counts, Pages]:
        """Publish a table, and read it as another process does."""
        before = self.session.pages()
        descriptor, counts = self.session.publish(table)
        assert counts.bytes == sum(
            getattr(counts, way) for way in ("reshared", "born_shared", "deanonymized", "packed", "copied")
        )
        assert [size for _, size in segments(descriptor)] == [self.bytes]
        pages = self.session.pages()
        for name, _ in Pages._fields_:
            if name != "refusal":
                setattr(pages, name, getattr(pages, name) - getattr(before, name))
        return self.read(descriptor), counts, pages

    def read(self, descriptor: bytes) -> pa.Table:
        """Map the file anew and open the table."""
        with Session() as reader:
            reader.segment(9, self.file)
            return reader.open(renumbered(descriptor, 9)).read_all()

    def close(self) -> None:
        """Free the session and the file."""
        self.session.close()
        os.close(self.file)


@pytest.fixture
def producer() -> Iterator[Producer]:
    """A producer that is closed after the test."""
    made = Producer()
    yield made
    made.close()


def column(array: np.ndarray) -> pa.Array:
    """The array as a column of the same memory."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def anonymous(size: int, flags: int = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) -> np.ndarray:
    """Fresh pages, never given back."""
    address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    assert address != ctypes.c_void_p(-1).value
    return np.frombuffer((ctypes.c_ubyte * size).from_address(address), np.uint8)


def filled(size: int, seed: int = 1) -> np.ndarray:
    """Fresh pages with content."""
    array = anonymous(size)
    array[:] = np.resize(np.arange(seed, seed + 249, dtype=np.uint8), size)
    return array


def test_another_device_is_refused_and_the_session_goes_on(engine: Engine) -> None:
    session = engine.session()
    with pytest.raises(ZerrowError, match="no output segment"):
        session.kernelzero("/dev/null")
    session.output(memory_file(OUTPUT))
    with pytest.raises(ZerrowError, match="KERNELZERO_INFO") as failure:
        session.kernelzero("/dev/null")
    assert failure.value.errno == errno.ENOTTY
    _, counts = session.publish(pa.table({"a": np.arange(100_000)}))
    assert counts.copied == counts.bytes == 800_000
    assert session.pages().ranges == session.pages().refused_ranges == 0
    session.close()


@loaded
def test_results_of_every_pool_move_and_only_their_edges_are_copied() -> None:
    for name in pa.supported_memory_backends():
        producer = Producer()
        pool = getattr(pa, f"{name}_memory_pool")()
        numbers = pc.add(pa.array(range(500_000)), 1, memory_pool=pool)
        table = pa.table({"n": numbers, "s": pc.cast(numbers, pa.utf8(), memory_pool=pool)})
        read, counts, pages = producer.publish(table)
        read.validate(full=True)
        assert read.equals(table), name
        assert pages.ranges == 3 and pages.refused_ranges == 0
        assert pages.copied_shared == pages.copied_pinned == pages.copied_other == 0
        assert counts.copied <= 6 * PAGE
        assert counts.deanonymized == counts.bytes - counts.copied
        producer.close()


@loaded
def test_the_file_has_the_bytes_and_nothing_beside_them(producer: Producer) -> None:
    whole = filled(64 * PAGE)
    part = whole[PAGE - 24 : 40 * PAGE + 100]
    read, counts, _ = producer.publish(pa.table({"a": column(part)}))
    assert (read["a"].to_numpy() == part).all()
    assert counts.copied == 24 + 100 and counts.deanonymized == 39 * PAGE
    appended = os.pread(producer.file, producer.bytes - OUTPUT, OUTPUT)
    assert len(appended) == 41 * PAGE
    assert appended[: PAGE - 24].count(0) == PAGE - 24 and appended[40 * PAGE + 100 :].count(0) == PAGE - 100
    assert appended[PAGE - 24 : 40 * PAGE + 100] == part.tobytes()


@loaded
def test_what_the_producer_writes_later_does_not_reach_the_table(producer: Producer) -> None:
    array = filled(1 * MIB)
    before = array.copy()
    read, _, _ = producer.publish(pa.table({"a": column(array)}))
    array[:] = 0xEE
    assert (array == 0xEE).all()
    assert (read["a"].to_numpy() == before).all()


@loaded
def test_memory_is_moved_once_and_found_again_where_it_is(producer: Producer) -> None:
    array = filled(1 * MIB)
    _, counts, _ = producer.publish(pa.table({"a": column(array)}))
    assert counts.deanonymized == 1 * MIB
    table = pa.table({"a": column(array), "b": column(filled(1 * MIB, 2))})
    read, counts, pages = producer.publish(table)
    assert counts.born_shared == counts.deanonymized == 1 * MIB
    assert pages.refused_ranges == 0 and read.equals(table)


@loaded
def test_memory_that_was_moved_into_another_file_is_copied(producer: Producer) -> None:
    array = filled(1 * MIB)
    first, counts, _ = producer.publish(pa.table({"a": column(array)}))
    assert counts.deanonymized == 1 * MIB
    array[7] = 77
    other = Producer()
    second, counts, pages = other.publish(pa.table({"a": column(array), "b": column(filled(1 * MIB, 2))}))
    assert counts.copied == counts.deanonymized == 1 * MIB
    assert pages.refused_ranges == 1 and pages.refusal == errno.EOPNOTSUPP
    assert first["a"][7].as_py() != 77 and second["a"][7].as_py() == 77
    other.close()


@loaded
def test_moved_memory_never_goes_back_to_its_allocator() -> None:
    """Where an allocator drops pages of a file's mapping, it gets back what was published instead of zeros."""
    for name in pa.supported_memory_backends():
        pool = getattr(pa, f"{name}_memory_pool")()
        before = pool.bytes_allocated()
        producer = Producer()
        table = pa.table({"n": pc.add(pa.array(np.arange(400_000)), 1, memory_pool=pool)})
        _, counts, _ = producer.publish(table)
        assert counts.deanonymized > 3_000_000
        del table
        producer.close()
        gc.collect()
        pool.release_unused()
        assert pool.bytes_allocated() - before >= 3_200_000
    for _ in range(3):
        blocks = [np.zeros(size, np.uint8) for size in (100_000, MIB, 3_200_000, 3_300_000, 8 * MIB)]
        assert not any(block.any() for block in blocks)
        for block in blocks:
            block[:] = 1


@loaded
def test_the_same_column_slices_and_neighbours_move_once(producer: Producer) -> None:
    whole, part = filled(64 * 24 * 1024), 200_000
    starts = {"first": 8, "again": 8, "overlaps": 1008, "touches": 1008 + part, "shares": 1100 + 2 * part}
    table = pa.table({name: column(whole[start : start + part]) for name, start in starts.items()})
    read, counts, pages = producer.publish(table)
    assert read.equals(table)
    assert counts.bytes == 1000 + 3 * part
    assert pages.ranges == 2 and pages.copied_edge <= 4


@loaded
def test_memory_that_cannot_be_taken_is_copied_and_the_rest_moves(producer: Producer) -> None:
    size = 64 * PAGE
    locked, shared = filled(size, 2), anonymous(size, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    shared[:] = filled(size, 3)
    assert libc.mlock(ctypes.c_void_p(locked.ctypes.data), ctypes.c_size_t(size)) == 0
    descriptor = memory_file(filled(size, 4).tobytes())
    mapped = np.frombuffer(mmap.mmap(descriptor, size, mmap.MAP_PRIVATE), np.uint8)
    plain = [filled(size, 5 + number) for number in range(5)]
    arrays = [plain[0], locked, plain[1], shared, plain[2], mapped, plain[3], plain[4]]
    table = pa.table([column(array) for array in arrays], names=[f"c{number}" for number in range(8)])
    read, counts, pages = producer.publish(table)
    assert read.equals(table)
    assert counts.deanonymized == 5 * size and counts.copied == 3 * size
    assert pages.refused_ranges == 3 and pages.refusal == errno.EOPNOTSUPP
    libc.munlock(ctypes.c_void_p(locked.ctypes.data), ctypes.c_size_t(size))
    os.close(descriptor)


@loaded
def test_the_stack_is_copied(producer: Producer) -> None:
    with open("/proc/self/maps") as lines:
        start = next(int(line.split("-")[0], 16) for line in lines if "[stack]" in line)
    # The far end of the main thread's stack, which this call does not reach.
    lowest = np.frombuffer((ctypes.c_ubyte * (64 * 1024)).from_address(start), np.uint8)
    table = pa.table({"stack": column(lowest), "heap": column(filled(64 * 1024))})
    read, counts, pages = producer.publish(table)
    assert read.equals(table)
    assert counts.copied == counts.deanonymized == 64 * 1024 and pages.refused_ranges == 1


@loaded
def test_pages_that_a_child_has_too_are_copied_and_counted_so(producer: Producer) -> None:
    array = filled(64 * PAGE)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    array[: 10 * PAGE] = 9
    table = pa.table({"a": column(array)})
    read, counts, pages = producer.publish(table)
    os.close(writing)
    os.waitpid(child, 0)
    os.close(reading)
    assert read.equals(table)
    assert pages.copied_shared == 54 and counts.copied == 54 * PAGE and counts.deanonymized == 10 * PAGE


@loaded
def test_huge_pages_move_whole(producer: Producer) -> None:
    if "[always]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
        pytest.skip("the kernel makes no 2 MiB pages by itself")
    area = anonymous(8 * HUGE)
    start = -area.ctypes.data % HUGE
    array = area[start : start + 6 * HUGE]
    array[:] = np.resize(np.arange(241, dtype=np.uint8), len(array))
    read, counts, pages = producer.publish(pa.table({"a": column(array[100:])}))
    assert (read["a"].to_numpy() == array[100:]).all()
    assert pages.moved_huge >= 512 and counts.copied == PAGE - 100
    assert pages.moved_huge + pages.moved == 6 * 512 - 1


@loaded
def test_memory_that_was_never_written_stays_a_hole(producer: Producer) -> None:
    array = anonymous(4 * MIB)
    array[5] = 1
    before = os.fstat(producer.file).st_blocks
    read, counts, pages = producer.publish(pa.table({"a": column(array)}))
    # Before it is read: a page that a reader looks at is there.
    assert os.fstat(producer.file).st_blocks - before == (pages.moved + pages.moved_huge) * (PAGE // 512)
    assert counts.deanonymized + counts.copied == 4 * MIB
    assert np.count_nonzero(read["a"].to_numpy()) == 1
    assert pages.holes + pages.moved + pages.moved_huge == 4 * MIB // PAGE


def check_copied(producer: Producer, table: pa.Table, reason: int) -> None:
    """Publish a table that the kernel will not move."""
    size = producer.bytes
    read, counts, pages = producer.publish(table)
    assert read.equals(table)
    assert counts.copied == counts.bytes and counts.deanonymized == 0
    assert pages.refusal == reason and pages.ranges == 0 and pages.refused_ranges == table.num_columns
    assert producer.bytes == size


def some_table() -> pa.Table:
    """Three columns in fresh memory that do not touch."""
    return pa.table({f"c{number}": column(filled(65 * PAGE, number)[: 64 * PAGE]) for number in range(3)})


@loaded
def test_a_file_that_may_not_grow_is_copied_into() -> None:
    producer = Producer(seals=fcntl.F_SEAL_GROW)
    check_copied(producer, some_table(), errno.EPERM)
    producer.close()


@loaded
def test_past_the_limit_of_file_sizes_everything_is_copied(producer: Producer) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT + 10 * PAGE, before[1]))
    try:
        check_copied(producer, some_table(), errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _, counts, _ = producer.publish(some_table())
    assert counts.deanonymized == counts.bytes


@loaded
@pytest.mark.skipif(os.geteuid() != 0, reason="the limit of mappings is root's to set")
def test_past_the_limit_of_mappings_everything_is_copied(producer: Producer) -> None:
    limit, table = Path("/proc/sys/vm/max_map_count"), some_table()
    before = limit.read_text()
    used = len(Path("/proc/self/maps").read_text().splitlines())
    limit.write_text(str(used))
    try:
        descriptor, counts = producer.session.publish(table)
    finally:
        limit.write_text(before)
    assert producer.session.pages().refusal == errno.ENOMEM and counts.copied == counts.bytes
    assert producer.read(descriptor).equals(table)


@loaded
@pytest.mark.skipif(not (PARAMETERS / "fail_at").exists(), reason="a debug build of the module can fail on purpose")
def test_wherever_the_call_fails_everything_is_copied() -> None:
    (PARAMETERS / "fail_errno").write_text(str(errno.ENOMEM))
    step, is_reached = 0, True
    # How many steps a call has depends on where in its page tables the memory lies.
    while is_reached:
        step += 1
        producer, table = Producer(), some_table()
        size = producer.bytes
        (PARAMETERS / "fail_at").write_text(str(step))
        read, counts, pages = producer.publish(table)
        is_reached = int((PARAMETERS / "fail_at").read_text()) == 0
        assert read.equals(table)
        assert (counts.copied if is_reached else counts.deanonymized) == counts.bytes
        if is_reached:
            assert pages.refusal == errno.ENOMEM and pages.ranges == 0 and producer.bytes == size
        producer.close()
    (PARAMETERS / "fail_at").write_text("0")
    (PARAMETERS / "fail_errno").write_text("0")
    assert step > 20


@loaded
def test_a_table_is_published_while_other_threads_allocate_and_write(producer: Producer) -> None:
    array, table, stop = filled(8 * MIB), some_table(), threading.Event()
    fine: list[bool] = []

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            block = np.zeros(300_000 + 4096 * (number % 50), np.uint8)
            fine.append(not block.any())
            block[:] = number % 251
            array[:: PAGE - 1] = number % 251

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        read, _, _ = producer.publish(table.append_column("racing", column(filled(64 * PAGE))))
        assert read.select(table.column_names).equals(table)
        producer.publish(pa.table({"a": column(array)}))
    stop.set()
    for thread in threads:
        thread.join()
    assert all(fine) and fine


@loaded
def test_a_child_made_after_publishing_reads_what_the_parent_does(producer: Producer) -> None:
    array = filled(1 * MIB)
    before = array.copy()
    read, _, _ = producer.publish(pa.table({"a": column(array)}))
    child = os.fork()
    if child == 0:
        same = (array == before).all()
        array[:] = 0
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (array == before).all() and (read["a"].to_numpy() == before).all()

"""Whose bytes travel how: nothing is copied that is in a segment, and each byte is counted once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from abi import LIBRARY, MIB, Counts, Engine, Session, ZerrowError, memory_file, segments
from columns import COLUMNS
from test_types import assert_same

ROWS = 20_000


@pytest.fixture
def source(engine: Engine) -> bytes:
    """A published table of ordinary columns."""
    table = pa.table(
        {
            "a": pa.array(range(ROWS)),
            "b": pa.array([None if i % 7 == 0 else i / 2 for i in range(ROWS)]),
            "s": pa.array([f"text {i}" for i in range(ROWS)]),
            "d": pa.array([f"v{i % 9}" for i in range(ROWS)]).dictionary_encode(),
        }
    )
    descriptor, _ = engine.publish(table)
    return descriptor


def buffers(table: pa.Table) -> Iterator[pa.Buffer]:
    """All buffers of a table, dictionaries included."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from (buffer for buffer in chunk.buffers() if buffer is not None and buffer.size)
            if pa.types.is_dictionary(chunk.type):
                yield from (buffer for buffer in chunk.dictionary.buffers() if buffer is not None)


def mappings() -> list[tuple[int, int, str]]:
    """Start, end and rights of this process's mappings of memfds."""
    with open("/proc/self/maps") as lines:
        found = [line.split() for line in lines if "memfd:test" in line]
    return [(*(int(part, 16) for part in fields[0].split("-")), fields[1]) for fields in found]


def counted(counts: Counts) -> dict[str, int]:
    """The counters that are not 0."""
    names = ("reshared", "born_shared", "deanonymized", "packed", "copied")
    values = {name: getattr(counts, name) for name in names if getattr(counts, name)}
    assert sum(values.values()) == counts.bytes
    return values


def test_opened_buffers_are_the_pages_of_the_segment(engine: Engine, source: bytes) -> None:
    with engine.session() as session:
        table = session.open(source).read_all()
    places = mappings()
    for buffer in buffers(table):
        inside = [m for m in places if m[0] <= buffer.address and buffer.address + buffer.size <= m[1]]
        assert inside and inside[0][2].startswith("r--"), "a buffer outside the read-only mappings"


def test_untouched_columns_are_reshared(engine: Engine, source: bytes) -> None:
    with engine.session() as session:
        table = session.open(source).read_all()
        added = pc.multiply(table["a"], 2)
        result = table.select(["s", "d"]).append_column("twice", added).append_column("b", table["b"]).slice(5, 15_000)
        descriptor, counts = engine.publish(result, session)
    travelled = counted(counts)
    assert travelled["copied"] == 15_000 * 8, "only the new column"
    assert travelled.keys() == {"copied", "reshared"}
    assert len(segments(descriptor)) == 2
    assert_same(engine.open(descriptor), result)


def test_a_table_two_models_deep_names_the_first_segment_only(engine: Engine, source: bytes) -> None:
    descriptor = source
    for _ in range(2):
        with engine.session() as session:
            table = session.open(descriptor).read_all()
            descriptor, counts = engine.publish(table.select(["s", "a"]), session)
        assert counted(counts).keys() == {"reshared"}
        assert [number for number, _ in segments(descriptor)] == [1]


def test_a_column_named_twice_is_copied_and_counted_once(engine: Engine) -> None:
    column = pa.array(range(ROWS))
    table = pa.table([column, column], names=["x", "y"])
    descriptor, counts = engine.publish(table)
    assert counted(counts) == {"copied": ROWS * 8}
    assert_same(engine.open(descriptor), table)


def test_overlapping_slices_are_copied_and_counted_once(engine: Engine) -> None:
    column = pa.array([f"{i:09}" for i in range(ROWS)])
    half = ROWS // 2
    table = pa.table({f"c{i}": column.slice(i * 1000, half) for i in range(10)})
    descriptor, counts = engine.publish(table)
    assert counts.bytes == (half + 9000) * 9 + (half + 9001) * 4
    assert_same(engine.open(descriptor), table)


def test_small_buffers_are_packed_and_large_ones_copied(engine: Engine) -> None:
    table = pa.table({"small": pa.array(range(100)), "large": pa.array(range(100)).cast(pa.int8())})
    _, counts = engine.publish(table)
    assert counted(counts) == {"packed": 900}
    _, counts = engine.publish(pa.table({"x": pa.array(range(64 * 1024)).cast(pa.uint16())}))
    assert counted(counts) == {"copied": 128 * 1024}


def test_copies_are_as_aligned_as_what_they_copy(engine: Engine) -> None:
    table = pa.table({name: COLUMNS[name](101) for name in ("int64", "decimal256(60, 2)", "string", "month_day_nano")})
    descriptor, _ = engine.publish(table)
    opened = engine.open(descriptor)
    for before, after in zip(buffers(table), buffers(opened), strict=False):
        assert after.address % 8 == before.address % 8 == 0


def test_a_segment_stays_mapped_as_long_as_a_column_lives(engine: Engine, source: bytes) -> None:
    session = engine.session()
    column = session.open(source).read_all()["s"]
    session.close()
    gc.collect()
    assert mappings(), "still mapped"
    assert column[ROWS - 1].as_py() == f"text {ROWS - 1}"
    del column
    gc.collect()
    assert not mappings(), "nothing points into it any more"


def test_descriptors_given_to_a_session_are_closed() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Session() as session:
        fds = [memory_file(2 * MIB) for _ in range(5)]
        for number, fd in enumerate(fds):
            try:
                session.segment(number, fd)
            except ZerrowError:
                assert number == 0, "0 is the output's"
        with pytest.raises(ZerrowError) as failure:
            session.segment(3, fds[0])
        assert failure.value.errno == 17
        session.output(fds[0])
        with pytest.raises(ZerrowError):
            session.output(fds[0])
        for fd in fds:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before


def test_hostile_descriptors_are_errors_in_words(engine: Engine, source: bytes) -> None:
    with engine.session() as session:
        for bad in (b"", b"SIPC", source[:-1], source[:64] + bytes(len(source) - 64), bytes(len(source))):
            with pytest.raises(ZerrowError, match="SIPC") as failure:
                session.open(bad)
            assert failure.value.errno == 22
    with Session() as empty, pytest.raises(ZerrowError, match="segment 1, which this process was not given"):
        empty.open(source)


def test_publishing_without_an_output_segment_is_an_error() -> None:
    with Session() as session, pytest.raises(ZerrowError, match="no output segment"):
        session.publish(pa.table({"a": [1]}))


def test_the_library_exports_the_abi_only() -> None:
    assert LIBRARY.zerrow_abi_version() == 2
    for other in ("zerrow_memfd_create", "swift_retain", "zerrow_arena_locate"):
        assert not hasattr(LIBRARY, other)


def test_the_library_starts_no_thread() -> None:
    script = """
import os
import subprocess
import sys
from abi import Engine
import pyarrow as pa
table = pa.table({"a": pa.array(range(100_000)), "s": ["x"] * 100_000})
before = len(os.listdir("/proc/self/task"))
engine = Engine()
descriptor, _ = engine.publish(table)
engine.open(descriptor)
print(before, len(os.listdir("/proc/self/task")))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    before, after = done.stdout.split()
    assert before == after

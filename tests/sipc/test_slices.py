"""A few rows of a large table cost a few rows: what is published of them, and what is written somewhere else."""

from __future__ import annotations

import io
import os
import random

import pyarrow as pa
import pytest
from abi import Counts, Engine, ZerrowError
from columns import COLUMNS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_properties import MAKERS, SEEDS, Maker, can_be_standard, cut, structs
from test_types import NO_STANDARD, assert_same

ROWS = 3000
# Without a dictionary: that is written whole, as pyarrow does.
CUTTABLE = [name for name in COLUMNS if "dictionary" not in name and name != "struct_of_everything"]


def by_pyarrow(table: pa.Table) -> int:
    """The size of a table as pyarrow's IPC writes it."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return len(sink.getvalue())


def whole(name: str) -> pa.Table:
    """A large table of one column."""
    return pa.table({name: COLUMNS[name](ROWS)})


@pytest.mark.parametrize("name", CUTTABLE)
def test_three_rows_are_published_and_written_as_three_rows(engine: Engine, name: str) -> None:
    table = whole(name)
    descriptor, _ = engine.publish(table)
    for start in (1, 1501, ROWS - 3):
        window = table.slice(start, 3)
        direct, counts = engine.publish(window)
        assert_same(engine.open(direct), window)
        assert counts.bytes == counts.packed <= by_pyarrow(window) + 1024
        with engine.session() as session:
            shared, counts = engine.publish(session.open(descriptor).read_all().slice(start, 3), session)
        assert counts.bytes == counts.reshared + counts.packed
        assert counts.packed < 200, "mostly, so small a column is shared as it is"
        with engine.session() as session:
            for written in (session.stream(direct), session.stream(shared)):
                assert_same(pa.ipc.open_stream(written).read_all(), window)
                assert len(written) <= by_pyarrow(window) + 1024
            written = session.file(shared)
        assert_same(pa.ipc.open_file(written).read_all(), window)
        assert len(written) <= by_pyarrow(window) + 3072  # its footer has the schema once more


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in NO_STANDARD])
def test_half_of_a_table_is_written_as_half_of_it(engine: Engine, name: str) -> None:
    table = whole(name)
    descriptor, _ = engine.publish(table)
    half = table.slice(ROWS // 2)
    with engine.session() as session:
        shared, _ = engine.publish(session.open(descriptor).read_all().slice(ROWS // 2), session)
    with engine.session() as session:
        written = session.stream(shared)
    assert_same(pa.ipc.open_stream(written).read_all(), half)
    assert len(written) <= 1.3 * by_pyarrow(half) + 1024


def large(maker: Maker, source: random.Random) -> pa.Array:
    """An array of some hundred slots, made of few that were drawn, in no order."""
    drawn = maker(source, 60)
    return pa.concat_arrays([drawn] * 8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(makers=st.lists(MAKERS, min_size=1, max_size=3), seed=SEEDS, data=st.data())
def test_any_few_rows_of_any_table_are_written_as_few(makers: list[Maker], seed: int, data: st.DataObject) -> None:
    source = random.Random(seed)
    try:
        arrays = [large(maker, source) for maker in [*makers, structs([cut(makers[0])])]]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return  # pyarrow puts no unions of these together
    table = pa.table(dict(zip("abcd", arrays, strict=False)))
    windows = [table.slice(data.draw(st.integers(0, 480)), data.draw(st.integers(0, 20))) for _ in range(3)]
    window = pa.concat_tables(windows)
    engine = Engine()
    try:
        descriptor, counts = engine.publish(window, bytes_max=1 << 22)
        assert counts.bytes == counts.packed + counts.copied
        assert_same(engine.open(descriptor), window)
        with engine.session() as session:
            opened = session.open(descriptor).read_all()
            again, counts = engine.publish(opened.slice(1), session, bytes_max=1 << 22)
        assert_same(engine.open(again), window.slice(1))
        if can_be_standard(table.schema):
            with engine.session() as session:
                for each, expected in ((descriptor, window), (again, window.slice(1))):
                    written = session.stream(each)
                    assert_same(pa.ipc.open_stream(written).read_all(), expected)
                    # Messages have some hundred bytes for each node.
                    assert len(written) <= 1.5 * by_pyarrow(expected) + 2048
    finally:
        engine.close()


LONG = pa.array([f"{number:020}" for number in range(100_000)])
LARGE = {
    "text": LONG,
    "large text": LONG.cast(pa.large_utf8()),
    "lists": pa.ListArray.from_arrays(pa.array(range(0, 100_001, 2), pa.int32()), LONG),
    "maps": pa.MapArray.from_arrays(pa.array(range(0, 100_001, 2), pa.int32()), LONG, LONG),
    "structs": pa.StructArray.from_arrays([LONG, LONG], ["a", "b"]),
    "views": LONG.cast(pa.string_view()),
    "list views": pa.ListViewArray.from_arrays(
        pa.array(range(0, 100_000, 2), pa.int32()), pa.array([2] * 50_000, pa.int32()), LONG
    ),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0, 1] * 50_000, pa.int8()), pa.array([i // 2 for i in range(100_000)], pa.int32()), [LONG, LONG]
    ),
}


def reshared(engine: Engine, descriptor: bytes, *windows: tuple[int, int]) -> tuple[pa.Table, Counts]:
    """Windows of a published table, published again from it: the result and how its bytes went."""
    with engine.session() as session:
        opened = session.open(descriptor).read_all()
        found, counts = engine.publish(pa.concat_tables([opened.slice(*window) for window in windows]), session)
    return engine.open(found), counts


@pytest.mark.parametrize("name", LARGE)
def test_a_few_shared_rows_name_little_of_a_large_column(engine: Engine, name: str) -> None:
    table = pa.table({"c": LARGE[name]})
    descriptor, _ = engine.publish(table)
    start = table.num_rows - 3
    result, counts = reshared(engine, descriptor, (start, 3))
    assert_same(result, table.slice(start))
    assert counts.bytes == counts.reshared + counts.packed
    assert counts.bytes < 2000 and counts.packed < 200


@pytest.mark.parametrize("name", LARGE)
def test_large_parts_of_a_shared_column_are_shared_without_a_copy(engine: Engine, name: str) -> None:
    table = pa.table({"c": LARGE[name]})
    descriptor, _ = engine.publish(table)
    half = table.num_rows // 2
    parts = [(start, 5000) for start in range(0, table.num_rows, 5000)]
    for windows in ([(half, half)], [(0, half)], parts):
        result, counts = reshared(engine, descriptor, *windows)
        assert_same(result, pa.concat_tables([table.slice(*window) for window in windows]))
        assert counts.bytes == counts.reshared


def test_scattered_views_of_large_blocks_are_put_together(engine: Engine) -> None:
    block = "x" * 50_000
    table = pa.table({"v": pa.array([block + str(i) for i in range(100)] + ["short"] * 5, pa.string_view())})
    descriptor, _ = engine.publish(table)
    rows = [3, 77, 104]
    with engine.session() as session:
        (chunk,) = session.open(descriptor).read_all()["v"].chunks
        _, views, *blocks = chunk.buffers()
        picked = pa.py_buffer(b"".join(views.slice(16 * row, 16) for row in rows))
        picked = pa.Array.from_buffers(pa.string_view(), 3, [None, picked, *blocks])
        few, counts = engine.publish(pa.table({"v": picked}), session)
    expected = pa.table({"v": pa.array([table["v"][row].as_py() for row in rows], pa.string_view())})
    assert_same(engine.open(few), expected)
    assert counts.bytes < 2 * 50_000 + 1000
    with engine.session() as session:
        assert len(session.stream(few)) < 2 * 50_000 + 2000


def test_batches_that_share_one_buffer_are_written_once(engine: Engine) -> None:
    table = pa.table({"s": LONG})
    descriptor, _ = engine.publish(table)
    with engine.session() as session:
        opened = session.open(descriptor).read_all()
        parts = [opened.slice(start, 1000) for start in range(0, len(LONG), 1000)]
        shared, counts = engine.publish(pa.concat_tables(parts), session)
    assert counts.bytes == counts.reshared
    with engine.session() as session:
        written = session.stream(shared)
    assert_same(pa.ipc.open_stream(written).read_all(), pa.concat_tables(parts))
    assert len(written) <= 1.1 * by_pyarrow(pa.concat_tables(parts))


def test_hostile_offsets_are_written_as_they_are_or_refused(engine: Engine) -> None:
    """Whatever a producer does to its data, whoever writes the table survives it."""
    seed = 7
    print("seed", seed)
    source = random.Random(seed)
    for name in LARGE:
        table = pa.table({"c": LARGE[name].slice(1000, 500)})
        descriptor, _ = engine.publish(table)
        number = len(engine.files)
        size = os.lseek(engine.files[number], 0, os.SEEK_DATA), 30_000
        for _ in range(20):
            at = size[0] + 4 * source.randrange(size[1] // 4)
            before = os.pread(engine.files[number], 4, at)
            wrong = source.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x10\x00\x00"])
            os.pwrite(engine.files[number], wrong, at)
            with engine.session() as session:
                try:
                    session.stream(descriptor)
                except ZerrowError as error:
                    assert "offsets" in str(error)
            os.pwrite(engine.files[number], before, at)

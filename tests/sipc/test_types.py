"""Every type, whole and in slices that begin anywhere, comes back equal and valid, without a copy."""

from __future__ import annotations

import io
import os

import pyarrow as pa
import pytest
from abi import Engine, Session, memory_file
from columns import COLUMNS

ROWS = 101
# pyarrow itself cannot write a standard stream of these, or read one.
NO_STANDARD = {"dictionary_of_dictionary", "dictionary_of_extension"}


def assert_same(result: pa.Table, expected: pa.Table) -> None:
    """Equal in values, types, metadata and chunks, and valid to the last offset."""
    result.validate(full=True)
    assert result.schema.equals(expected.schema, check_metadata=True)
    assert result.equals(expected, check_metadata=True)
    assert result.num_rows == expected.num_rows


def slices(table: pa.Table) -> list[pa.Table]:
    """Windows at bit offsets of every kind, empty ones and single rows among them."""
    windows = [(0, 101), (1, 99), (7, 50), (8, 16), (9, 1), (13, 0), (64, 37), (100, 1), (101, 0), (3, 3)]
    return [table.slice(start, count) for start, count in windows]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_equal(engine: Engine, name: str) -> None:
    table = pa.table({name: COLUMNS[name](ROWS)})
    descriptor, counts = engine.publish(table)
    assert counts.rows == ROWS and counts.batches == 1
    assert counts.bytes == counts.packed + counts.copied
    assert_same(engine.open(descriptor), table)


@pytest.mark.parametrize("name", COLUMNS)
def test_any_slice_comes_back_equal_and_is_reshared_as_it_is(engine: Engine, name: str) -> None:
    table = pa.table({name: COLUMNS[name](ROWS)})
    descriptor, _ = engine.publish(table)
    for window in slices(table):
        direct, _ = engine.publish(window)
        assert_same(engine.open(direct), window)
    for start, count in [(0, 101), (1, 99), (7, 50), (9, 1), (13, 0), (64, 37)]:
        with engine.session() as session:
            opened = session.open(descriptor).read_all()
            first, counts = engine.publish(opened.slice(start, count), session)
        assert counts.bytes == counts.reshared, "a slice of an input needs no copy"
        expected = table.slice(start, count)
        assert_same(engine.open(first), expected)
        # A slice of the slice, two models deep.
        with engine.session() as session:
            opened = session.open(first).read_all()
            second, counts = engine.publish(opened.slice(count // 3, count // 2), session)
        assert counts.bytes == counts.reshared
        assert_same(engine.open(second), expected.slice(count // 3, count // 2))


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in NO_STANDARD])
def test_a_standard_stream_of_any_slice_is_read_by_pyarrow(engine: Engine, name: str) -> None:
    table = pa.table({name: COLUMNS[name](ROWS)})
    for window in slices(table):
        descriptor, _ = engine.publish(window)
        with engine.session() as session:
            stream = session.stream(descriptor)
        assert_same(pa.ipc.open_stream(stream).read_all(), window)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in NO_STANDARD])
def test_an_ipc_file_is_read_where_it_lies(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = pa.table({name: COLUMNS[name](ROWS)})
    path = tmp_path_factory.mktemp("file") / "table.arrow"
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with path.open("rb") as file, Session() as session:
        result = session.open_file(file.fileno()).read_all()
    assert_same(result, table)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in NO_STANDARD])
def test_a_standard_file_of_any_slice_is_read_by_pyarrow_and_by_us(engine: Engine, name: str) -> None:
    table = pa.table({name: COLUMNS[name](ROWS)})
    for window in slices(table):
        descriptor, _ = engine.publish(window)
        with engine.session() as session:
            file = session.file(descriptor)
        assert_same(pa.ipc.open_file(file).read_all(), window)
        fd = memory_file(file)
        with Session() as session:
            assert_same(session.open_file(fd).read_all(), window)
        os.close(fd)


def test_all_columns_at_once(engine: Engine) -> None:
    table = pa.table({name: make(ROWS) for name, make in COLUMNS.items()})
    for window in slices(table):
        descriptor, _ = engine.publish(window)
        assert_same(engine.open(descriptor), window)


def test_a_wrapped_dictionary_is_still_a_standard_stream(engine: Engine) -> None:
    table = pa.table({"d": COLUMNS["dictionary_of_dictionary"](ROWS)})
    descriptor, _ = engine.publish(table)
    with engine.session() as session:
        result = pa.ipc.open_stream(io.BytesIO(session.stream(descriptor))).read_all()
    result.validate(full=True)
    values = [None if value is None else next(iter(value.values())) for value in result["d"].to_pylist()]
    assert values == table["d"].to_pylist()

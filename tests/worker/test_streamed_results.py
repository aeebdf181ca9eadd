"""Results that come batch by batch: a table while they are small, else a file that is written as they come."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from nested_columns import COLUMNS
from small_engine import built, memory_file
from zerrow.worker.abi import Session, WorkerLibrary
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.streamed_results import LargeResult, Room, batches_of, collected
from zerrow.worker.tasks import execute

SEGMENT = 7
MANY: dict[str, Any] = {"kind": "python"}


@pytest.fixture(scope="module")
def library() -> WorkerLibrary:
    return WorkerLibrary(built("libzerrow_worker.so"))


def batch(first: int, rows: int = 1000) -> pa.RecordBatch:
    numbers = range(first, first + rows)
    return pa.record_batch(
        {
            "a": pa.array(numbers, pa.int64()),
            "s": pa.array([None if i % 5 == 0 else f"text {i}" for i in numbers]),
            "b": pa.array([i % 3 == 0 for i in numbers]),
            "l": pa.array([[i, None] * (i % 3) for i in numbers]),
            "d": pa.array([f"kind {i % 7 + first}" for i in numbers]).dictionary_encode(),
            "m": pa.array([{"x": i, "y": str(i)} for i in numbers]),
            "n": pa.nulls(rows),
        }
    )


def written(library: WorkerLibrary, result: Any, task: dict[str, Any] = MANY, bytes_max: int = 0) -> pa.Table:
    """A large result as a reader in another process would have it."""
    with tempfile.TemporaryFile() as file:
        large = collected(batches_of(result), task, [], bytes_max, lambda: Room(file.fileno(), SEGMENT))
        assert isinstance(large, LargeResult)
        published, descriptor = large.publish(library.session())
        reader: Session = library.session()
        if os.fstat(file.fileno()).st_size:
            reader.segment(SEGMENT, os.dup(file.fileno()))
        table = reader.open(descriptor)
        os.close(descriptor)
        assert published.rows == table.num_rows
        table.validate(full=True)
        return pa.Table.from_batches(table.to_batches(), schema=table.schema)


def test_what_was_written_is_what_came(library: WorkerLibrary) -> None:
    batches = [batch(n * 1000) for n in range(20)]
    expected = pa.Table.from_batches(batches)
    found = written(library, pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches)))
    assert found.schema.equals(expected.schema) and found.to_pylist() == expected.to_pylist()


def test_slices_of_large_arrays_are_written_without_the_rest(library: WorkerLibrary) -> None:
    whole = batch(0, 100_000)
    slices = [whole.slice(start, 997) for start in range(3, 90_000, 997)]
    with tempfile.TemporaryFile() as file:
        reader = pa.RecordBatchReader.from_batches(whole.schema, iter(slices))
        _, descriptor = library.session().publish_to_disk(reader, file.fileno(), SEGMENT)
        size = os.fstat(file.fileno()).st_size
        own = sum(each.nbytes for each in slices) + len(slices) * 64 * 40
        # The dictionary is there once, whole.
        assert size < own
        second = library.session()
        second.segment(SEGMENT, os.dup(file.fileno()))
        table = second.open(descriptor)
    assert table.to_pylist() == pa.Table.from_batches(slices).to_pylist()


@pytest.mark.parametrize("name", list(COLUMNS)[::5])
def test_all_kinds_of_columns_and_slices_of_them(library: WorkerLibrary, name: str) -> None:
    column = COLUMNS[name](200)
    batches = [
        pa.record_batch([column.slice(start, rows)], names=["c"]) for start, rows in ((0, 7), (3, 90), (61, 139))
    ]
    with tempfile.TemporaryFile() as file:
        reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
        _, descriptor = library.session().publish_to_disk(reader, file.fileno(), SEGMENT)
        second = library.session()
        second.segment(SEGMENT, os.dup(file.fileno()))
        found = second.open(descriptor)
        found.validate(full=True)
        assert found.to_pylist() == [row for each in batches for row in each.to_pylist()]


def test_memory_that_was_freed_is_not_taken_for_the_dictionary_it_was(library: WorkerLibrary) -> None:
    schema = pa.schema([("d", pa.dictionary(pa.int32(), pa.string()))])

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(300):
            words = pa.array([f"{number:05}", f"{number + 1:05}"])
            yield pa.record_batch(
                [pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), words)], schema=schema
            )

    with tempfile.TemporaryFile() as file:
        reader = pa.RecordBatchReader.from_batches(schema, batches())
        _, descriptor = library.session().publish_to_disk(reader, file.fileno(), SEGMENT)
        second = library.session()
        second.segment(SEGMENT, os.dup(file.fileno()))
        found = second.open(descriptor).column("d").to_pylist()
    assert found == [text for n in range(300) for text in (f"{n:05}", f"{n + 1:05}", f"{n:05}")]


def test_inputs_that_are_passed_on_are_shared_where_they_lie(library: WorkerLibrary) -> None:
    session = library.session()
    output = memory_file(size=8 << 20)
    writer = library.session()
    writer.output(os.dup(output), 8 << 20, 8 << 20)
    given = pa.table({"a": pa.array(range(100_000), pa.int64())})
    _, descriptor = writer.publish(given.to_reader())
    # In the worker that reads it the file has a number.
    content = bytearray(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    content[64:72] = (5).to_bytes(8, "little")
    session.segment(5, os.dup(output))
    table = session.open(memory_file(bytes(content)))
    with tempfile.TemporaryFile() as file:
        reader = table.append_column("b", pa.array(range(100_000), pa.int32())).to_reader()
        published, _ = session.publish_to_disk(reader, file.fileno(), SEGMENT)
        assert (published.reshared_bytes, published.copied_bytes) == (800_000, 400_000)
        assert os.fstat(file.fileno()).st_size == 400_000


def test_a_result_below_the_bound_is_a_table_and_nothing_is_asked_for() -> None:
    batches = [batch(n * 1000) for n in range(3)]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    found = collected(batches_of(reader), MANY, [], 1 << 30, lambda: pytest.fail("it asked for a file"))
    assert isinstance(found, pa.Table) and found.to_pylist() == pa.Table.from_batches(batches).to_pylist()
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    assert collected(batches_of(reader), MANY, [], 0, lambda: None).num_rows == 3000


def test_readers_of_libraries_and_generators_are_taken(library: WorkerLibrary) -> None:
    assert written(library, duckdb.sql("select range as a from range(500_000)")).num_rows == 500_000

    class Own:
        def __arrow_c_stream__(self, schema: Any = None) -> Any:
            return pl.DataFrame({"a": [1, 2, 3]}).__arrow_c_stream__(schema)

    assert written(library, Own(), bytes_max=-1).column("a").to_pylist() == [1, 2, 3]
    assert written(library, (batch(n * 10, 10) for n in range(5))).column("a").to_pylist() == list(range(50))
    tables = (pa.Table.from_batches([batch(n * 10, 10)]) for n in range(5))
    assert written(library, tables).column("a").to_pylist() == list(range(50))


def test_many_small_batches_are_put_together(library: WorkerLibrary) -> None:
    with tempfile.TemporaryFile() as file:
        small = (pa.record_batch({"a": [n]}) for n in range(5000))
        large = collected(batches_of(small), MANY, [], 0, lambda: Room(file.fileno(), SEGMENT))
        published, _ = large.publish(library.session())
    assert (published.rows, published.batches) == (5000, 1)


def test_a_result_of_no_row_or_no_column(library: WorkerLibrary) -> None:
    schema = pa.schema([("a", pa.int64())])
    empty = pa.record_batch([pa.array([], pa.int64())], schema=schema)
    assert written(library, pa.RecordBatchReader.from_batches(schema, [empty]), bytes_max=-1).num_rows == 0
    found = collected(batches_of(pa.RecordBatchReader.from_batches(schema, [])), MANY, [], 0, lambda: None)
    assert found.schema == schema and found.num_rows == 0


def test_an_exception_in_the_middle_is_the_models_own(library: WorkerLibrary) -> None:
    def batches(fails_at: int) -> Iterator[pa.RecordBatch]:
        for number in range(10):
            if number == fails_at:
                raise KeyError("in the middle")
            yield batch(number)

    schema = batch(0).schema
    for fails_at in (0, 5):
        with pytest.raises(KeyError, match="in the middle") as caught:
            written(library, pa.RecordBatchReader.from_batches(schema, batches(fails_at)))
        assert any(frame.name == "batches" for frame in caught.traceback)


def test_batches_that_are_not_of_the_readers_schema_are_refused(library: WorkerLibrary) -> None:
    schema = pa.schema([("a", pa.int64())])
    for wrong, message in (
        (pa.record_batch({"a": ["x"]}), "its column 'a' is string, not int64"),
        (pa.record_batch({"b": [1]}), "it has the columns b, not a"),
    ):
        batches = [pa.record_batch({"a": [1]}), wrong]
        for bytes_max in (0, 1 << 20):
            with pytest.raises(WorkerFailure, match=message):
                reader = pa.RecordBatchReader.from_batches(schema, batches)
                written(library, reader, bytes_max=bytes_max)
    with pytest.raises(WorkerFailure, match="a dict, not a pyarrow"):
        written(library, iter([batch(0), {"a": 1}]))
    with pytest.raises(WorkerFailure, match="yields nothing"):
        batches_of(iter([]))


def test_promises_are_held_as_the_batches_come(library: WorkerLibrary) -> None:
    contract = {"schema": "S", "columns": [{"name": "a", "type": "int64", "nullable": False}]}
    batches = [pa.record_batch({"a": pa.array([1, 2])}), pa.record_batch({"a": pa.array([3, None])})]
    task = {**MANY, "contract": contract, "strict": True}
    with pytest.raises(WorkerFailure, match="ModelOutputContractError"):
        written(library, iter(batches), task)
    with pytest.raises(WorkerFailure, match="declares the column 'x'"):
        written(library, iter(batches), {**MANY, "columns": ["x"]})
    with pytest.raises(WorkerFailure, match="more than one column named 'a'"):
        two = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
        written(library, iter([two]))


def test_a_full_disk_is_a_failure_of_the_disk(library: WorkerLibrary) -> None:
    class Full:
        @staticmethod
        def publish_to_disk(reader: pa.RecordBatchReader, disk: int, segment: int) -> Any:
            with open("/dev/full", "wb") as full:
                return library.session().publish_to_disk(reader, full.fileno(), segment)

    large = collected(batches_of(iter([batch(0)])), MANY, [], 0, lambda: Room(-1, SEGMENT))
    with pytest.raises(WorkerFailure, match="the disk is full") as caught:
        large.publish(Full)
    assert caught.value.kind == "disk"


def test_a_model_that_fails_while_it_streams_says_where(project: Any, tmp_path: Path) -> None:
    task = project(
        "import pyarrow as pa\n"
        "def model():\n"
        "    def batches():\n"
        "        yield pa.record_batch({'a': [1]})\n"
        "        raise ValueError('no more')\n"
        "    return pa.RecordBatchReader.from_batches(pa.schema([('a', pa.int64())]), batches())\n",
    )
    with pytest.raises(ValueError, match="no more"):
        execute(task, {})

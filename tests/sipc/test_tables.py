"""Tables of unusual shape: no rows, no columns, no batches, very many of each; metadata; dictionaries that change."""

from __future__ import annotations

import struct

import pyarrow as pa
import pytest
from abi import MIB, Engine, ZerrowError
from columns import COLUMNS
from test_types import assert_same


def both_ways(engine: Engine, table: pa.Table) -> bytes:
    """Publish and open, and read the standard stream as well."""
    descriptor, counts = engine.publish(table)
    assert counts.rows == table.num_rows
    assert_same(engine.open(descriptor), table)
    with engine.session() as session:
        assert_same(pa.ipc.open_stream(session.stream(descriptor)).read_all(), table)
    return descriptor


def chunk_lengths(table: pa.Table) -> list[int]:
    """Rows of each chunk of the first column."""
    return [len(chunk) for chunk in table.column(0).chunks]


def message_count(descriptor: bytes) -> int:
    """Number of messages in a descriptor."""
    return struct.unpack_from("<Q", descriptor, 32)[0]


@pytest.mark.parametrize("name", COLUMNS)
def test_no_rows(engine: Engine, name: str) -> None:
    empty = pa.table({name: COLUMNS[name](0)})
    schema = empty.schema
    batches = pa.RecordBatch.from_arrays([column.combine_chunks() for column in empty.columns], schema=schema)
    descriptor, counts = engine.publish(pa.RecordBatchReader.from_batches(schema, [batches]))
    assert (counts.rows, counts.batches) == (0, 1)
    assert_same(engine.open(descriptor), empty)
    descriptor, counts = engine.publish(pa.RecordBatchReader.from_batches(schema, []))
    assert_same(engine.open(descriptor), pa.Table.from_batches([], schema))


def test_no_batches(engine: Engine) -> None:
    schema = pa.schema([("a", pa.int64()), ("d", pa.dictionary(pa.int8(), pa.utf8()))])
    descriptor, counts = engine.publish(pa.RecordBatchReader.from_batches(schema, []))
    assert counts.batches == 0
    assert_same(engine.open(descriptor), schema.empty_table())


def test_no_columns_keep_their_rows(engine: Engine) -> None:
    table = pa.table({"a": [1, 2, 3]}).select([])
    assert table.num_rows == 3
    descriptor, counts = engine.publish(table)
    assert counts.rows == 3
    assert engine.open(descriptor).num_rows == 3


def test_metadata_of_table_and_fields(engine: Engine) -> None:
    field = pa.field("a", pa.int64(), nullable=False, metadata={"k": "v", "": "", "bytes": b"\xff\x00"})
    inner = pa.field("s", pa.struct([pa.field("x", pa.int8(), metadata={"deep": "yes"})]))
    schema = pa.schema([field, inner, pa.field("", pa.null())], metadata={"table": "t", "z": "é"})
    both_ways(engine, pa.table([[1], [{"x": 1}], [None]], schema=schema))


def test_two_columns_of_one_name(engine: Engine) -> None:
    both_ways(engine, pa.table([[1, 2], ["a", "b"]], names=["same", "same"]))


def test_chunks_stay_chunks(engine: Engine) -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [], [None], [4, 5, 6]])})
    descriptor = both_ways(engine, table)
    assert chunk_lengths(engine.open(descriptor)) == [2, 0, 1, 3]


def test_each_chunk_keeps_its_own_dictionary(engine: Engine) -> None:
    chunks = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "a", "c"], ["b"])]
    table = pa.table({"d": pa.chunked_array(chunks)})
    result = engine.open(both_ways(engine, table))
    assert [chunk.dictionary.to_pylist() for chunk in result["d"].chunks] == [["a", "b"], ["c", "a"], ["b"]]


def test_a_file_with_one_dictionary_is_a_file_and_with_several_a_stream(engine: Engine) -> None:
    one = pa.array(["a", "b", "a"]).dictionary_encode()
    for table, open_it in [
        (pa.table({"d": pa.chunked_array([one, one])}), pa.ipc.open_file),
        (pa.table({"d": pa.chunked_array([one, pa.array(["c", "d"]).dictionary_encode()])}), pa.ipc.open_stream),
    ]:
        descriptor, _ = engine.publish(table)
        with engine.session() as session:
            assert_same(open_it(session.file(descriptor)).read_all(), table)


def test_buffers_of_a_file_are_aligned(engine: Engine) -> None:
    table = pa.table(
        {"metadata of any length " * (count % 7): [count, None] for count in range(9)}, metadata={"k": "v" * 9}
    )
    descriptor, _ = engine.publish(table)
    with engine.session() as session:
        file = pa.py_buffer(session.file(descriptor))
    read = pa.ipc.open_file(pa.BufferReader(file)).read_all()
    assert_same(read, table)
    for column in read.columns:
        assert all((buffer.address - file.address) % 64 == 0 for buffer in column.chunk(0).buffers())


def test_one_dictionary_is_sent_once(engine: Engine) -> None:
    whole = pa.array([f"v{i % 50}" for i in range(1000)]).dictionary_encode()
    table = pa.table({"d": pa.chunked_array([whole.slice(i * 100, 100) for i in range(10)])})
    assert message_count(both_ways(engine, table)) == 1 + 1 + 10


def test_a_dictionary_is_sent_again_when_one_inside_it_changes(engine: Engine) -> None:
    def chunk(letters: str) -> pa.Array:
        inner = pa.array(list(letters)).dictionary_encode()
        values = pa.StructArray.from_arrays([inner], ["x"])
        return pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 1], pa.int8()), values)

    table = pa.table({"d": pa.chunked_array([chunk("abc"), chunk("cba"), chunk("xyz")])})
    assert message_count(both_ways(engine, table)) == 1 + 3 * 3


def test_thousands_of_batches(engine: Engine) -> None:
    table = pa.table({"a": pa.array(range(40_000)), "s": pa.array([str(i) for i in range(40_000)])})
    chunked = pa.Table.from_batches(table.to_batches(max_chunksize=10))
    descriptor, counts = engine.publish(chunked)
    assert counts.batches == 4000
    text_bytes = sum(len(str(i)) for i in range(40_000))
    assert counts.bytes == 40_000 * 8 + 40_001 * 4 + text_bytes, "slices of one buffer are one buffer"
    assert_same(engine.open(descriptor), chunked)


def test_ten_thousand_columns(engine: Engine) -> None:
    table = pa.table({f"column {i}": pa.array([i, None, i]) for i in range(10_000)})
    both_ways(engine, table)


def test_ten_thousand_dictionaries(engine: Engine) -> None:
    values = pa.array(["a", "b"]).dictionary_encode()
    table = pa.table({f"column {i}": values for i in range(10_000)})
    both_ways(engine, pa.concat_tables([table] * 3))


def test_a_batch_that_begins_inside_its_struct(engine: Engine) -> None:
    rows = pa.StructArray.from_arrays([COLUMNS["string"](50), COLUMNS["bool"](50)], ["s", "b"])
    table = pa.table({"s": rows.field(0), "b": rows.field(1)}).slice(11, 20)

    class Stream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.chunked_array([rows.slice(11, 20)]).__arrow_c_stream__()

    descriptor, _ = engine.publish(Stream())
    assert_same(engine.open(descriptor), table)


def test_a_stream_of_values_is_refused(engine: Engine) -> None:
    class Values:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.chunked_array([[1, 2, 3]]).__arrow_c_stream__()

    with pytest.raises(ZerrowError, match="stream of l values") as failure:
        engine.publish(Values())
    assert failure.value.errno == 22


def test_the_error_of_a_stream_is_passed_on(engine: Engine) -> None:
    def batches():
        yield pa.record_batch({"a": [1]})
        raise ValueError("the third quarter is missing")

    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(ZerrowError, match="the third quarter is missing"):
        engine.publish(pa.RecordBatchReader.from_batches(schema, batches()))


def test_a_full_output_segment_is_an_error(engine: Engine) -> None:
    with pytest.raises(ZerrowError, match="no room") as failure:
        engine.publish(pa.table({"a": pa.array(range(MIB))}), bytes_max=2 * MIB)
    assert failure.value.errno == 12

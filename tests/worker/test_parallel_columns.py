"""Columns decoded by several threads are the ones that pyarrow decodes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zerrow.worker.parallel_columns import decode_columns


def write(folder: Path) -> tuple[Path, pa.Table]:
    """A file of columns of all sizes, some with names that pyarrow takes for paths, in row groups of odd sizes."""
    rows = 50_000
    numbers = np.random.default_rng(7).integers(0, 1000, rows)
    table = pa.table(
        {
            "a": pa.array(numbers, pa.int32()),
            "a.b": pa.array(numbers * 2, pa.int64()),
            "s": [None if each % 9 == 0 else f"text {each}" for each in numbers],
            "struct": [{"b": int(each), "c": [int(each)] * (each % 3)} for each in numbers],
            "struct.b": pa.array(numbers % 2 == 0),
            "list": [[int(each)] * (each % 4) for each in numbers],
            "nothing": pa.nulls(rows),
        }
    )
    path = folder / "t.parquet"
    pq.write_table(table, path, row_group_size=7919)
    return path, table


@pytest.mark.parametrize("threads", [1, 2, 7, 20])
@pytest.mark.parametrize("batch_rows", [1 << 10, 1 << 14, 1 << 20])
def test_they_hold_the_same_values_in_batches_of_so_many_rows(tmp_path: Path, threads: int, batch_rows: int):
    path, table = write(tmp_path)
    metadata = pq.read_metadata(path)
    groups = [0, 3, 4, 6]
    decoded = decode_columns(
        lambda: pq.ParquetFile(path, metadata=metadata), groups, table.column_names, batch_rows, threads
    )
    expected = pq.ParquetFile(path).read_row_groups(groups)
    assert list(decoded) == table.column_names
    for name, column in decoded.items():
        assert column.equals(expected.column(name)), name
        sizes = [len(chunk) for chunk in column.chunks]
        assert all(size == batch_rows for size in sizes[:-1])


def test_no_row_group_gives_columns_of_the_right_types(tmp_path: Path):
    path, table = write(tmp_path)
    decoded = decode_columns(lambda: pq.ParquetFile(path), [], ["a", "list"], 1024, 2)
    assert {name: column.type for name, column in decoded.items()} == {
        "a": table.schema.field("a").type, "list": pq.read_schema(path).field("list").type,
    }  # fmt: skip
    assert len(decoded["a"]) == 0


def test_the_failure_of_the_first_column_is_raised(tmp_path: Path):
    path, table = write(tmp_path)
    content = bytearray(path.read_bytes())
    metadata = pq.read_metadata(path)
    for column in (0, 2):
        place = metadata.row_group(1).column(column)
        start = place.dictionary_page_offset or place.data_page_offset
        content[start : start + 40] = b"\xff" * 40
    with pytest.raises((OSError, pa.ArrowException)):
        decode_columns(
            lambda: pq.ParquetFile(pa.BufferReader(bytes(content)), metadata=metadata),
            [0, 1], table.column_names, 1024, 3,
        )  # fmt: skip

"""Scans: projection, filters, several files, views, dictionaries; each against what pyarrow reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.scan import scan
from zerrow.worker.source import WINDOW_ROWS

ROWS = 50_000


def run(files: list[Path], columns: list[str] | None = None, **more: Any) -> pa.Table:
    names = [str(file) for file in files]
    return scan({"table": "t", "files": names, "columns": columns, "filter": None, "dictionary": [], **more}, 2)


def at_least(name: str, value: int) -> dict[str, Any]:
    return {"op": ">=", "args": [{"column": name}, {"literal": value, "type": "int"}]}


def sample(first: int = 0, rows: int = ROWS) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "a": pa.array(numbers, pa.int64()),
            "s": pa.array([f"row {i % 100}" for i in numbers]),
            "t": pa.array([i * 1_000_000 for i in numbers], pa.timestamp("us", "UTC")),
            "n": pa.array([{"x": i} for i in numbers]),
        }
    )


def test_a_file_is_read_in_one_chunk_when_it_fits_a_window(tmp_path: Path) -> None:
    pq.write_table(sample(), tmp_path / "a.parquet", row_group_size=5000)
    table = run([tmp_path / "a.parquet"])
    assert table.equals(sample()) and table["a"].num_chunks == 1


def test_columns_come_in_the_order_asked_for_and_the_filters_own_are_not_kept(tmp_path: Path) -> None:
    pq.write_table(sample(), tmp_path / "a.parquet", row_group_size=5000)
    table = run([tmp_path / "a.parquet"], ["t", "s"], filter=at_least("a", ROWS - 10))
    assert table.equals(sample(ROWS - 10, 10).select(["t", "s"]))
    assert run([tmp_path / "a.parquet"], ["s"], filter=at_least("a", ROWS)).num_rows == 0


def test_row_groups_ruled_out_by_statistics_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(sample(), path, row_group_size=5000, compression="none")
    group = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    start = group.dictionary_page_offset or group.data_page_offset
    content[start : start + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    path.write_bytes(content)
    assert run([path], ["a"], filter=at_least("a", 5000)).num_rows == ROWS - 5000
    with pytest.raises(WorkerFailure, match=r"a\.parquet"):
        run([path], ["a"])


def test_several_files_are_one_table_in_their_order(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number, file in enumerate(files):
        pq.write_table(sample(number * 1000, 1000), file)
    assert run(files).equals(sample(0, 3000))


def test_types_widen_and_missing_columns_are_null(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array([2**40], pa.int64())}), tmp_path / "2.parquet")
    table = run([tmp_path / "1.parquet", tmp_path / "2.parquet"])
    assert table.to_pydict() == {"a": [1, 2**40], "b": ["x", None]}


def test_files_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [[1]]}), tmp_path / "2.parquet")
    with pytest.raises(WorkerFailure, match=r"'a' is list.* in .*2\.parquet, .* int64 in .*1\.parquet"):
        run([tmp_path / "1.parquet", tmp_path / "2.parquet"])


def test_strings_noted_as_views_are_read_as_strings(tmp_path: Path) -> None:
    table = sample().set_column(1, "s", sample()["s"].cast(pa.string_view()))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=5000)
    assert pq.read_schema(tmp_path / "a.parquet").field("s").type == pa.string_view()
    read = run([tmp_path / "a.parquet"], ["a", "s"])
    assert read["s"].type == pa.string() and read.equals(sample().select(["a", "s"]))
    tree = {"op": "=", "args": [{"column": "s"}, {"literal": "row 7", "type": "string"}]}
    assert run([tmp_path / "a.parquet"], ["s"], filter=tree).num_rows == ROWS // 100
    assert run([tmp_path / "a.parquet"], ["s"], dictionary=["s"])["s"].type.value_type == pa.string()


def test_views_beside_a_type_that_only_arrow_knows_keep_that_type(tmp_path: Path) -> None:
    table = pa.table({"v": pa.array(["x", None], pa.string_view()), "d": pa.array([1, 2], pa.duration("s"))})
    pq.write_table(table, tmp_path / "a.parquet")
    read = run([tmp_path / "a.parquet"])
    assert read.schema.types == [pa.string(), pa.duration("s")] and read["v"].to_pylist() == ["x", None]


def test_a_dictionary_column_has_one_dictionary(tmp_path: Path) -> None:
    for number in range(2):
        part = pa.table({"s": [f"{number}-{i % 3}" for i in range(1000)]})
        pq.write_table(part, tmp_path / f"{number}.parquet", row_group_size=100)
    column = run([tmp_path / "0.parquet", tmp_path / "1.parquet"], dictionary=["s"])["s"]
    assert pa.types.is_dictionary(column.type)
    assert len({chunk.dictionary.buffers()[2].address for chunk in column.chunks}) == 1
    assert column.cast(pa.string()).to_pylist() == [f"{n}-{i % 3}" for n in range(2) for i in range(1000)]


def test_what_a_filter_leaves_small_is_one_chunk(tmp_path: Path) -> None:
    rows = 3 * WINDOW_ROWS
    pq.write_table(
        pa.table({"a": pc.cast(pa.array(range(rows)), pa.int64())}), tmp_path / "a.parquet", row_group_size=1 << 18
    )
    tree = {"op": "in", "args": [{"column": "a"}, *({"literal": i, "type": "int"} for i in range(0, rows, 1 << 19))]}
    table = run([tmp_path / "a.parquet"], filter=tree)
    assert table["a"].num_chunks == 1 and table["a"].to_pylist() == list(range(0, rows, 1 << 19))
    assert run([tmp_path / "a.parquet"])["a"].num_chunks == 3


def test_an_empty_file_keeps_its_schema_and_notes_of_pandas_are_left_out(tmp_path: Path) -> None:
    empty = sample().slice(0, 0).replace_schema_metadata({"pandas": "{}", "origin": "here"})
    pq.write_table(empty, tmp_path / "a.parquet")
    table = run([tmp_path / "a.parquet"])
    assert table.schema.equals(sample().schema) and table.num_rows == 0
    assert table.schema.metadata == {b"origin": b"here"}


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"amount": [1]}), tmp_path / "a.parquet")
    for more in ({"columns": ["amuont"]}, {"filter": at_least("amuont", 1)}, {"dictionary": ["amuont"]}):
        with pytest.raises(WorkerFailure, match="did you mean 'amount'"):
            run([tmp_path / "a.parquet"], **more)

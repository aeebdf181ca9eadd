"""Scans: projection, filters, several files, views, dictionaries; each against what pyarrow reads."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from filters import filter_of
from zerrow.worker import source
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.scan import scan
from zerrow.worker.source import WINDOW_ROWS

ROWS = 50_000


def run(files: list[Path], columns: list[str] | None = None, **more: Any) -> pa.Table:
    names = [str(file) for file in files]
    return scan({"table": "t", "files": names, "columns": columns, "filter": None, "dictionary": [], **more}, 2)


def at_least(name: str, value: int) -> dict[str, Any]:
    return filter_of(f"{name} >= {value}", **{name: "int"})


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


def test_many_rows_are_decoded_in_batches_of_a_power_of_two_and_are_what_pyarrow_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BATCH_ROWS_MAX", 1 << 10)
    monkeypatch.setattr(source, "BATCH_ROWS_MIN", 1 << 7)
    for seed in range(8):
        random = Random(seed)
        rows, words = random.randrange(1025, 9000), [f"word {i}" for i in range(random.randrange(1, 300))]
        table = sample(0, rows).append_column("w", pa.array(random.choices([None, *words], k=rows)))
        table = table.append_column("l", pa.array([[i] * (i % 4) if i % 5 else None for i in range(rows)]))
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=random.randrange(100, 4000))
        for encoded in ([], ["w"]):
            read = run([tmp_path / "a.parquet"], dictionary=encoded)
            read.validate(full=True)
            assert read.equals(pq.read_table(tmp_path / "a.parquet", read_dictionary=encoded).unify_dictionaries()), (
                seed
            )
        chunks = read["a"].chunks
        assert {len(chunk) for chunk in chunks[:-1]} == {1 << 10}, seed
        assert all(chunk.buffers()[1].size == 8 << 10 for chunk in chunks[:-1]), "no room is left over"


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
    filter_ = filter_of("s = 'row 7'", s="string")
    assert run([tmp_path / "a.parquet"], ["s"], filter=filter_).num_rows == ROWS // 100
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
    numbers = ", ".join(str(number) for number in range(0, rows, 1 << 19))
    table = run([tmp_path / "a.parquet"], filter=filter_of(f"a in ({numbers})", a="int"))
    assert table["a"].num_chunks == 1 and table["a"].to_pylist() == list(range(0, rows, 1 << 19))
    assert run([tmp_path / "a.parquet"])["a"].num_chunks == 3


def test_an_empty_file_keeps_its_schema_and_notes_that_pandas_did_not_write_are_left_out(tmp_path: Path) -> None:
    empty = sample().slice(0, 0).replace_schema_metadata({"pandas": "{}", "origin": "here"})
    pq.write_table(empty, tmp_path / "a.parquet")
    table = run([tmp_path / "a.parquet"])
    assert table.schema.equals(sample().schema) and table.num_rows == 0
    assert table.schema.metadata == {b"origin": b"here"}


FRAME = pd.DataFrame(
    {
        "id": pd.array([2**53 + 1, None, 3], "Int64"),
        "flag": pd.array([True, None, False], "boolean"),
        "month": pd.period_range("2024-01", periods=3, freq="M"),
        "kind": pd.Categorical(["b", "a", "b"], ["b", "a"], ordered=True),
        "text": pd.array(["x", None, "z"], "string"),
        "small": pd.array([1, None, 3], "Int8"),
    }
)


@pytest.mark.parametrize(
    "index", [pd.RangeIndex(3), pd.RangeIndex(5, 8), pd.Index([7, 9, 8], name="key"), pd.Index(["x", "y", "z"])]
)
def test_a_file_of_pandas_is_the_frame_that_pyarrow_makes_of_it(tmp_path: Path, index: pd.Index) -> None:
    path = tmp_path / "a.parquet"
    FRAME.set_index(index).to_parquet(path)
    own = pq.read_table(path).to_pandas()
    pd.testing.assert_frame_equal(run([path]).to_pandas(), own)
    some = run([path], ["month", "id"])
    rows = own.index if isinstance(own.index, pd.RangeIndex) else pd.RangeIndex(3)
    pd.testing.assert_frame_equal(some.to_pandas(), own.set_axis(rows)[["month", "id"]])
    three = run([path], filter=at_least("small", 3)).to_pandas()
    pd.testing.assert_frame_equal(three.reset_index(drop=True), own.iloc[2:].reset_index(drop=True))


def test_files_of_pandas_keep_their_dtypes_together_where_all_columns_still_fit(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "a.parquet")
    FRAME.assign(small=pd.array([1000, None, 3], "Int64")).to_parquet(tmp_path / "b.parquet")
    frame = run([tmp_path / "a.parquet", tmp_path / "b.parquet"]).to_pandas()
    assert frame.dtypes.drop("small").equals(FRAME.dtypes.drop("small"))
    assert frame["small"].dtype == "Int64" and frame["small"].dropna().tolist() == [1, 3, 1000, 3]
    assert frame["id"].dropna().tolist() == [2**53 + 1, 3] * 2 and frame.index.equals(pd.RangeIndex(6))


@pytest.mark.parametrize("table", [{"a": [1], "b\0c": [2]}, {"a": [1], "d": [{"e\0f": 3}]}])
def test_a_file_with_a_nul_in_a_name_is_refused(tmp_path: Path, table: dict[str, Any]) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(WorkerFailure, match=r"a\.parquet.*has a NUL"):
        run([tmp_path / "a.parquet"])


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"amount": [1]}), tmp_path / "a.parquet")
    for more in ({"columns": ["amuont"]}, {"filter": at_least("amuont", 1)}, {"dictionary": ["amuont"]}):
        with pytest.raises(WorkerFailure, match="did you mean 'amount'"):
            run([tmp_path / "a.parquet"], **more)

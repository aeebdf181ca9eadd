"""Inputs as streams: the same rows, order and types as the table that a scan gives, a few rows at a time."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filters import filter_of
from nested_columns import NESTING, texts
from zerrow.worker import row_streams
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.row_streams import RowStream
from zerrow.worker.scan import scan
from zerrow.worker.tasks import end_streams, execute, prepare_arguments, raise_failure

ROWS = 50_000


def source(files: list[Path], columns: list[str] | None = None, **more: Any) -> dict[str, Any]:
    names = [str(file) for file in files]
    return {"table": "t", "files": names, "columns": columns, "filter": None, "dictionary": [], **more}


def stream(task: dict[str, Any], **argument: Any) -> RowStream:
    argument = {"name": "t", "table": "t", "source": task, "stream": True, **argument}
    return prepare_arguments({"kind": "python", "arguments": [argument]}, [], 2)["t"]


def plain(table: pa.Table) -> pa.Table:
    """Dictionaries as values: equal ones may differ in their order."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    return table.replace_schema_metadata(None)


def assert_as_scanned(task: dict[str, Any]) -> list[pa.RecordBatch]:
    expected, found = scan(task, 2), stream(task)
    schema, batches = found.reader.schema, list(found.reader)
    end_streams({"t": found})
    assert schema.equals(expected.schema)
    assert sum(batch.num_rows for batch in batches) == expected.num_rows
    assert plain(pa.Table.from_batches(batches, schema)).equals(plain(expected))
    return batches


def sample(first: int = 0, rows: int = ROWS) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "a": pa.array(numbers, pa.int64()),
            "s": pa.array([f"row {i % 100}" if i % 7 else None for i in numbers]),
            "t": pa.array([i * 1_000_000 for i in numbers], pa.timestamp("us", "UTC")),
            "n": pa.array([{"x": i} for i in numbers]),
        }
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of few rows."""
    monkeypatch.setattr(row_streams, "BATCH_BYTES", 1 << 14)
    monkeypatch.setattr("zerrow.worker.scan.RUN_BYTES_MAX", 1 << 16)


@pytest.mark.parametrize("group", [777, 5000, ROWS])
@pytest.mark.parametrize("columns", [None, ["t", "a"], ["n"]])
def test_a_source_has_the_rows_of_its_scan(tmp_path: Path, small: None, group: int, columns: Any) -> None:
    for number in range(3):
        pq.write_table(sample(number * ROWS), tmp_path / f"{number}.parquet", row_group_size=group)
    batches = assert_as_scanned(source(sorted(tmp_path.iterdir()), columns))
    assert len(batches) > 10


def test_a_filter_keeps_the_rows_that_a_scan_keeps(tmp_path: Path, small: None) -> None:
    pq.write_table(sample(), tmp_path / "a.parquet", row_group_size=5000)
    for text in ("a % 10 = 3", "a >= 49990", "a < 0", "s is null"):
        condition = filter_of(text, a="int", s="string")
        assert_as_scanned(source([tmp_path / "a.parquet"], ["t", "s"], filter=condition))


def test_dictionaries_that_differ_from_row_group_to_row_group(tmp_path: Path, small: None) -> None:
    table = pa.table({"s": [f"value {i // 100}" for i in range(ROWS)], "a": range(ROWS)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3000)
    pq.write_table(table.slice(0, 10), tmp_path / "b.parquet")
    task = source([tmp_path / "a.parquet", tmp_path / "b.parquet"], dictionary=["s"])
    assert_as_scanned(task)
    assert pa.types.is_dictionary(stream(task).reader.schema.field("s").type)


def test_files_that_lack_columns_or_have_narrower_ones(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": pa.array([3], pa.int64()), "b": ["x"]}), tmp_path / "b.parquet")
    assert_as_scanned(source(sorted(tmp_path.iterdir())))


def test_columns_of_folders_names(tmp_path: Path) -> None:
    for year in ("2023", "2024"):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / f"year={year}" / "x.parquet")
    files = sorted(tmp_path.rglob("*.parquet"))
    partitions = {"year": {"type": "int32", "texts": ["2023", "2024"]}}
    schema = pa.schema([("a", pa.int64()), ("year", pa.int32())])
    planned = base64.b64encode(schema.serialize()).decode()
    for columns in (None, ["year"], ["year", "a"]):
        assert_as_scanned(source(files, columns, partitions=partitions, schema=planned))
    condition = filter_of("year = 2024", year="int")
    assert_as_scanned(source(files, ["a"], partitions=partitions, schema=planned, filter=condition))


def test_tables_without_a_row_or_without_a_column(tmp_path: Path) -> None:
    pq.write_table(sample(rows=0), tmp_path / "a.parquet")
    assert assert_as_scanned(source([tmp_path / "a.parquet"])) == []
    assert pa.Table.from_batches([], stream(source([tmp_path / "a.parquet"])).reader.schema).num_rows == 0


@pytest.mark.parametrize("kind", ["struct", "list", "map", "large"])
def test_nested_columns(tmp_path: Path, small: None, kind: str) -> None:
    column = NESTING[kind](NESTING["list"](NESTING["struct"](texts)))(3000)
    pq.write_table(pa.table({"c": column, "a": range(3000)}), tmp_path / "a.parquet", row_group_size=700)
    assert_as_scanned(source([tmp_path / "a.parquet"]))


def test_what_pandas_wrote_is_what_it_was_but_for_labels_that_count_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "p": pd.period_range("2024", periods=3, freq="M")})
    frame.index = pd.Index(["x", "y", "z"], name="k")
    frame.to_parquet(tmp_path / "a.parquet")
    found = stream(source([tmp_path / "a.parquet"])).reader.read_all()
    pd.testing.assert_frame_equal(found.to_pandas(), pd.read_parquet(tmp_path / "a.parquet"))
    frame.reset_index(drop=True).to_parquet(tmp_path / "b.parquet")
    (batch,) = stream(source([tmp_path / "b.parquet"])).reader
    pd.testing.assert_frame_equal(batch.to_pandas(), pd.read_parquet(tmp_path / "b.parquet"))


def test_damage_in_the_middle_names_the_file_and_fails_whoever_catches_it(tmp_path: Path, small: None) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(sample(), path, row_group_size=5000, compression="none", use_dictionary=False)
    group = pq.read_metadata(path).row_group(5).column(0)
    content = bytearray(path.read_bytes())
    content[group.data_page_offset : group.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    found = stream(source([path]))
    assert found.reader.read_next_batch().num_rows > 0
    with pytest.raises(WorkerFailure, match=r"a\.parquet cannot be read"):
        for _ in found.reader:
            pass
    with pytest.raises(WorkerFailure) as caught:
        end_streams({"t": found})
    assert caught.value.kind == "input"
    other = stream(source([path]))
    with pytest.raises(duckdb.Error):
        duckdb.from_arrow(other.reader).aggregate("sum(a)").fetchall()
    with pytest.raises(WorkerFailure, match=r"a\.parquet cannot be read"):
        raise_failure({"t": other})


def test_a_reader_may_be_left_unread_and_a_changed_file_is_found(tmp_path: Path, small: None) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(sample(), path, row_group_size=500)
    for read in (0, 1, 3):
        found = stream(source([path]))
        for _ in range(read):
            found.reader.read_next_batch()
        end_streams({"t": found})
        assert list(found.reader) == []
    found = stream(source([path]))
    found.reader.read_next_batch()
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(WorkerFailure, match="changed while it was read"):
        end_streams({"t": found})


def test_a_table_comes_in_slices_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_streams, "SLICE_ROWS", 1000)
    table = sample().combine_chunks()
    argument = {"name": "t", "table": "t", "input": 0, "stream": True, "columns": ["s", "a"]}
    found = prepare_arguments({"kind": "python", "arguments": [argument]}, [table])["t"]
    batches = list(found.reader)
    assert len(batches) == ROWS // 1000
    assert pa.Table.from_batches(batches).equals(table.select(["s", "a"]))
    assert batches[1].column(1).buffers()[1].address == table.column("a").chunk(0).buffers()[1].address
    argument["filter"] = filter_of("a % 2 = 0", a="int")
    found = prepare_arguments({"kind": "python", "arguments": [argument]}, [table])["t"]
    assert found.reader.read_all().num_rows == ROWS // 2


def test_a_contract_is_held_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_streams, "SLICE_ROWS", 2)
    table = pa.table({"a": [1, 2, 3, None]})
    contract = {"schema": "S", "columns": [{"name": "a", "type": "int64", "nullable": False}]}
    argument = {"name": "t", "table": "t", "input": 0, "stream": True, "contract": contract}
    found = prepare_arguments({"kind": "python", "arguments": [argument]}, [table])["t"]
    assert found.reader.read_next_batch().num_rows == 2
    with pytest.raises(WorkerFailure, match="ModelInputContractError"):
        found.reader.read_next_batch()
    contract["columns"][0]["type"] = "string"
    with pytest.raises(WorkerFailure, match="expected"):
        prepare_arguments({"kind": "python", "arguments": [argument]}, [table])
    notes: list[str] = []
    contract["columns"][0]["type"] = "int64"
    lenient = {**argument, "strict": False}
    found = prepare_arguments({"kind": "python", "arguments": [lenient]}, [table], 1, notes)["t"]
    assert found.reader.read_all().equals(table) and len(notes) == 1


def test_a_model_gets_a_reader(project: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(sample(), tmp_path / "data" / "a.parquet")
    task = project(
        "import pyarrow as pa\n"
        "def model(t):\n"
        "    assert type(t) is pa.RecordBatchReader\n"
        "    return {'rows': [sum(batch.num_rows for batch in t)], 'again': [len(list(t))]}\n",
        [{"name": "t", "table": "t", "source": source([tmp_path / "data" / "a.parquet"]), "stream": True}],
    )
    assert execute(task, prepare_arguments(task, [])).to_pylist() == [{"rows": ROWS, "again": 0}]

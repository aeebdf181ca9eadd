"""Row groups that are not read because of what a footer says, and those that are because it doesn't say enough."""

from __future__ import annotations

import datetime
import decimal
import math
import struct
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zerrow.plan.filter import read_filter
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.predicate import Predicate
from zerrow.worker.source import Source
from zerrow.worker.statistics import groups_kept

DAY = datetime.date(2024, 1, 1)
NANOSECONDS = 1704067200_000000000
ROWS = 3
"""Rows of each group; the columns below ascend, so that group g has those from 3 * g on."""

COLUMNS = {
    "i": ("int", pa.array(range(12), pa.int64())),
    "u": ("int", pa.array([2**63 + row for row in range(12)], pa.uint64())),
    "n": ("decimal", pa.array([decimal.Decimal(row) / 10 for row in range(12)], pa.decimal128(15, 1))),
    "w": ("wide_decimal", pa.array([decimal.Decimal(row) for row in range(-6, 6)], pa.decimal128(30, 0))),
    "f": ("float", pa.array([float(row) for row in range(12)])),
    "s": ("string", pa.array([chr(97 + row) * 100 for row in range(12)])),
    "d": ("date", pa.array([DAY + datetime.timedelta(days=row) for row in range(12)])),
    "t": ("timestamp", pa.array([NANOSECONDS + row for row in range(12)], pa.timestamp("ns"))),
    "z": ("timestamptz", pa.array([10**6 * row for row in range(12)], pa.timestamp("us", "UTC"))),
    "b": ("bool", pa.array([row >= 6 for row in range(12)])),
    "e": ("int", pa.array([None] * 3 + list(range(9)), pa.int32())),
}
TABLE = pa.table({name: column for name, (_, column) in COLUMNS.items()})
KINDS = {name: kind for name, (kind, _) in COLUMNS.items()}


def kept(path: Path, sql: str, schema: pa.Schema | None = None, **constants: Any) -> list[int]:
    source = Source(0, str(path), [], None)
    source.constants = {name: pa.scalar(value) for name, value in constants.items()}
    kinds = {**KINDS, "i.f": "int", **dict.fromkeys(constants, "int")}
    predicate = Predicate.of(read_filter(sql, {}, kinds, "t").as_json(), "t")
    assert predicate is not None
    fields = [pa.field(name, value.type) for name, value in source.constants.items()]
    whole = pa.schema([*(schema or source.schema), *fields])
    return groups_kept([source], predicate, whole)[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=ROWS)
    return path


@pytest.mark.parametrize(
    ("sql", "groups"),
    [
        ("i >= 9", [3]),
        ("5 > i", [0, 1]),
        ("i = 4", [1]),
        ("i in (1, 10)", [0, 3]),
        ("i between 4 and 7", [1, 2]),
        ("i not between 3 and 8", [0, 3]),
        ("not (i > 2)", [0]),
        ("i > 2.5", [1, 2, 3]),
        ("i = 1 or i = 11", [0, 3]),
        ("i + 1 = 2 and i < 3", [0]),
        ("i + 1 = 2", [0, 1, 2, 3]),
        ("u = 9223372036854775812", [1]),
        ("n = 0.4", [1]),
        ("w < 0", [0, 1]),
        ("f = 4", [1]),
        ("f between 4 and 7.5", [1, 2]),
        ("f > 6", [0, 1, 2, 3]),  # a NaN could be anywhere
        ("s like 'd%'", [1]),
        ("s = 'd'", []),
        ("s < 'b'", [0]),
        ("d >= '2024-01-08'", [2, 3]),
        ("d < date '2024-01-01' + interval '3' day", [0]),
        ("t = '2024-01-01 00:00:00.000000004'", [1]),
        ("z < '1970-01-01 00:00:03Z'", [0]),
        ("b", [2, 3]),
        ("not b", [0, 1]),
        ("e is null", [0]),
        ("e is not null", [1, 2, 3]),
        ("e = 4", [2]),
        ("i > 100", []),
    ],
)
def test_a_row_group_is_read_only_where_it_may_have_rows(written: Path, sql: str, groups: list[int]) -> None:
    assert kept(written, sql) == groups


@pytest.mark.parametrize("writer", ["duckdb", "polars", "datafusion", "old"])
def test_files_of_other_writers_are_pruned_too(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = TABLE.select(["i", "n", "s", "d", "f"])
    match writer:
        case "duckdb":
            with duckdb.connect(config={"threads": 1}) as connection:
                connection.register("t", pa.concat_tables([table.slice(row // 2048, 1) for row in range(12 * 2048)]))
                connection.sql(f"copy (select * from t) to '{path}' (format parquet, row_group_size {ROWS * 2048})")
        case "polars":
            polars.from_arrow(table).write_parquet(path, row_group_size=ROWS)
        case "datafusion":
            context = datafusion.SessionContext()
            context.register_record_batches("t", [table.to_batches()])
            options = datafusion.ParquetWriterOptions(max_row_group_size=ROWS)
            folder = tmp_path / "written"
            context.table("t").write_parquet_with_options(str(folder), options)
            (path,) = folder.glob("*.parquet") if folder.is_dir() else (folder,)
        case _:
            pq.write_table(table, path, row_group_size=ROWS, version="1.0", store_schema=False)
    for sql in ("i = 4", "n = 0.4", "s like 'e%'", "d = '2024-01-05'", "f in (4, 4.5)"):
        assert kept(path, sql) == [1], sql


def test_what_a_footer_does_not_say_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=ROWS, write_statistics=False)
    assert kept(path, "i = 4 and s = 'x' and e is null") == [0, 1, 2, 3]


@pytest.mark.parametrize("nan", [math.nan, struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))[0]])
def test_a_nan_that_statistics_leave_out_is_found(nan: float, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"f": [1.0, nan, 0.0, -0.0]}), path, row_group_size=2)
    assert kept(path, "f > 5") == [0, 1]  # none of the statistics rules one out
    assert kept(path, "f != 1") == [0, 1]
    assert kept(path, "f in (0, 2)") == [1]
    assert kept(path, "f = -0.0") == [1]
    assert kept(path, "f < -5") == [0, 1]


def test_a_name_with_dots_and_a_field_of_that_path_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"i": pa.array([{"f": 1}, {"f": 9}]), "i.f": [5, 6], "d": [["x"], []]})
    pq.write_table(table, path, row_group_size=1)
    assert kept(path, '"i.f" = 1') == []
    assert kept(path, '"i.f" = 6') == [1]
    assert kept(path, "i is null or d is null") == [0, 1]


def test_values_that_folders_give_rule_out_whole_files(written: Path) -> None:
    assert kept(written, "year = 2024 and i = 4", year=2024) == [1]
    assert kept(written, "year = 2023 or i = 4", year=2024) == [1]
    assert kept(written, "year > 2024", year=2024) == []


def test_a_file_that_its_folders_rule_out_is_not_opened(written: Path) -> None:
    assert kept(written.parent / "not there.parquet", "year = 2023 and i = 4", TABLE.schema, year=2024) == []
    with pytest.raises(WorkerFailure, match="does not exist"):
        kept(written.parent / "not there.parquet", "year = 2024 or i = 4", TABLE.schema, year=2024)


def test_narrow_values_are_compared_in_the_type_that_all_files_have_together(written: Path) -> None:
    wide = TABLE.schema.set(0, pa.field("i", pa.float64()))
    assert kept(written, "i = 4", wide) == [1]

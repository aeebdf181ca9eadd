"""Folders named key=value: columns as pyarrow gives them, and where another way is better, as is written here."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from shop_project import Shop
from zerrow.errors import PlanError
from zerrow.plan import plan_project
from zerrow.worker.scan import scan
from zerrow.worker.tasks import execute

MODEL = "import zerrow\n\n\n@zerrow.model()\ndef m(t=zerrow.Model('t'{more})):\n    return t\n"


class Lake:
    """A project with one source `t` below `lake`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0

    def add(self, folder: str, table: pa.Table | None = None) -> None:
        """One more file."""
        path = self.folder / "lake" / folder
        path.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [self.written]}) if table is None else table, path / f"{self.written}.parquet")
        self.written += 1

    def task(self, path: str = "lake", source: str = "", **options: Any) -> dict[str, Any]:
        """The task of its scan."""
        more = "".join(f", {name}={value!r}" for name, value in options.items())
        (self.folder / "m.py").write_text(MODEL.format(more=more))
        (self.folder / "zerrow_project.yml").write_text(f"sources:\n  t: {{path: '{path}'{source}}}\n")
        return next(model["task"] for model in plan_project(self.folder)["models"] if model["kind"] == "scan")

    def read(self, *arguments: Any, **options: Any) -> pa.Table:
        """Its rows."""
        return execute(self.task(*arguments, **options), {})

    def oracle(self) -> pa.Table:
        """What pyarrow reads."""
        return ds.dataset(self.folder / "lake", partitioning="hive").to_table()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.mark.parametrize(
    "folders",
    [
        ["year=2023", "year=2024"],
        ["year=2023/month=01", "year=2023/month=12", "year=2024/month=02"],
        ["y=1", "y=x"],
        ["y=-1", "y=7"],
        ["y=+1"],
        ["y=1.5", "y=2"],
        ["d=2024-01-01", "d=2024-01-02"],
        ["t=2024-01-01 00:00:00"],
        ["y=1", "y=__HIVE_DEFAULT_PARTITION__"],
        ["y=a", "y="],
        ["c=a%20b", "c=%C3%A9", "c=%zz", "c=a+b", "c=x%3Dy", "c=n\ne"],
        ["a%20b=1"],
        ["a=b=c"],
        ["y=1", "."],
        ["y=1/m=2", "m=3/y=4"],
        ["y=1/other/m=3"],
        ["y=1/y=2"],
        ["y= 1"],
        ["y=1_000"],
        ["y=0x10"],
        ["y=null", "y=NULL"],
        ["y=2147483647", "y=-2147483647"],
    ],
    ids=" ".join,
)
def test_folders_give_the_columns_that_pyarrow_gives(lake: Lake, folders: list[str]) -> None:
    for folder in folders:
        lake.add(folder)
    read, expected = lake.read(), lake.oracle()
    assert read.schema.equals(expected.schema) and read.equals(expected), (read, expected)


def test_integers_that_pyarrow_takes_for_texts_are_integers(lake: Lake) -> None:
    lake.add("y=1")
    lake.add("y=3000000000")
    assert lake.read().to_pydict() == {"id": [0, 1], "y": [1, 3000000000]}
    lake.add("y=99999999999999999999")
    assert lake.read()["y"].to_pylist() == ["1", "3000000000", "99999999999999999999"]


def test_a_column_of_nulls_alone_is_text(lake: Lake) -> None:
    lake.add("y=__HIVE_DEFAULT_PARTITION__")
    assert lake.read()["y"].type == pa.string() and lake.read()["y"].to_pylist() == [None]


def test_folders_that_the_sources_path_names_count_too(lake: Lake) -> None:
    lake.add("y=1/m=2")
    lake.add("y=1/m=3")
    lake.add("y=4/m=5")
    expected = {"id": [0, 1], "y": [1, 1], "m": [2, 3]}
    for path in ("lake/y=1", "lake/y=1/**", "lake/y=1/*/*.parquet", str(lake.folder / "lake/y=1")):
        assert lake.read(path).to_pydict() == expected, path
    assert lake.read("lake/y=4/m=5/2.parquet").to_pydict() == {"id": [2], "y": [4], "m": [5]}
    with pytest.raises(PlanError, match="nothing matches 'lake/\\*/m=5'"):
        lake.task("lake/*/m=5")


def test_types_can_be_given_and_columns_left_out(lake: Lake) -> None:
    lake.add("day=2024-02-29/at=2024-01-01T10:00:00/ok=true/zip=01234/f=1/n=7")
    types = ", hive: {day: date, at: timestamp, ok: bool, zip: string, f: float, n: int}"
    (row,) = lake.read("lake", types).to_pylist()
    assert row == {
        "id": 0, "day": datetime.date(2024, 2, 29), "at": datetime.datetime(2024, 1, 1, 10), "ok": True,
        "zip": "01234", "f": 1.0, "n": 7,
    }  # fmt: skip
    assert lake.read("lake", ", hive: false").column_names == ["id"]
    assert lake.read("lake", ", hive: true").num_columns == 7


@pytest.mark.parametrize(
    ("hive", "problem"),
    [
        ("{day: date}", "'day' the value 'x', which is no date32"),
        ("{dya: string}", "did you mean 'day'"),
        ("{day: decimal}", "unknown type 'decimal'"),
        ("[day]", "must be true, false or types"),
    ],
)
def test_types_that_do_not_fit_are_errors_of_the_source(lake: Lake, hive: str, problem: str) -> None:
    lake.add("day=x")
    with pytest.raises(PlanError, match=problem):
        lake.task("lake", f", hive: {hive}")


def test_a_column_of_folders_and_files_is_the_folders_in_the_files_type(lake: Lake) -> None:
    for value in (7, 8):
        lake.add(f"y={value}", pa.table({"y": pa.array([0], pa.int64()), "v": [value]}))
    assert lake.read().schema.types == [pa.int64(), pa.int64()]
    assert lake.read().to_pydict() == {"y": [7, 8], "v": [7, 8]}
    lake.add("y=x", pa.table({"y": [1], "v": [1]}))
    with pytest.raises(PlanError, match=r"'y' the value 'x', which is no int64.*turn 'hive' off"):
        lake.task()
    assert lake.read("lake", ", hive: false").to_pydict() == {"y": [0, 0, 1], "v": [7, 8, 1]}


def test_columns_of_folders_are_filtered_selected_and_kept_as_dictionaries_like_others(lake: Lake) -> None:
    for year in (2023, 2024):
        for city in ("Oslo", "Rome"):
            lake.add(f"year={year}/city={city}", pa.table({"id": [year, year + 1]}))
    assert lake.read(filter="year = 2024 and city like 'O%'").to_pydict() == {
        "id": [2024, 2025], "year": [2024] * 2, "city": ["Oslo"] * 2,
    }  # fmt: skip
    assert lake.read(columns=["city"], filter="year < 2024")["city"].to_pylist() == ["Oslo"] * 2 + ["Rome"] * 2
    assert lake.read(columns=["year"]).num_rows == 8
    for dictionary in ("[city]", "true"):
        city = lake.read("lake", f", dictionary: {dictionary}")["city"]
        assert pa.types.is_dictionary(city.type) and city.to_pylist() == (["Oslo"] * 2 + ["Rome"] * 2) * 2
    with pytest.raises(PlanError, match=r"has no column 'yaer'.*did you mean 'year'"):
        lake.task(columns=["yaer"])


def test_files_of_folders_that_a_filter_rules_out_are_not_opened(lake: Lake) -> None:
    for year in (2022, 2023, 2024):
        lake.add(f"year={year}", pa.table({"id": [year]}))
    lake.add("year=__HIVE_DEFAULT_PARTITION__")
    for filter_, years in (
        ("year = 2023 and id > 0", [2023]),
        ("year > 2022 and year < 2024", [2023]),
        ("year in (2022, 2024) and not year = 2022", [2024]),
        ("year is null", [0]),
        ("(year = 2022 or id = 2024) and id > 0", [2022, 2024]),
    ):
        task = lake.task(filter=filter_)
        opened: list[str | None] = []
        assert scan(task, 1, blame=opened.append)["id"].to_pylist() == ([3] if years == [0] else years)
        if "or" not in filter_:
            assert len({file for file in opened if file}) == 1, filter_


def test_folders_of_a_writer_that_underscores_its_columns_are_no_leftovers(lake: Lake) -> None:
    lake.add("_day=1")
    lake.add("_temporary/0")
    lake.add(".hidden")
    assert lake.read().to_pydict() == {"id": [0], "_day": [1]}


def test_no_warning_is_left(shop: Shop) -> None:
    (shop.folder / "sales" / "y=1").mkdir(parents=True)
    (shop.folder / "sales.parquet").rename(shop.folder / "sales/y=1/a.parquet")
    shop.write({"zerrow_project.yml": "sources: {sales: sales}\n", "q.sql": "select y from sales"})
    assert shop.plan()["warnings"] == []

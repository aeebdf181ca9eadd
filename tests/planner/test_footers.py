"""Footers are bytes that anybody may have written: each one ends in a plan, or in one error that names its file."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop_project import Shop
from zerrow.plan import footer_reader
from zerrow.worker import footer
from zerrow.worker.tasks import execute

INT32_CHUNK, BOOL_CHUNK = b"\x15\x02\x19", b"\x15\x00\x19"
"""How Thrift begins what a footer says of a column chunk of the type."""


@pytest.fixture
def sources(shop: Shop) -> Shop:
    """A project that reads both of its sources."""
    return shop.write({"q.sql": "select id from sales", "r.sql": "select city from shops"})


def error_of(shop: Shop, file: str) -> str:
    """The one error, which is that of a file."""
    (error,) = shop.errors()
    assert (error["code"], error["file"]) == ("source-unreadable", "zerrow_project.yml")
    assert str(shop.folder / file) in error["message"]
    return error["message"]


def with_footer(content: bytes) -> bytes:
    return b"PAR1" + content + struct.pack("<I", len(content)) + b"PAR1"


def ends_its_reader(path: Path) -> None:
    """Write a file over whose statistics pyarrow aborts."""
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32())}), path)
    content = path.read_bytes()
    assert content.count(INT32_CHUNK) == 1
    path.write_bytes(content.replace(INT32_CHUNK, BOOL_CHUNK))


def test_a_footer_that_ends_its_reader_is_an_error_of_its_file_alone(sources: Shop) -> None:
    ends_its_reader(sources.folder / "sales.parquet")
    assert "ends the reader (SIGABRT)" in error_of(sources, "sales.parquet")


def test_bad_files_are_all_told_up_to_some_number(sources: Shop) -> None:
    (sources.folder / "many").mkdir()
    for number in range(30):
        path = sources.folder / f"many/{number:02}.parquet"
        if number % 3 == 0:
            ends_its_reader(path)
        elif number % 3 == 1:
            path.write_bytes(b"no Parquet file")
        else:
            pq.write_table(pa.table({"id": [number]}), path)
    sources.write({"zerrow_project.yml": "sources: {sales: many, shops: shops.parquet}\n"})
    errors = [error["message"] for error in sources.errors()]
    assert len(errors) == 10
    assert all(f"many/{number:02}.parquet" in error for number, error in zip((0, 1, 3, 4), errors, strict=False))


def test_a_footer_that_never_ends_is_given_up(sources: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Any, content: bytes, read_dictionary: Any = ()) -> None:
        while b"city" not in content:
            pass
        raise ValueError("no city")

    monkeypatch.setattr(footer.Footer, "__init__", read)
    monkeypatch.setattr(footer_reader, "_PROCESSOR_SECONDS_MAX", 0.2)
    texts = [error["message"] for error in sources.errors()]
    assert "took more than 0.2 s" in texts[0] and "sales.parquet" in texts[0] and "no city" in texts[1]


def test_a_footer_that_claims_more_than_there_can_be_takes_no_memory(sources: Shop) -> None:
    for claim in (b"\x19\xfc\xff\xff\xff\xff\x07", b"\x15\x02\x19\x2c\x48\xff\xff\xff\xff\x07"):
        (sources.folder / "sales.parquet").write_bytes(with_footer(b"\x15\x02" + claim + bytes(1000)))
        error_of(sources, "sales.parquet")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n3,4\n", "it doesn't end as Parquet files do"),
        (b"PAR1", "it doesn't end as Parquet files do"),
        (b"PAR1" + struct.pack("<I", 5000) + b"PAR1", "says that its footer has 5000 bytes, more than the file"),
        (b"PAR1" + struct.pack("<I", 0xFFFFFFFF) + b"PAR1", "more than the file"),
        (b"PAR1" + bytes(100) + struct.pack("<I", 100) + b"PARE", "its footer is encrypted"),
        (with_footer(b"\xff" * 100), "thrift"),
    ],
)
def test_what_is_no_parquet_file_is_told_so(sources: Shop, content: bytes, problem: str) -> None:
    (sources.folder / "sales.parquet").write_bytes(content)
    assert problem in error_of(sources, "sales.parquet")


def test_a_footer_longer_than_any_is_not_read(sources: Shop) -> None:
    with (sources.folder / "sales.parquet").open("wb") as file:
        file.truncate(700 << 20)
        file.seek(0, 2)
        file.write(struct.pack("<I", 600 << 20) + b"PAR1")
    assert "its footer has 629145600 bytes" in error_of(sources, "sales.parquet")


def test_a_footer_is_as_long_as_the_message_says(sources: Shop) -> None:
    for length in ((512 << 20) + 1, 0xFFFFFFFF):
        with (sources.folder / "sales.parquet").open("wb") as file:
            file.truncate(8 << 40)
            file.seek(0, 2)
            file.write(struct.pack("<I", length) + b"PAR1")
        assert f"says that its footer has {length} bytes, and none over 536870912 is read" in error_of(
            sources, "sales.parquet"
        )


def test_column_names_that_are_no_text_are_an_error_of_the_file(sources: Shop) -> None:
    path = sources.folder / "sales.parquet"
    pq.write_table(pa.table({"id": [1], "naame": [2]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"naame", b"na\xff\xfee"))
    assert "no UTF-8 text" in error_of(sources, "sales.parquet")


def test_numbers_that_lie_are_planned_for_within_reason(sources: Shop) -> None:
    path = sources.folder / "sales.parquet"
    pq.write_table(pa.table({"id": pa.array([1, 2, 3], pa.int64())}), path, compression="none", use_dictionary=False)
    content = path.read_bytes()
    for values in (b"\x16\xff\xff\xff\xff\xff\xff\xff\x7f\x16", b"\x16\x05\x16"):
        path.write_bytes(content)
        assert content.count(b"\x16\x06\x16") > 0
        changed = content[:-8].replace(b"\x16\x06\x16", values)
        length = int.from_bytes(content[-8:-4], "little") + len(changed) - len(content) + 8
        path.write_bytes(changed + struct.pack("<I", length) + b"PAR1")
        for model in sources.plan()["models"]:
            if model["kind"] == "scan":
                assert 0 <= model["expected_bytes"] <= 1 << 50


def test_a_source_that_no_model_reads_may_be_any_bytes(shop: Shop) -> None:
    ends_its_reader(shop.folder / "shops.parquet")
    shop.write({"q.sql": "select id from sales"})
    assert [model["name"] for model in shop.plan()["models"]] == ["sales", "q"]


@pytest.mark.parametrize("kind", [pa.null(), pa.list_(pa.null()), pa.struct([("n", pa.null())]), pa.uuid()], ids=str)
def test_columns_without_a_value_are_read(sources: Shop, kind: pa.DataType) -> None:
    table = pa.table({"id": [1, 2], "n": pa.nulls(2, kind)})
    pq.write_table(table, sources.folder / "sales.parquet")
    scan = sources.model("sales")
    assert execute({**scan["task"], "columns": None}, {}).equals(table) and scan["expected_bytes"] > 0


def test_ten_thousand_columns_are_planned(sources: Shop) -> None:
    table = pa.table({f"c{number}": [number] for number in range(10_000)} | {"id": [1]})
    pq.write_table(table, sources.folder / "sales.parquet")
    assert sources.model("sales")["task"]["columns"] == ["id"]


def test_types_that_do_not_fit_name_the_column_and_both_files(sources: Shop) -> None:
    (sources.folder / "two").mkdir()
    pq.write_table(pa.table({"id": [1], "x": [1]}), sources.folder / "two/a.parquet")
    pq.write_table(pa.table({"id": [1], "x": ["1"]}), sources.folder / "two/b.parquet")
    sources.write({"zerrow_project.yml": "sources: {sales: two, shops: shops.parquet}\n"})
    (error,) = sources.errors()
    assert error["code"] == "column-types"
    assert f"'x' is string in {sources.folder}/two/b.parquet, which does not fit int64 in" in error["message"]
    assert f"{sources.folder}/two/a.parquet" in error["message"]


def test_the_reader_of_footers_does_not_outlive_the_planner(shop: Shop) -> None:
    script = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).resolve().parents[2] / "python")!r})
from zerrow.plan.footer_reader import FooterReader
reader = FooterReader()
reader.start()
print(reader._child.pid, flush=True)
time.sleep(60)
"""
    planner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    reader = int(planner.stdout.readline())
    planner.kill()
    planner.wait()
    end = time.monotonic() + 20
    while lives(reader):
        assert time.monotonic() < end
        time.sleep(0.02)


def lives(process: int) -> bool:
    """Whether a process has not ended, though nobody may have been told yet."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False

"""The files that a source's path means, whatever their names are and wherever links lead."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from shop_project import Shop
from zerrow.plan.source_files import UnreadableSource, find_files, shown


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def add(path: Path, value: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"a": [value]}), path)
    return os.path.realpath(path)


def found(folder: Path, path: str) -> list[str]:
    return [file.path for file in find_files(path, str(folder))]


@pytest.mark.parametrize(
    "name", ["a b", "a\nb", "é", "[2024]", "a*b", "what?", "x:y", "'\"", "\\", "$(x)", "a=b", "-x", "#"]
)
def test_names_have_any_characters(tmp_path: Path, name: str) -> None:
    project = tmp_path / name
    file = add(project / name / f"{name}.parquet")
    for path in (
        name,
        f"{name}/{name}.parquet",
        f"{name}/*.parquet",
        "*/*.parquet",
        "**/*.parquet",
        str(project / name),
    ):
        assert found(project, path) == [file], path


def test_what_is_there_by_its_name_is_no_pattern(data: Path) -> None:
    odd, two = add(data / "[2]/a.parquet"), add(data / "2/a.parquet")
    assert found(data, "[2]") == found(data, "[2]/*.parquet") == found(data, "[2]/a.parquet") == [odd]
    shutil.rmtree(data / "[2]")
    assert found(data, "[2]/*.parquet") == [two]


def test_patterns(data: Path) -> None:
    files = {name: add(data / f"{name}.parquet") for name in ("a", "b1", "x/c", "x/y/d", ".hidden", "x/.z/e")}
    cases = {
        "*.parquet": ["a", "b1"],
        "b[0-9].parquet": ["b1"],
        "b[!0-9].parquet": [],
        "?.parquet": ["a"],
        "*/*.parquet": ["x/c"],
        "**/*.parquet": ["a", "b1", "x/c", "x/y/d"],
        "x/**": ["x/c", "x/y/d"],
        "**/y/*.parquet": ["x/y/d"],
        "./x/../x/*.parquet": ["x/c"],
        ".*.parquet": [".hidden"],
        "*": ["a", "b1"],
        "nothing/*.parquet": [],
        "a.parquet/*.parquet": [],
    }
    for pattern, names in cases.items():
        assert found(data, pattern) == [files[name] for name in names], pattern
        assert found(data / "..", f"project/{pattern}") == [files[name] for name in names], pattern


def test_a_folder_of_files_and_folders_is_what_pyarrow_finds(data: Path) -> None:
    for number, name in enumerate(
        ("a", "a-b/c", "a/b", "a.d/e", "B/f", "z/x.parquet/g", "é/h", "\U0001f600/i", "\uffee/j")
    ):
        add(data / "t" / f"{name}.parquet", number)
    (data / "t/notes.txt").write_text("no table")
    (data / "t/notes.txt").unlink()
    read = [pq.read_table(file)["a"][0].as_py() for file in found(data, "t")]
    assert read == ds.dataset(data / "t").to_table()["a"].to_pylist()


def test_a_folder_has_the_files_of_all_writers_whatever_the_case(data: Path) -> None:
    files = [add(data / "t" / name) for name in ("a.PARQUET", "b.parquet", "c.Parq", "d.pq", "e.snappy.parquet")]
    assert found(data, "t") == files


def test_leftovers_of_writers_are_no_data(data: Path) -> None:
    file = add(data / "t/a.parquet")
    for name in ("_metadata", "_temporary/x.parquet", ".a.parquet.crc", "_a.parquet", ".b/x.parquet", "_SUCCESS"):
        add(data / "t" / name)
    (data / "t/dir.parquet").mkdir()
    assert found(data, "t") == [file]


def test_links_to_files_and_folders_are_followed_and_loops_are_not(data: Path, tmp_path: Path) -> None:
    inner, outer = add(data / "t/x/a.parquet", 1), add(tmp_path / "elsewhere/b.parquet", 2)
    (data / "t/link.parquet").symlink_to(outer)
    (data / "t/folder").symlink_to(tmp_path / "elsewhere")
    expected = ds.dataset(data / "t").to_table()["a"].to_pylist()
    (data / "t/x/up").symlink_to("..")
    (data / "t/x/self").symlink_to(".")
    (data / "t/circle").symlink_to("circle")
    for path in ("t", "t/**/*.parquet"):
        assert found(data, path) == [outer, outer, inner], path
    assert expected == [2, 2, 1]
    (data / "whole").symlink_to("t")
    assert found(data, "whole") == [outer, outer, inner]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
        (lambda path: path.symlink_to(path.name), "can't be read: Too many levels"),
        (lambda path: os.mkfifo(path), "is no regular file"),
        (lambda path: path.symlink_to("/dev/null"), "is no regular file"),
        (lambda path: os.open(os.fsencode(path) + b"\xff.parquet", os.O_CREAT), "is no UTF-8 text: rename it"),
    ],
)
def test_what_cannot_be_read_is_named(data: Path, make: Callable[[Path], Any], problem: str) -> None:
    add(data / "t/a.parquet")
    make(data / "t/z.parquet")
    with pytest.raises(UnreadableSource, match=f"t/z.parquet.*{problem}"):
        find_files("t", str(data))


def test_a_folder_without_permission_is_an_error_and_not_fewer_rows(data: Path) -> None:
    add(data / "t/a.parquet")
    add(data / "t/locked/b.parquet")
    (data / "t/locked").chmod(0)
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            for parent in data.parents:
                if parent not in (Path("/"), Path("/tmp")):
                    parent.chmod(0o755)
            os.setuid(65534)
        told = 0
        for path in ("t", "t/**/*.parquet", "t/*/*.parquet"):
            try:
                find_files(path, str(data))
            except UnreadableSource as error:
                told += "t/locked can't be read: Permission denied" in str(error)
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
    (data / "t/locked").chmod(0o755)


def test_a_path_in_a_message_is_one_line_of_text() -> None:
    assert shown("/a\nb\x1b\udcff") == "/a\\nb\\x1b\\xff"


def test_names_that_are_no_text_are_errors_in_json(shop: Shop) -> None:
    (shop.folder / "sales").mkdir()
    os.rename(shop.folder / "sales.parquet", os.fsencode(shop.folder / "sales") + b"/\xfe.parquet")
    shop.write({"zerrow_project.yml": "sources: {sales: sales}\n", "q.sql": "select id from sales"})
    (error,) = shop.errors()
    assert error["code"] == "source-unreadable" and "/sales/\\xfe.parquet" in error["message"]


def test_names_of_models_files_that_are_no_text_are_errors_in_json(shop: Shop) -> None:
    (Path(os.fsdecode(os.fsencode(shop.folder) + b"/\xfe.sql"))).write_text("select id from sales")
    for error in shop.errors():
        json.dumps(error, ensure_ascii=False).encode()


def test_thousands_of_folders_are_searched(data: Path) -> None:
    for number in range(3000):
        add(data / f"t/day={number}/x.parquet") if number < 5 else (data / f"t/day={number}").mkdir(parents=True)
    assert len(found(data, "t")) == len(found(data, "t/*/*.parquet")) == 5

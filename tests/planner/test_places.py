"""Where sources lie: what a scan must see, and what is hidden from models, in lists that stay short."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from zerrow.plan.places import hidden


def make(folder: Path, *names: str) -> list[str]:
    """Makes empty files; the paths of those that are Parquet files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [f"{folder}/{name}" for name in names if name.endswith(".parquet")]


def seen(folder: Path, found: dict[str, Any]) -> set[str]:
    """The files of a folder that can be seen where so much is hidden."""
    covered, rebuilt = set(found["covered"]), {each["folder"]: set(each["shown"]) for each in found["rebuilt"]}
    files = set()
    for root, folders, names in os.walk(folder):
        shown = rebuilt.get(root)
        paths = {f"{root}/{name}" for name in [*folders, *names]}
        visible = {path for path in paths if path not in covered and (shown is None or path in shown)}
        folders[:] = [name for name in folders if f"{root}/{name}" in visible]
        files |= {os.path.relpath(path, folder) for path in visible if not os.path.isdir(path)}
    return files


OWN = ("zerrow_project.yml", "models.py", "package/code.py", ".secret", "notes/text.csv")


def test_a_folder_of_nothing_but_sources_is_covered_as_a_whole(tmp_path: Path) -> None:
    files = make(tmp_path, "data/a.parquet", "data/_SUCCESS", "data/b/.a.crc", "data/b/x=1/b.parquet", *OWN)
    found = hidden(str(tmp_path), files).as_json()
    assert found == {"covered": [f"{tmp_path}/data"], "rebuilt": []}
    assert seen(tmp_path, found) == set(OWN)


def test_what_lies_beside_sources_stays_visible(tmp_path: Path) -> None:
    beside = ("data/README.md", "package/deep/more.py", "data/c/__init__.py")
    sources = ("a.parquet", "package/a.parquet", "data/a.parquet", "data/b/b.parquet", "data/c/d/d.parquet")
    found = hidden(str(tmp_path), make(tmp_path, *sources, *beside, *OWN)).as_json()
    assert found["covered"] == [
        f"{tmp_path}/{name}" for name in ("a.parquet", "data/a.parquet", "data/b", "data/c/d", "package/a.parquet")
    ]
    assert seen(tmp_path, found) == {*OWN, *beside}


@pytest.mark.parametrize("stray", [(), ("data/README.md",), ("data/day=3/hour=7/notes.txt", "data/empty/.keep")])
def test_thousands_of_folders_take_a_few_places(tmp_path: Path, stray: tuple[str, ...]) -> None:
    names = [f"data/day={n // 24}/hour={n % 24}/part.parquet" for n in range(2400)]
    files = make(tmp_path, *names, *stray, *OWN)
    found = hidden(str(tmp_path), files).as_json()
    assert len(found["covered"]) + sum(1 + len(each["shown"]) for each in found["rebuilt"]) < 80
    assert seen(tmp_path, found) - {"data/empty/.keep"} == {*OWN, *stray} - {"data/empty/.keep"}


def test_sources_beside_the_models_in_thousands_take_a_few_places_too(tmp_path: Path) -> None:
    found = hidden(str(tmp_path), make(tmp_path, *(f"{n}.parquet" for n in range(1000)), *OWN)).as_json()
    assert found["covered"] == [] and len(found["rebuilt"]) == 1
    assert seen(tmp_path, found) == set(OWN)


def test_a_folder_that_is_gone_hides_nothing(tmp_path: Path) -> None:
    make(tmp_path, *OWN)
    found = hidden(str(tmp_path), [f"{tmp_path}/data/gone/a.parquet"]).as_json()
    assert seen(tmp_path, found) == set(OWN)


def test_a_source_whose_name_is_no_text_is_an_error_that_names_it(shop: Any) -> None:
    (shop.folder / "data").mkdir()
    os.link(shop.folder / "sales.parquet", os.fsencode(shop.folder / "data") + b"/\xff.parquet")
    shop.write({"zerrow_project.yml": "sources: {sales: data}\n", "q.sql": "select id from sales"})
    (error,) = shop.errors()
    assert error["code"] == "source-unreadable" and r"data/\xff.parquet is no UTF-8 text" in error["message"]

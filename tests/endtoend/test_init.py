"""`zerrow init` writes a project that runs, and changes nothing that is there."""

import subprocess
from pathlib import Path

import duckdb
import pyarrow.ipc as ipc
import pytest
from command import Caller, open_to_others

FILES = {"zerrow_project.yml", "models.py", "revenue.sql", "make_data.py", ".gitignore"}


def call(caller: Caller, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """One call of the command."""
    environment = {"PATH": "/usr/bin:/bin", "ZERROW_HISTORY": "", "HOME": "/nowhere", **caller.environment}
    return subprocess.run(
        [*caller.words, *words], capture_output=True, text=True, timeout=120, cwd=cwd, env=environment
    )


@pytest.fixture
def folder(ordinary: Caller, tmp_path: Path) -> Path:
    """A folder that everybody may write to."""
    open_to_others(tmp_path)
    made = tmp_path / "work"
    made.mkdir()
    made.chmod(0o777)
    return made


def test_what_it_writes_runs_and_gives_what_another_engine_gives(ordinary: Caller, folder: Path):
    made = call(ordinary, "init", "my-shop", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert {line.removeprefix("my-shop/") for line in made.stdout.split()} == FILES
    assert {path.name for path in (folder / "my-shop").iterdir()} == FILES
    run = call(
        ordinary, "run", "-p", "my-shop", "--format", "arrow", "--export", "out", "--param", "price_min=10", cwd=folder
    )
    assert run.returncode == 0, run.stderr
    with ipc.open_stream(folder / "out" / "revenue.arrows") as stream:
        got = stream.read_all()
    orders = f"'{folder}/my-shop/data/orders.parquet'"
    wanted = duckdb.sql(
        f"select customer, count(*), round(sum(quantity * price), 2) from {orders} where price >= 10 group by 1"
    ).fetchall()
    rows = zip(*(got[name].to_pylist() for name in ("customer", "orders", "revenue")), strict=True)
    assert sorted((customer, orders, round(revenue, 2)) for customer, orders, revenue in rows) == sorted(wanted)
    assert len(wanted) == 100


def test_a_folder_that_is_there_keeps_its_files_and_its_name(ordinary: Caller, folder: Path):
    (folder / "notes.txt").write_text("mine")
    made = call(ordinary, "init", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert (folder / "notes.txt").read_text() == "mine"
    assert "name: work\n" in (folder / "zerrow_project.yml").read_text()


@pytest.mark.parametrize("name", [*sorted(FILES), "bauplan_project.yml"])
def test_a_file_that_is_there_is_never_changed(ordinary: Caller, folder: Path, name: str):
    (folder / name).write_text("mine")
    made = call(ordinary, "init", ".", cwd=folder)
    assert made.returncode == 1
    assert name in made.stderr
    assert "nothing was written" in made.stderr
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "mine"


def test_a_link_that_is_there_is_not_followed(ordinary: Caller, folder: Path, tmp_path: Path):
    (folder / "models.py").symlink_to(tmp_path / "elsewhere.py")
    assert call(ordinary, "init", cwd=folder).returncode == 1
    assert not (tmp_path / "elsewhere.py").exists()


@pytest.mark.parametrize("path", ["no/such/folder", "file"])
def test_what_can_not_be_a_folder_is_named(ordinary: Caller, folder: Path, path: str):
    (folder / "file").write_text("mine")
    made = call(ordinary, "init", path, cwd=folder)
    assert made.returncode == 1
    assert path in made.stderr

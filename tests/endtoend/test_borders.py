"""What a model sees: its project, without what is not for models; of the host's other files none, network or not."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Project, open_to_others

LOOKS = """
    import json, os, zerrow
    from _version import VERSION

    def outcome(path):
        try:
            if os.path.isdir(path):
                return sorted(os.listdir(path))
            with open(path, "rb") as file:
                return file.read(100).decode(errors="replace")
        except OSError as error:
            return type(error).__name__

    FILES = {files!r}

    @zerrow.model(internet_access={network})
    def looks(t=zerrow.Model("sales")):
        found = {{file: outcome(file) for file in FILES}}
        found["VERSION"] = VERSION
        return {{"found": [json.dumps(found)]}}
"""


def looked(project: Project, tmp_path: Path, *arguments: str, network: bool = False, files: list[str]) -> dict:
    """What a model of the project found at some paths."""
    project.write("models.py", LOOKS.format(files=files, network=network))
    out = tmp_path / "found"
    out.mkdir(exist_ok=True)
    out.chmod(0o777)
    result = project.run("--format", "arrow", "--export", str(out), *arguments)
    assert result.code == 0, result.err
    return json.loads(pa.ipc.open_stream(out / "looks.arrows").read_all()["found"][0].as_py())


@pytest.fixture
def home(any_project: Project, tmp_path: Path) -> Path:
    """A home folder with keys and another project beside the project, whose one source is beside it too."""
    home = any_project.folder.parent
    for name in (".ssh/id", "other/models.py", "other.parquet", "notes.txt"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("secret")
    pq.write_table(pa.table({"a": [1, 2, 3]}), home / "sales.parquet")
    any_project.write("zerrow_project.yml", "project: {name: borders}\nsources: {sales: ../sales.parquet}\n")
    any_project.write("_version.py", "VERSION = '1.2'\n")
    open_to_others(home)
    return home


@pytest.mark.parametrize("network", [False, True])
def test_a_source_shows_nothing_of_the_folder_it_is_in(any_project, home, tmp_path, network):
    names = ("sales.parquet", ".ssh/id", ".ssh", "other/models.py", "other.parquet", "notes.txt")
    found = looked(any_project, tmp_path, network=network, files=[*(str(home / name) for name in names), str(home)])
    assert found.pop(str(home)) == [any_project.folder.name]
    assert found.pop("VERSION") == "1.2"
    assert set(found.values()) == {"FileNotFoundError"}


def test_what_git_ignores_is_hidden_but_for_the_code_that_is_imported(any_project, home, tmp_path):
    any_project.write(".gitignore", "_version.py\n.env\nlocal/\n*.key\n!public.key\n")
    any_project.write("package/.gitignore", "rates.csv\n")
    hidden = [".env", "local/a.csv", "local/deep/b", "a.key", "package/b.key", "package/rates.csv", ".git/config"]
    shown = ["public.key", "package/public.key", "package/code.csv", "rates.csv"]
    for name in (*hidden, *shown):
        any_project.write(name, name)
    found = looked(any_project, tmp_path, files=[*hidden, *shown, "_version.py"])
    assert found["VERSION"] == "1.2"
    assert {name: found[name] for name in shown} == {name: name for name in shown}
    assert {found[name] for name in (*hidden, "_version.py")} <= {"FileNotFoundError", "PermissionError"}


def test_a_repository_above_says_what_is_ignored_too(any_project, home, tmp_path):
    (home / ".git" / "info").mkdir(parents=True)
    (home / ".git" / "info" / "exclude").write_text("mine.txt\n")
    (home / ".gitignore").write_text("*.secret\n")
    open_to_others(home / ".git" / "info")
    for name in ("a.secret", "mine.txt", "yours.txt"):
        any_project.write(name, name)
    found = looked(any_project, tmp_path, files=["a.secret", "mine.txt", "yours.txt"])
    assert "a.secret" not in found["a.secret"] and "mine.txt" not in found["mine.txt"]
    assert found["yours.txt"] == "yours.txt"


def test_a_project_shows_what_it_names_of_what_git_ignores(any_project, home, tmp_path):
    any_project.write(".gitignore", "local/\n.env\n*.csv\n")
    text = "project: {name: b}\nsources: {sales: ../sales.parquet}\nshow: [local/deep/b.csv, .env, .git]\n"
    any_project.write("zerrow_project.yml", text)
    for name in ("local/deep/b.csv", "local/deep/c", ".env", "d.csv", ".git/config"):
        any_project.write(name, name)
    found = looked(any_project, tmp_path, files=["local/deep/b.csv", "local/deep/c", ".env", "d.csv", ".git/config"])
    assert found["local/deep/b.csv"] == "local/deep/b.csv" and found[".env"] == ".env"
    assert {found[name] for name in ("local/deep/c", "d.csv", ".git/config")} <= {
        "FileNotFoundError",
        "PermissionError",
    }


def test_the_error_over_a_hidden_file_says_that_it_is_hidden(project):
    project.write(".gitignore", "*.csv\n")
    project.write("rates.csv", "a\n1\n")
    for code in ("open('rates.csv')", "__import__('pandas').read_csv('rates.csv')", "pl.read_csv('rates.csv')"):
        project.write(
            "models.py",
            f"""
            import polars as pl, zerrow
            @zerrow.model()
            def m(t=zerrow.Model("numbers")):
                return {code}
            """,
        )
        result = project.run()
        assert result.code == 1
        assert "rates.csv is hidden from models" in result.err and "'show:'" in result.err, (code, result.err)


def test_tables_that_runs_have_written_are_nobodys_to_read(any_project, home, tmp_path):
    folder = any_project.folder
    for name in ("cache", "out"):
        (folder / name).mkdir(mode=0o700)
        if any_project.caller.uid:
            os.chown(folder / name, any_project.caller.uid, -1)
    any_project.write("salaries.sql", "select a as salary from sales")
    arguments = ("--cache-dir", str(folder / "cache"), "--format", "arrow", "--export", str(folder / "out"))
    assert any_project.run(*arguments).code == 0
    names = [f"{each.parent.name}/{each.name}" for name in ("cache", "out") for each in (folder / name).iterdir()]
    assert "out/salaries.arrows" in names and any(name.startswith("cache/") for name in names)
    for more in ((), ("--cache-dir", str(folder / "cache"))):
        found = looked(any_project, tmp_path, *more, files=names)
        found.pop("VERSION")
        assert set(found.values()) <= {"FileNotFoundError", "PermissionError"}, found


def test_the_projects_own_folder_is_no_place_for_results(project):
    project.write("q.sql", "select a from numbers")
    result = project.run("--format", "arrow", "--export", str(project.folder))
    assert result.code == 1 and "project's folder itself" in result.err, result.err


def test_a_model_reaches_no_socket_and_no_fifo_of_its_project(any_project, home, tmp_path):
    folder = any_project.folder
    os.mkfifo(folder / "fifo")
    (folder / "fifo").chmod(0o666)
    reading = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # a name may have 107 bytes
        server.bind("socket")
        os.chdir("/")
        (folder / "socket").chmod(0o777)
        server.listen()
        server.settimeout(0.1)
        any_project.write(
            "models.py",
            """
            import os, socket, zerrow

            @zerrow.model()
            def talks(t=zerrow.Model("sales")):
                said = []
                for action in (lambda: socket.socket(socket.AF_UNIX).connect("socket"),
                               lambda: os.write(os.open("fifo", os.O_WRONLY | os.O_NONBLOCK), b"x")):
                    try:
                        said.append(str(action()))
                    except OSError as error:
                        said.append(type(error).__name__)
                return {"said": said}
            """,
        )
        assert any_project.run().code == 0
        with pytest.raises(TimeoutError):
            server.accept()
    assert os.read(reading, 10) == b""
    os.close(reading)


def test_a_source_of_thousands_of_files_beside_others_is_read_by_its_files_alone(project, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    pq.write_table(pa.table({"a": [1]}), lake / "first.parquet")
    for number in range(3_000):
        os.link(lake / "first.parquet", lake / f"mine-{number:05}.parquet")
        os.link(lake / "first.parquet", lake / f"other-{number:05}.parquet")
    project.write("zerrow_project.yml", f"project: {{name: many}}\nsources: {{t: '{lake}/mine-*.parquet'}}\n")
    project.write("q.sql", "select count(*) as n from t")
    result = project.run()
    assert result.code == 0, result.err
    assert result.model("t")["output"]["rows"] == 3_000

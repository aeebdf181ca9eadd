"""Projects and sources in every place and under every name, and what of them models can see."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import HOME, Project, make_project, open_to_others

ODD = "odd: a,b c\n'\"\\%*?[🦀"
"""Characters that separate, quote or match somewhere."""

LOOKS = """
    import os
    import pyarrow as pa
    import zerrow
    from package.code import NAME

    FILES = {files!r}

    def outcome(path):
        try:
            with open(path, "rb") as file:
                return f"{{len(file.read())}} bytes"
        except OSError as error:
            return type(error).__name__

    @zerrow.model()
    def looks({arguments}):
        return pa.table({{"file": FILES, "outcome": [outcome(path) for path in FILES], "code": [NAME] * len(FILES)}})
"""


def put(path: Path, rows: int) -> str:
    """Write a Parquet file of `rows` rows where it is to lie; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"n": list(range(rows))}), path)
    return str(path)


def exported(project: Project, tmp_path: Path) -> dict[str, list[dict]]:
    """The rows of each table of a run that nobody reads."""
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    result = project.run("--format", "arrow", "--export", str(out))
    assert result.code == 0, result.err
    return {file.stem: pa.ipc.open_stream(file).read_all().to_pylist() for file in out.iterdir()}


def visible(tables: dict[str, list[dict]]) -> list[str]:
    """What the model `looks` could read."""
    return [row["file"] for row in tables["looks"] if row["outcome"].endswith("bytes")]


@pytest.fixture
def odd_project(any_project: Project, tmp_path: Path) -> Project:
    """A project for each kind of user in a folder with an odd name, in one that it does not have for itself."""
    odd = tmp_path / ODD
    odd.mkdir()
    made = make_project(odd)
    made.caller = any_project.caller
    return made


@pytest.fixture
def in_tmp():
    """A source in /tmp itself."""
    path = Path(f"/tmp/zerrow-layouts-{os.getpid()}.parquet")
    yield path
    path.unlink()


def test_sources_lie_anywhere_and_only_scans_see_them(odd_project: Project, tmp_path: Path, in_tmp: Path) -> None:
    project, folder, outside = odd_project, odd_project.folder, tmp_path / "outside"
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    places = {
        "beside_models": [folder / "beside.parquet"],
        "beside_code": [folder / "package" / "rates.parquet"],
        "folder": [folder / "data" / "orders" / "1.parquet", folder / "data" / "orders" / "raw" / "2.parquet"],
        "in_that_folder": [folder / "data" / "orders" / "raw" / "2.parquet"],
        "file_beside_it": [folder / "data" / "cities.parquet"],
        "odd_names": [folder / "data" / "odd" / name / f"{ODD}.parquet" for name in (ODD, *forms, "a b", "x=1:2")],
        "above": [folder.parent / "above.parquet"],
        "outside": [outside / "table" / f"day={ODD}{number}" / "part.parquet" for number in range(20)],
        "matched": [folder / "data" / f"matched{number}" / "part.parquet" for number in range(2)],
        "two_names": [outside / forms[0] / "1.parquet", outside / forms[1] / "2.parquet"],
        "in_tmp": [in_tmp],
        "linked": [tmp_path / "linked" / "real.parquet"],
    }
    for number, file in enumerate({file for files in places.values() for file in files}):
        put(file, number + 1)
    rows = {name: [pq.read_metadata(file).num_rows for file in files] for name, files in places.items()}
    (folder / "data" / "link").symlink_to(tmp_path / "linked")
    paths = {name: str(files[0]) for name, files in places.items()} | {
        "folder": "data/orders", "odd_names": "data/odd", "outside": str(outside / "table"),
        "two_names": f"{pattern(outside)}/caf*/*", "matched": "data/matched*/part.parquet", "linked": "data/link",
    }  # fmt: skip
    open_to_others(tmp_path / "linked")
    seen = ["package/code.py", "package/notes.csv", "data/notes.csv"]
    for name in seen[1:]:
        (folder / name).write_text("own")
    project.write("package/code.py", "NAME = 'own'\n")
    (folder.parent / "secret").write_text("another's")
    hidden = [*{str(file) for files in places.values() for file in files}, str(folder.parent / "secret")]
    sources = "".join(f"  {name}: {quoted(path)}\n" for name, path in paths.items())
    project.write("zerrow_project.yml", "project: {name: layouts}\nsources:\n" + sources)
    arguments = ", ".join(f"{name}=zerrow.Model('{name}')" for name in paths)
    project.write("models.py", LOOKS.format(arguments=arguments, files=seen + hidden))
    for name in paths:
        project.write(f"{name}_rows.sql", f"select count(*) as n from {name}")
    tables = exported(project, tmp_path)
    assert {name: tables[f"{name}_rows"][0]["n"] for name in paths} == {name: sum(rows[name]) for name in paths}
    assert visible(tables) == seen
    assert {row["code"] for row in tables["looks"]} == {"own"}


def pattern(path: Path) -> str:
    """A pattern that matches the path and no other."""
    return glob.escape(str(path))


def quoted(path: str) -> str:
    """A path as YAML has it."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def test_a_source_may_be_the_projects_folder(any_project: Project, tmp_path: Path) -> None:
    folder = any_project.folder
    files = [put(folder / "1.parquet", 1), put(folder / "deep" / "2.parquet", 2), f"{folder}/data/numbers.parquet"]
    any_project.write("package/code.py", "NAME = 'own'\n")
    any_project.write("zerrow_project.yml", "project: {name: whole}\nsources: {all_of_it: .}\n")
    any_project.write("models.py", LOOKS.format(arguments="t=zerrow.Model('all_of_it')", files=["models.py", *files]))
    any_project.write("rows.sql", "select count(*) as n from all_of_it")
    tables = exported(any_project, tmp_path)
    assert tables["rows"] == [{"n": 1003}]
    assert visible(tables) == ["models.py"]


def make_partitions(root: Path, count: int) -> None:
    """Hour folders below day folders, each with the same small file of 3 rows."""
    first = None
    for number in range(count):
        folder = root / f"day={number // 24:05d}" / f"hour={number % 24:02d}"
        folder.mkdir(parents=True)
        if first is None or number % 1000 == 0:
            first = put(folder / "part.parquet", 3)
        else:
            os.link(first, folder / "part.parquet")


def test_thousands_of_folders_are_read(any_project: Project, tmp_path: Path, serve) -> None:
    is_inside = any_project.caller.uid == 0
    root = (any_project.folder if is_inside else tmp_path / "lake") / "events"
    make_partitions(root, 4_800)
    (root / "README").write_text("not all of it is data")
    open_to_others(root)
    any_project.write(
        "zerrow_project.yml",
        f"project: {{name: many}}\nsources: {{events: {root}/*/*/*.parquet, numbers: data/numbers.parquet}}\n",
    )
    any_project.write("package/code.py", "NAME = 'own'\n")
    files = [f"{root}/day=00003/hour=03/part.parquet", str(any_project.folder / "data" / "numbers.parquet")]
    arguments = "e=zerrow.Model('events'), n=zerrow.Model('numbers')"
    any_project.write("models.py", LOOKS.format(arguments=arguments, files=files))
    any_project.write("rows.sql", "select count(*) as n from events")
    tables = exported(any_project, tmp_path)
    assert tables["rows"] == [{"n": 14_400}]
    assert visible(tables) == []
    server = serve(any_project.caller)
    query = [*any_project.caller.words, "query", "-p", str(any_project.folder), "select count(*) as n from events"]
    done = subprocess.run(
        query, capture_output=True, text=True, timeout=300, env=any_project.environment(server.environment)
    )
    assert done.returncode == 0 and "14400" in done.stdout.replace(",", ""), done.stderr
    assert server.says("success")


def test_folders_that_are_made_anew_are_read_by_an_engine_that_saw_the_old_ones(
    any_project: Project, tmp_path: Path, serve
) -> None:
    lake, folder = tmp_path / "lake", any_project.folder
    server = serve(any_project.caller)
    for rows in (3, 5):
        put(lake / "t.parquet", rows)
        open_to_others(lake)
        any_project.write("zerrow_project.yml", f"project: {{name: again}}\nsources: {{t: {lake}}}\n")
        any_project.write("rows.sql", f"select count(*) as n, {rows} as expected from t")
        result = any_project.run("--no-stream", env=server.environment)
        assert result.code == 0, result.err
        assert result.model("t")["output"]["rows"] == rows, result.err
        shutil.rmtree(lake)
        shutil.rmtree(folder)
        folder.mkdir()
        folder.chmod(0o755)
    assert server.says("success")


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_folder_that_goes_after_planning_fails_its_own_scan_alone(
    project: Project, tmp_path: Path, is_streamed: bool
) -> None:
    lake = tmp_path / "lake"
    put(lake / "t.parquet", 3)
    put(project.folder / "inside" / "t.parquet", 3)
    sources = f"numbers: data/numbers.parquet, outside: {lake}, inside: inside"
    project.write("zerrow_project.yml", f"project: {{name: gone}}\nsources: {{{sources}}}\n")
    for name in ("numbers", "outside", "inside"):
        project.write(f"{name}_rows.sql", f"select count(*) as n from {name}")
    arguments = ["--keep-going", "--no-serve", "--no-cache", "--output", "json"]
    readers = ("outside_rows", "inside_rows") if is_streamed else ("outside", "inside")
    arguments += [] if is_streamed else ["--no-stream"]
    # It plans once, and then runs once for each line.
    run = project.start("--again-on-line", *arguments, stdin=subprocess.PIPE)
    run.stdin.write("\n")
    run.stdin.flush()
    first = json.loads(run.stdout.readline())
    assert {model["status"] for model in first["models"]} == {"success"}
    shutil.rmtree(lake)
    shutil.rmtree(project.folder / "inside")
    out, errors = run.communicate("\n", timeout=300)
    report = json.loads(out)
    models = {model["name"]: model for model in report["models"]}
    statuses = [models[name]["status"] for name in ("numbers_rows", *readers)]
    assert statuses == ["success", "failed", "failed"], errors
    messages = {error["model"]: error["message"] for error in report["errors"]}
    assert all("does not exist" in messages[name] for name in readers), messages


def test_the_installation_may_be_anywhere(project: Project, tmp_path: Path) -> None:
    home = tmp_path / "in a, folder $HOME"
    home.symlink_to(os.environ.get("ZERROW_HOME", HOME))
    project.write(
        "models.py",
        """
        import numpy as np
        import zerrow

        @zerrow.model()
        def large(t=zerrow.Model("numbers")):
            return {"a": np.arange(1_000_000)}
        """,
    )
    result = project.run(env={"ZERROW_HOME": str(home)})
    assert result.code == 0, result.err
    assert result.model("large")["output"]["born_shared_bytes"] == 8_000_000


def test_a_name_that_is_no_text_is_an_error_that_names_it(project: Project) -> None:
    os.link(project.folder / "data" / "numbers.parquet", os.fsencode(project.folder / "data") + b"/\xff.parquet")
    project.write("zerrow_project.yml", "project: {name: bytes}\nsources: {numbers: data}\n")
    project.write("q.sql", "select a from numbers")
    result = project.run()
    assert result.code == 1 and r"\xff.parquet is no UTF-8 text" in result.out + result.err

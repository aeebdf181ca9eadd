"""What a stranger's machine and a stranger's project bring along: odd names, odd sizes, odd terminals, little room."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from command import HOME, IS_ROOT, ZERROW, Project

PASS = """
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers")):
        print("said to stdout")
        return numbers.append_column("c", numbers["a"])

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        import helper
        return helper.keep(first)
"""
HELPER = "def keep(table):\n    return table\n"


def renamed(project: Project, path: Path) -> Project:
    """The project in another place, with models that need a helper module and an SQL file."""
    project.write("models.py", PASS)
    project.write("helper.py", HELPER)
    project.write("third.sql", "select a, c from second where a < 10")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(project.folder, path)
    project.folder = path
    return project


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "ünï—côdé 项目",
        "quo\"te's",
        "comma,semicolon;",
        "-dash",
        "%s{}$HOME",
        "x" * 200,
        "new\nline",
        "12:30:00",
    ],
    ids=["space", "unicode", "quotes", "punctuation", "dash", "format", "long", "newline", "colon"],
)
def test_a_projects_folder_may_have_any_name(any_project: Project, tmp_path: Path, name: str):
    project = renamed(any_project, tmp_path / name)
    result = project.run()
    assert result.code == 0, result.err
    assert result.model("third")["output"]["rows"] == 10


def test_a_project_may_be_reached_by_a_link_and_from_inside(any_project: Project, tmp_path: Path):
    project = renamed(any_project, tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    project.folder = tmp_path / "link"
    assert project.run().code == 0
    for folder in (tmp_path / "link", tmp_path / "real"):
        done = subprocess.run(
            [*project.caller.words, "run", "--output", "json"],
            cwd=folder,
            env=project.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_data_may_lie_outside_the_project_behind_a_link(any_project: Project, tmp_path: Path):
    project = renamed(any_project, tmp_path / "project2")
    shutil.move(project.folder / "data", tmp_path / "elsewhere")
    (project.folder / "data").symlink_to(tmp_path / "elsewhere")
    assert project.run().code == 0


@pytest.mark.skipif(not IS_ROOT, reason="makes a folder in /home")
def test_a_project_may_lie_in_home(project: Project):
    home = Path("/home") / f"zerrow-test-{os.getpid()}"
    try:
        moved = renamed(project, home / "project")
        assert moved.run().code == 0
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_what_may_not_be_read_is_named(any_project: Project):
    if any_project.caller.uid == 0:
        pytest.skip("root may read everything")
    any_project.write("models.py", PASS)
    any_project.write("helper.py", HELPER)
    source = any_project.folder / "data" / "numbers.parquet"
    source.chmod(0)
    result = any_project.run()
    assert result.code == 1
    assert "numbers" in result.report["error"]["message"]
    assert "ermission" in result.report["error"]["message"]


# Sizes


def test_three_hundred_models(project: Project):
    models = "import zerrow\n\n\n@zerrow.model()\ndef m0(numbers=zerrow.Model('numbers')):\n    return numbers\n"
    for number in range(1, 300):
        models += (
            f"\n\n@zerrow.model()\ndef m{number}(before=zerrow.Model('m{(number - 1) // 2}')):\n    return before\n"
        )
    project.write("models.py", models)
    result = project.run(timeout=900)
    assert result.code == 0, result.err[-3000:]
    assert len(result.report["models"]) == 301
    assert {model["output"]["rows"] for model in result.report["models"]} == {1000}
    assert result.report["memory"]["segments_bytes_end"] == 0


def test_many_columns_many_batches_and_nothing_at_all(any_project: Project):
    any_project.write(
        "models.py",
        """
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def columns(numbers=zerrow.Model("numbers")):
        return pa.table({f"c{i}": numbers["a"] for i in range(2000)})

    @zerrow.model()
    def read_columns(columns=zerrow.Model("columns")):
        assert columns.num_columns == 2000 and columns["c1999"][7].as_py() == 7
        return columns.select(["c1", "c1999"])

    @zerrow.model()
    def batches(numbers=zerrow.Model("numbers")):
        batch = numbers.combine_chunks().to_batches()[0]
        return pa.Table.from_batches([batch.slice(i % 999, 1) for i in range(5000)])

    @zerrow.model()
    def read_batches(batches=zerrow.Model("batches")):
        assert batches["a"].num_chunks == 5000 and batches["a"][4999].as_py() == 4999 % 999
        return batches

    @zerrow.model()
    def no_rows(numbers=zerrow.Model("numbers")):
        return numbers.slice(0, 0)

    @zerrow.model()
    def no_columns(numbers=zerrow.Model("numbers")):
        return numbers.select([])

    @zerrow.model()
    def read_nothing(a=zerrow.Model("no_rows"), b=zerrow.Model("no_columns")):
        assert a.num_rows == 0 and a.num_columns == 3 and b.num_columns == 0
        return pa.table({})
    """,
    )
    result = any_project.run()
    assert result.code == 0, result.err
    assert result.model("read_columns")["output"]["reshared_bytes"] > 0
    assert result.model("read_batches")["output"]["rows"] == 5000
    assert result.model("no_rows")["output"]["rows"] == 0


# Terminals, pipes and environments


def shell(project: Project, script: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a line of bash in which $ZERROW is the command and $PROJECT the project."""
    environment = {**project.environment(), "ZERROW": str(ZERROW), "PROJECT": str(project.folder), **variables}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def passing(project: Project, tmp_path: Path) -> Project:
    return renamed(project, tmp_path / "passing")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(passing: Project, closed: str):
    done = shell(passing, f'"$ZERROW" run -p "$PROJECT" --output json {closed}')
    # A result that nobody can have is no success, as with any command.
    has_output = ">&-" not in closed.replace("2>&-", "")
    assert done.returncode == (0 if has_output else 1), done.stderr
    if has_output:
        assert json.loads(done.stdout)["status"] == "success"


def test_a_reader_that_leaves_ends_the_command_quietly(passing: Project):
    done = shell(
        passing, '"$ZERROW" run -p "$PROJECT" 2>/dev/null | head -n 1; "$ZERROW" run -p "$PROJECT" 2>&1 | head -n 1'
    )
    assert done.returncode == 0
    assert "rror" not in done.stderr


@pytest.mark.parametrize(
    "words",
    ["env -u HOME", "env TERM=dumb", "env -i PATH=/usr/bin:/bin", "env LANG=C LC_ALL=C", "env TMPDIR=/nowhere"],
)
def test_the_environment_does_not_matter(passing: Project, words: str):
    # Without the launcher, which needs the user's own PATH to build.
    binary = HOME / ".build" / "release" / "zerrow"
    home = f"ZERROW_HOME={HOME}"
    place = words if words.startswith("env") else ""
    done = shell(passing, f'{place} "{home}" "{binary}" run -p "$PROJECT" --output json')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "success"


def test_stdout_is_one_json_object_whatever_models_print(passing: Project):
    result = passing.run()
    assert result.out.count("\n") == 1
    assert json.loads(result.out)["status"] == "success"
    assert "said to stdout" in result.err


@pytest.mark.skipif(not IS_ROOT, reason="mounts a file system of its own")
def test_a_full_dev_shm_does_not_matter(passing: Project):
    fill = "mount -t tmpfs -o size=4k tmpfs /dev/shm && head -c 4096 /dev/zero > /dev/shm/full"
    call = 'exec "$ZERROW" run -p "$PROJECT" --output json'
    done = shell(passing, f"unshare --mount bash -c '{fill} && {call}'")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "success"


def test_few_descriptors_are_enough(passing: Project):
    done = shell(passing, 'ulimit -n 256; "$ZERROW" run -p "$PROJECT" --output json')
    assert done.returncode == 0, done.stderr

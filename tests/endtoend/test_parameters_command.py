"""`zerrow parameter` shows and changes what a project declares, and nothing else of its files."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from command import Project

FILE = """\
# The shop's project.
project: {name: "shop"}   # its name
sources:
  numbers: data/numbers.parquet

parameters:
  # how much
  low:
    type: int   # whole
    default: 3
    description: 'the least'

  rate: {type: float, default: 0.5}
  # the end

show: ['x']  # last
"""


def parameter(project: Project, *words: str, **options) -> subprocess.CompletedProcess:
    env = project.environment(options.pop("env", None))
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    words = ["parameter", words[0], "-p", str(project.folder), *words[1:]]
    return subprocess.run(
        [*project.caller.words, *words], capture_output=True, text=True, timeout=120, env=env, **options
    )


def listed(project: Project, env: dict | None = None) -> dict[str, dict]:
    done = parameter(project, "ls", "-O", "json", env=env)
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["parameters"]}


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with a file that has comments, quotes and an order of its own."""
    project.write("last.sql", "select a from numbers")
    (project.folder / "zerrow_project.yml").write_text(FILE)
    return project


def text(project: Project, name: str = "zerrow_project.yml") -> str:
    return (project.folder / name).read_bytes().decode()


def test_a_list_has_types_values_and_where_they_come_from(shop: Project) -> None:
    (shop.folder / "zerrow_parameters.yml").write_text("rate: 0.75\n")
    (shop.folder / ".gitignore").write_text("zerrow_parameters.yml\n")
    found = listed(shop, env={"ZERROW_PARAM_low": "9"})
    assert found["low"] == {
        "name": "low", "type": "int", "default": 3, "value": 9, "source": "ZERROW_PARAM_low", "required": False,
        "description": "the least", "file": "zerrow_project.yml", "line": 8,
    }  # fmt: skip
    assert (found["rate"]["default"], found["rate"]["value"]) == (0.5, 0.75)
    assert found["rate"]["source"] == "zerrow_parameters.yml"
    assert listed(shop)["low"]["source"] == "default"
    table = parameter(shop, "ls").stdout.splitlines()
    assert table[0].split() == ["name", "type", "value", "from", "required", "description"]
    assert table[1].split() == ["low", "int", "3", "default", "no", "the", "least"]


def test_setting_changes_the_value_and_not_a_byte_beside_it(shop: Project) -> None:
    done = parameter(shop, "set", "low", "17")
    assert done.returncode == 0, done.stderr
    assert text(shop) == FILE.replace("default: 3", "default: 17")
    assert parameter(shop, "set", "rate", "--description", "of: all #1").returncode == 0
    assert text(shop) == FILE.replace("default: 3", "default: 17").replace(
        "default: 0.5}", 'default: 0.5, description: "of: all #1"}'
    )


def test_a_new_parameter_comes_behind_the_last(shop: Project) -> None:
    words = ("day", "2024-01-01", "--type", "str", "--description", "the day", "--required")
    assert parameter(shop, "set", *words).returncode == 0
    new = '  day:\n    type: str\n    default: "2024-01-01"\n    description: "the day"\n    required: true\n'
    assert text(shop) == FILE.replace("default: 0.5}\n", "default: 0.5}\n" + new)
    assert listed(shop)["day"]["value"] == "2024-01-01" and listed(shop)["day"]["required"] is True
    assert parameter(shop, "rm", "day").returncode == 0
    assert text(shop) == FILE
    assert shop.run().code == 0


@pytest.mark.parametrize(
    "before",
    [
        "project: {name: x}\n",
        "project:\r\n  name: x\r\n",
        "# nothing\nproject: {name: x}",
        "{project: {name: x}, parameters: {}}\n",
        "project: {name: x}\nparameters:\n",
        "project: {name: x}\nparameters: {} # none\n",
        "parameters:\n    deep:\n        type: str\nproject: {name: x}\n",
        "\ufeffproject: {name: x}\n",
        "project: {name: x}\nparameters:\n  text:\n    type: str\n    default: |\n      many\n      lines\n\n",
    ],
)
@pytest.mark.parametrize("name", ["bauplan_project.yml", "bauplan_project.yaml", "zerrow_project.yaml"])
def test_files_of_any_form_keep_what_they_say(project: Project, before: str, name: str) -> None:
    (project.folder / "zerrow_project.yml").unlink()
    path = project.folder / name
    path.write_bytes(before.encode())
    path.chmod(0o640)
    done = parameter(project, "set", "limit", "5")
    assert done.returncode == 0, done.stderr
    after = path.read_bytes().decode()
    wanted = yaml.safe_load(before)
    wanted["parameters"] = {**(wanted.get("parameters") or {}), "limit": {"type": "int", "default": 5}}
    assert yaml.safe_load(after) == wanted
    assert ("\r\n" in before) == ("\r\n" in after) and after.count("\r\n") in (0, after.count("\n"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert parameter(project, "rm", "limit").returncode == 0
    left = yaml.safe_load(path.read_bytes().decode())
    assert {key: value for key, value in left.items() if value} == {
        key: value for key, value in yaml.safe_load(before).items() if value
    }
    assert listed(project).keys() == (yaml.safe_load(before).get("parameters") or {}).keys()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("low", "many"), "no int"),
        (("x", "1.5", "--type", "int"), "no int"),
        (("x", "maybe", "--type", "bool"), "neither true nor false"),
        (("low", "x", "--type", "str"), "is of the type int"),
        (("x y", "1"), "x y"),
        (("x", "1e999", "--type", "float"), "no finite number"),
    ],
)
def test_values_have_to_be_of_their_types(shop: Project, words: tuple, what: str) -> None:
    done = parameter(shop, "set", *words, "-O", "json")
    assert done.returncode == 1 and what in json.loads(done.stdout)["error"] and what in done.stderr
    assert text(shop) == FILE


def test_a_type_changes_when_that_is_meant(shop: Project) -> None:
    assert parameter(shop, "set", "low", "few", "--type", "str", "-f").returncode == 0
    assert text(shop) == FILE.replace("type: int   # whole", "type: str   # whole").replace(
        "default: 3", "default: few"
    )


def test_a_secret_goes_where_git_does_not_see_it(any_project: Project) -> None:
    any_project.write("last.sql", "select a from numbers")
    for path in [any_project.folder, *any_project.folder.iterdir()]:
        os.chown(path, any_project.caller.uid, -1)
    (any_project.folder / ".gitignore").write_text("data/\n")
    os.chown(any_project.folder / ".gitignore", any_project.caller.uid, -1)
    value = 'pass: "word" #1'
    done = parameter(
        any_project, "set", "token", "--type", "secret", "--description", "of the shop", input=value + "\n"
    )
    assert done.returncode == 0, done.stderr
    assert value not in done.stdout + done.stderr
    project_file = text(any_project)
    assert "word" not in project_file and yaml.safe_load(project_file)["parameters"] == {
        "token": {"type": "secret", "description": "of the shop"}
    }
    path = any_project.folder / "zerrow_parameters.yml"
    assert yaml.safe_load(path.read_text()) == {"token": value}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == any_project.caller.uid
    assert text(any_project, ".gitignore") == "data/\nzerrow_parameters.yml\n"
    subprocess.run(["git", "init", "-q", any_project.folder], check=True)
    ignored = subprocess.run(["git", "-C", any_project.folder, "-c", "safe.directory=*", "check-ignore", path.name])
    assert ignored.returncode == 0
    found = listed(any_project)["token"]
    assert found["value"] is None and found["source"] == "zerrow_parameters.yml"
    assert "***" in parameter(any_project, "ls").stdout
    assert parameter(any_project, "set", "token", "another").returncode == 0
    assert yaml.safe_load(path.read_text()) == {"token": "another"} and "another" not in text(any_project)
    assert text(any_project, ".gitignore").count("zerrow_parameters.yml") == 1
    assert parameter(any_project, "rm", "token").returncode == 0
    assert not yaml.safe_load(path.read_text()) and listed(any_project) == {}


def test_a_secret_that_is_typed_is_not_shown(shop: Project) -> None:
    process, terminal = pty.fork()
    if process == 0:
        words = [*shop.caller.words, "parameter", "set", "token", "--type", "secret", "-p", str(shop.folder)]
        os.execve(words[0], words, shop.environment())
    shown = b""
    while b"value of token: " not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"hush-hush\n")
    try:
        while piece := os.read(terminal, 1000):
            shown += piece
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, shown
    assert b"hush" not in shown
    assert yaml.safe_load(text(shop, "zerrow_parameters.yml")) == {"token": "hush-hush"}


def test_removing_what_is_not_there_is_an_error_unless_forced(shop: Project) -> None:
    assert "there is no parameter 'x'" in parameter(shop, "rm", "x").stderr
    assert parameter(shop, "rm", "x", "-f").returncode == 0
    assert text(shop) == FILE


def test_changes_at_the_same_time_are_all_made(shop: Project) -> None:
    done = []
    threads = [
        threading.Thread(target=lambda n=n: done.append(parameter(shop, "set", f"p{n}", str(n)))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.returncode for each in done] == [0] * 6, [each.stderr for each in done]
    assert {f"p{n}" for n in range(6)} <= listed(shop).keys()


def test_a_link_in_the_project_stays_a_link_and_one_that_leaves_it_is_refused(shop: Project, tmp_path: Path) -> None:
    path, real = shop.folder / "zerrow_project.yml", shop.folder / "real.yml"
    path.rename(real)
    path.symlink_to("real.yml")
    assert parameter(shop, "set", "low", "4").returncode == 0
    assert path.is_symlink() and "default: 4" in real.read_text()
    outside = tmp_path / "outside.yml"
    outside.write_text(FILE)
    path.unlink()
    path.symlink_to(outside)
    done = parameter(shop, "set", "low", "4")
    assert done.returncode == 1 and "leaves the project" in done.stderr and outside.read_text() == FILE


@pytest.mark.parametrize(
    "content", ["parameters: [1]\n", "{{{", "a: &a {}\nparameters: *a\n", "- x\n", "parameters: 5\n"]
)
def test_files_that_cannot_be_changed_stay_as_they_are(project: Project, content: str) -> None:
    path = project.folder / "zerrow_project.yml"
    path.write_text(content)
    done = parameter(project, "set", "limit", "5")
    assert done.returncode == 1 and "zerrow_project.yml" in done.stderr
    assert path.read_text() == content


def test_a_folder_that_cannot_be_written_to_is_said(shop: Project) -> None:
    done = subprocess.run(
        [*shop.caller.words, "parameter", "set", "x", "1", "-p", "/proc/self"],
        capture_output=True, text=True, env=shop.environment(),
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: ")

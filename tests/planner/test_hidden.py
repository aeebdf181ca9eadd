"""What git ignores, against git itself, and what else of a project is hidden from models."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from zerrow.plan.hidden import find_hidden
from zerrow.plan.places import hidden

PATTERNS = (
    *("*.csv", "*.log", "/a", "a/", "b/**", "**/c", "a/*", "!keep.csv", "!/a/keep.csv", "b/*/d", "#x", "", " ", "\\#x"),
    *(
        "[a-c]",
        "[!a]*.csv",
        "[[:alpha:]].txt",
        "?",
        "a**",
        "x\\ ",
        "b/**/c/",
        "[z-a]",
        "[]]",
        "m.txt  ",
        "a/b",
        "/*/*.log",
    ),
    *("*.py[co]", "d*", "!d.csv", "a/**/c", "**/b/", "x\\ y", "*", "!*/", "!*.txt", "/*.txt", "c/d.log", "b/**/"),
)
NAMES = ("a", "b", "c", "d", "keep.csv", "d.csv", "x.log", "m.txt", "m.pyo", "n.pyo", "x y", "#x")


def git(folder: Path, *words: str, text: str = "") -> str:
    """What git says in a folder, with no settings of anybody's."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, input=text, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def seen(project: Path, **options: Any) -> set[str]:
    """The files of a project that models see, by names relative to it."""
    entries = find_hidden(str(project), options.get("show", ()), options.get("written", ()), frozenset())
    found = hidden(str(project), (), entries).as_json()
    covered = set(found["covered"])
    rebuilt = {each["folder"]: each["shown"] for each in found["rebuilt"]}
    files = set()
    for root, folders, names in os.walk(project):
        holder = next((each for each in rebuilt if root == each or root.startswith(f"{each}/")), None)
        for name in [*names, *folders]:
            path = f"{root}/{name}"
            is_kept = holder is None or any(
                path == each or path.startswith(f"{each}/") or each.startswith(f"{path}/") for each in rebuilt[holder]
            )
            if path in covered or not is_kept:
                folders[:] = [each for each in folders if each != name]
            elif name in names:
                files.add(os.path.relpath(path, project))
    return files


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")
@pytest.mark.parametrize("seed", range(40))
def test_what_git_ignores_is_what_git_says(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}")
    repository, project = tmp_path, tmp_path / "deep" / "project"
    project.mkdir(parents=True)
    folders = [project]
    for _ in range(12):
        folder = chance.choice(folders) / chance.choice("abcd")
        folder.mkdir(exist_ok=True)
        folders.append(folder)
    for _ in range(60):
        path = chance.choice(folders) / chance.choice(NAMES)
        if not path.is_dir():
            path.touch()
    places = [repository, repository / "deep", project, *chance.sample(folders, 3)]
    for place in places:
        lines = chance.sample(PATTERNS, chance.randint(0, 4))
        (place / ".gitignore").write_text("".join(f"{line}\n" for line in lines))
    git(repository, "init", "-q")
    (repository / ".git" / "info" / "exclude").write_text("m.txt\n" if seed % 3 == 0 else "")
    if git(repository, "check-ignore", "--no-index", "deep", "deep/project"):
        # A project that its repository ignores is a repository of its own to us.
        shutil.rmtree(repository / ".git")
        git(project, "init", "-q")
        for folder in (repository, repository / "deep"):
            (folder / ".gitignore").write_text("")
        repository = project
    names = [str(path.relative_to(repository)) for path in project.rglob("*") if path.is_file()]
    names = [name for name in names if "/.git/" not in f"/{name}"]
    ignored = set(git(repository, "check-ignore", "--no-index", "--stdin", text="\n".join(names)).splitlines())
    # What git quotes has a backslash or a quote, of which there are none.
    base = os.path.relpath(project, repository)
    assert seen(project) == {os.path.relpath(name, base) for name in names if name not in ignored}


PIECES = (
    *("a", "b", "*", "*", "**", "***", "?", "/", "/", "**/", "/**", "[ab]", "[!a]", "[^b]", "[a-c]", "\\a", "\\", "é"),
    *("]", "[", "A", "[[:upper:]]", " ", "\\/", "[]]", "[a/]"),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")
@pytest.mark.parametrize("seed", range(40))
def test_any_pattern_means_what_git_says(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}")
    folders = [tmp_path]
    names = ("a", "b", "ab", "ba", "aab", "c", "é", "A", "a b", "]", "[a", "abab", "a-")
    for _ in range(8):
        folder = chance.choice(folders) / chance.choice(names)
        folder.mkdir(exist_ok=True)
        folders.append(folder)
    for _ in range(40):
        path = chance.choice(folders) / chance.choice(names)
        if not path.is_dir():
            path.touch()
    lines = ["".join(chance.choices(PIECES, k=chance.randint(1, 7))) for _ in range(chance.randint(1, 4))]
    if seed % 3 == 0:
        lines = ["*", "!*/", *(f"!{line}" for line in lines)]
    (tmp_path / ".gitignore").write_text("\n".join(lines))
    assert seen(tmp_path) == left_by_git(tmp_path)


def left_by_git(repository: Path) -> set[str]:
    """The files of a folder, of which a repository is made, that git doesn't ignore."""
    names = [str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()]
    git(repository, "init", "-q")
    ignored = git(repository, "check-ignore", "--no-index", "-z", "--stdin", text="\0".join(names)).split("\0")
    return set(names).difference(ignored)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")
@pytest.mark.parametrize(
    ("pattern", "simple", "name"),
    [
        ("*a" * 40 + "b", "*b", "a" * 60),
        ("*a" * 120 + "b", "a*b", "a" * 250 + "b"),
        ("*[ab]*?" * 30 + "x", "*x", "ab" * 120),
        ("**/a/" * 40 + "b", "b", "a/" * 60 + "c"),
        ("**/*a*a*a*/" * 12 + "b", "b", "aaaaaaaa/" * 40 + "b"),
        ("*a" * 100_000 + "b", "*b", "a" * 250),
        ("**/" * 10_000 + "a", "a", "a/a/a"),
    ],
    ids=["stars", "stars that match", "sets", "folders", "folders and stars", "no path is so long", "any folders"],
)
def test_patterns_of_many_stars_are_matched_in_time(tmp_path: Path, pattern: str, simple: str, name: str) -> None:
    put(tmp_path, "deep/" + name)
    rules = tmp_path / "deep" / ".gitignore"
    # Git takes for ever over some of these, and is asked what a pattern does that means the same of these names.
    rules.write_text(f"{simple}\n")
    expected = left_by_git(tmp_path)
    rules.write_text(f"{pattern}\n")
    assert seen(tmp_path) == {each for each in expected if not each.startswith(".git/")}
    assert seen(tmp_path, show=[pattern]) >= {"deep/.gitignore"}


def put(folder: Path, *names: str) -> None:
    """Makes files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_repositories_are_hidden_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path, ".git/config", "sub/.git", "a", "other/.git/HEAD", "other/b")
    assert seen(tmp_path) == {"a", "other/b"}


def test_a_repository_that_a_file_leads_to_is_hidden(tmp_path: Path) -> None:
    put(tmp_path, "a", "deep/b", "out/c.csv", "out/d", "stores/e", "odd/.git")
    git(tmp_path, "init", "-q", "--separate-git-dir=.mygit")
    git(tmp_path, "init", "-q", f"--separate-git-dir={tmp_path}/stores/deep", "deep")
    git(tmp_path, "init", "-q", "--separate-git-dir=out/store", "out")
    (tmp_path / "odd" / ".git").write_text("gitdir: ../../../\n")
    assert seen(tmp_path) == {"a", "deep/b", "out/c.csv", "out/d", "stores/e"}
    (tmp_path / ".mygit" / "info" / "exclude").write_text("out\n")
    assert seen(tmp_path) == {"a", "deep/b", "stores/e"}
    assert seen(tmp_path, show=["*.csv", "store"]) == {"a", "deep/b", "stores/e", "out/c.csv"}


def test_what_is_shown_stays_in_folders_that_are_ignored(tmp_path: Path) -> None:
    put(tmp_path, "out/a.csv", "out/deep/b.csv", "out/deep/c.txt", ".env", "n.txt", "out/.git/config")
    (tmp_path / ".gitignore").write_text("out/\n.env\nn.txt\n")
    assert seen(tmp_path) == {".gitignore"}
    assert seen(tmp_path, show=["*.csv"]) == {".gitignore", "out/a.csv", "out/deep/b.csv"}
    assert seen(tmp_path, show=["out/deep/", ".env"]) == {".gitignore", "out/deep/b.csv", "out/deep/c.txt", ".env"}
    assert seen(tmp_path, show=["out"]) >= {"out/a.csv", "out/deep/c.txt"}


def test_compiled_code_stays(tmp_path: Path) -> None:
    put(tmp_path, "__pycache__/m.cpython-311.pyc", "fast.so", "a.csv")
    (tmp_path / ".gitignore").write_text("__pycache__\n*.so\n*.csv\n")
    assert seen(tmp_path) == {"__pycache__/m.cpython-311.pyc", "fast.so", ".gitignore"}


def test_results_of_runs_and_what_they_write_to_are_hidden(tmp_path: Path) -> None:
    key = "0123456789abcdef" * 2
    put(tmp_path, f"old/{key}.arrow", "old/mine.arrow", "out/m.arrows", "out/m.arrows.123", "cache/any", "a")
    assert seen(tmp_path, written=[f"{tmp_path}/cache", f"{tmp_path}/not/there"]) == {"old/mine.arrow", "a"}


def test_sockets_and_fifos_are_hidden(tmp_path: Path) -> None:
    put(tmp_path, "a", "deep/b")
    os.mkfifo(tmp_path / "deep" / "fifo")
    here = os.getcwd()
    os.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.chdir(here)
        assert seen(tmp_path) == {"a", "deep/b"}


@pytest.mark.parametrize("rules", ["[", "\\", "a\\", "!", "/", "**", "\x00", "\ufeff*.csv", "é", "[z-a]"])
def test_no_line_of_rules_stops_the_planner(tmp_path: Path, rules: str) -> None:
    put(tmp_path, "a.txt")
    (tmp_path / ".gitignore").write_text(f"{rules}\nsecret\n")
    put(tmp_path, "secret")
    assert "secret" not in seen(tmp_path)


def test_rules_that_are_no_regular_file_are_none(tmp_path: Path) -> None:
    put(tmp_path, "a")
    os.mkfifo(tmp_path / ".gitignore")
    (tmp_path / "deep" / ".gitignore").mkdir(parents=True)
    assert "a" in seen(tmp_path)


def test_a_repositorys_settings_run_nothing(shop: Any, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    put(shop.folder, ".gitignore")
    (shop.folder / ".git").mkdir()
    (shop.folder / ".git" / "config").write_text(f"[core]\n fsmonitor = {program}\n pager = {program}\n")
    (shop.folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    shop.write({"q.sql": "select id from sales"})
    shop.plan()
    assert not ran.exists()

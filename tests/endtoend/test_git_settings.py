"""What git's configuration says of the files that it ignores holds for models, too: against git's own word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from command import Project
from planning import MODEL, plan

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")

NAMES = ("A.KEY", "b.key", "globalsecret.txt", "deep/globalsecret.txt", "deep/Other.Txt", "deep/own.log", "Ünder.KEY")

# Each: a configuration of the user's, one that is added to the repository's, and files of rules by their names below
# the user's folder or the repository's.
CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "the usual way": ("[core]\n\texcludesFile = ~/.gitignore_global\n", "", {"~/.gitignore_global": "globalsec*"}),
    "in quotes": ('[core]\nexcludesfile="~/my rules" # mine\n', "", {"~/my rules": "*.key"}),
    "on one line": ("[user] name = a\n[CoRe] EXCLUDESFILE = ~/rules ; mine\n", "", {"~/rules": "*.key"}),
    "on two lines": ("[core]\nexcludesFile = ~/ru\\\nles\n", "", {"~/rules": "*.key"}),
    "another section": ('[core "x"]\nexcludesFile = ~/rules\n', "", {"~/rules": "*.key"}),
    "the last counts": (
        "[core]\nexcludesFile = ~/one\nexcludesFile = ~/two\n",
        "",
        {"~/one": "*.key", "~/two": "globalsecret.txt"},
    ),
    "in place of the usual file": (
        "[core]\nexcludesFile = ~/one\n",
        "",
        {"~/.config/git/ignore": "*.key", "~/one": "globalsecret.txt"},
    ),
    "the usual file": ("", "", {"~/.config/git/ignore": "*.key"}),
    "not there": ("[core]\nexcludesFile = ~/none\n", "", {"~/.config/git/ignore": "*.key"}),
    "nothing": ("[core]\nexcludesFile =\n", "", {"~/.config/git/ignore": "*.key"}),
    "of the repository": (
        "[core]\nexcludesFile = ~/one\n",
        "[core]\nexcludesFile = rules/mine\n",
        {"~/one": "*.key", "rules/mine": "*.log"},
    ),
    "whatever the case": ("", "[core]\nignoreCase\n", {".gitignore": "*.key\n[a-p]ther.txt\nGLOBALSECRET.TXT\nünder*"}),
    "whatever the case, by the user": ("[core]\nignorecase = yes\n", "", {".gitignore": "*.key"}),
    "the case matters": ("[core]\nignorecase = 1\n", "[core]\nignorecase = off\n", {".gitignore": "*.key"}),
    "no configuration": ("[core\nexcludesFile", "", {".gitignore": "*.key"}),
}


def run_git(folder: Path, home: Path, *words: str, text: str = "") -> str:
    """What git says in a folder to a user."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, input=text, capture_output=True, text=True)
    return done.stdout


def shown(project: Project, home: Path) -> set[str]:
    """The names of NAMES that models would see."""
    done = plan(project, "-O", "json", HOME=str(home), XDG_CONFIG_HOME="", GIT_CONFIG_NOSYSTEM="1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["hidden"]
    assert found["rebuilt"] == []
    covered = {os.path.relpath(path, project.folder) for path in found["covered"]}
    return {name for name in NAMES if not {name, os.path.dirname(name)} & covered}


@pytest.mark.parametrize("layout", ["alone", "below", "separate", "worktree"])
@pytest.mark.parametrize("case", CASES)
def test_settings_mean_what_git_says(project: Project, tmp_path: Path, case: str, layout: str) -> None:
    user, own, rules = CASES[case]
    home, repository = tmp_path / "home", project.folder.parent if layout == "below" else project.folder
    home.mkdir()
    project.write("models.py", MODEL)
    for name in NAMES:
        project.write(name, "")
    if layout == "worktree":
        run_git(tmp_path, home, "init", "-q", "main")
        run_git(tmp_path / "main", home, *AUTHOR, "commit", "-q", "--allow-empty", "-m", "first")
        run_git(tmp_path / "main", home, "worktree", "add", "-q", "../tree")
        shutil.move(tmp_path / "tree" / ".git", repository / ".git")
    elif layout == "separate":
        run_git(repository, home, "init", "-q", f"--separate-git-dir={tmp_path}/elsewhere")
    else:
        run_git(repository, home, "init", "-q")
    config = repository / run_git(repository, home, "rev-parse", "--git-common-dir").strip() / "config"
    with config.open("a") as file:
        file.write(own)
    (home / ".gitconfig").write_text(user)
    for name, text in rules.items():
        path = home / name[2:] if name.startswith("~/") else repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    base = os.path.relpath(project.folder, repository)
    names = {os.path.normpath(f"{base}/{name}"): name for name in NAMES}
    text = "\0".join(names)
    # Git refuses to work with a configuration that is none.
    asking = tmp_path if case == "no configuration" else home
    ignored = run_git(repository, asking, "check-ignore", "--no-index", "-z", "--stdin", text=text).split("\0")
    expected = {names[name] for name in set(names).difference(ignored)}
    assert shown(project, home) == expected
    assert len(expected) < len(NAMES) or case in ("another section", "not there", "nothing")


AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org")


def test_a_repositorys_settings_have_no_file_of_the_users_read(project: Project, tmp_path: Path) -> None:
    project.write("models.py", MODEL)
    for name in NAMES:
        project.write(name, "")
    run_git(project.folder, tmp_path, "init", "-q")
    secret = tmp_path / "secret"
    secret.write_text("b.key\n")
    (project.folder / "link").symlink_to(secret)
    for name in (str(secret), "link", "../secret"):
        with (project.folder / ".git" / "config").open("a") as file:
            file.write(f"[core]\nexcludesFile = {name}\n")
        assert "b.key" in shown(project, tmp_path / "nobody")

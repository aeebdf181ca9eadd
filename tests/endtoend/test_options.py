"""Options that say something wrong: the message names the option, what was wrong, and what to do; nothing has run."""

import os
import subprocess
from pathlib import Path

import pytest
from command import IS_ROOT, Project

MODEL = """
    import zerrow

    @zerrow.model()
    def all_of_it(numbers=zerrow.Model("numbers")):
        return numbers
"""


def refused(project: Project, code: int, *options: str) -> str:
    """What a run says that doesn't begin, in one line."""
    project.write("models.py", MODEL)
    result = project.run(*options, timeout=60)
    assert result.code == code, (options, result.out, result.err)
    assert result.report.get("models", []) == []
    assert "started" not in result.err and "Traceback" not in result.err
    return next(line for line in result.err.splitlines() if line.startswith("error:"))


@pytest.mark.parametrize(
    "size", ["-1", "-4GiB", "0", "0.5", "", "much", "4XiB", "1e3", "1.5.2", "4 GiB", "99999999TiB"]
)
def test_a_memory_limit_that_is_no_size_is_refused(project: Project, size: str):
    text = refused(project, 2, "--memory", size)
    assert f"'{size}'" in text and "--memory" in text, text
    assert any(words in text for words in ("as 512MiB", "a byte or more", "no machine has so much")), text


def test_a_memory_limit_that_nothing_fits_in_fails_the_run_and_says_so(project: Project):
    project.write("models.py", MODEL)
    result = project.run("--memory", "1MiB")
    assert result.code == 1
    assert "raise --memory" in result.report["error"]["message"]


@pytest.mark.parametrize("command", ["run", "serve"])
def test_an_unknown_way_to_evict_is_refused_with_those_there_are(project: Project, command: str):
    words = [*project.caller.words, command, "--evict", "everything"]
    done = subprocess.run(words, capture_output=True, text=True, env=project.environment(), timeout=60)
    assert done.returncode == 2
    for word in ("--evict", "everything", "adaptive", "drop", "spill", "swap", "limit", "none"):
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("option", ["--jobs", "--rows"])
def test_a_negative_number_is_refused(project: Project, option: str):
    text = refused(project, 2, option, "-1")
    assert f"{option} must be" in text and "or more" in text, text


@pytest.mark.parametrize("option", ["--spill-dir", "--cache-dir", "--export"])
@pytest.mark.parametrize("kind", ["empty", "missing", "file", "unwritable"])
def test_a_folder_that_cannot_be_used_is_refused_before_anything_runs(
    any_project: Project, tmp_path: Path, option: str, kind: str
):
    file = tmp_path / "file"
    file.touch()
    folder = {"empty": "", "missing": str(tmp_path / "not" / "there"), "file": str(file), "unwritable": "/proc"}[kind]
    text = refused(any_project, 1, option, folder)
    assert option in text and folder in text, text
    assert "name a" in text or "name one" in text, text
    assert not (tmp_path / "not").exists()


@pytest.mark.skipif(not IS_ROOT, reason="a mount takes root")
@pytest.mark.parametrize("option", ["--spill-dir", "--cache-dir", "--export"])
def test_a_read_only_folder_is_refused(project: Project, tmp_path: Path, option: str):
    folder = tmp_path / "folder"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "ro,size=64k,mode=755", "none", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted: {done.stderr.strip()}")
    try:
        text = refused(project, 1, option, str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert f"{option} {folder}: no file can be made there: Read-only file system" in text


@pytest.mark.parametrize("option", ["--spill-dir", "--cache-dir"])
def test_an_engine_does_not_begin_to_serve_with_a_folder_it_cannot_use(project: Project, tmp_path: Path, option: str):
    words = [
        *project.caller.words,
        "serve",
        "--socket",
        str(tmp_path / "engine.sock"),
        option,
        str(tmp_path / "a" / "b"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, env=project.environment(), timeout=60)
    assert done.returncode == 1
    assert f"error: {option} {tmp_path}/a/b: " in done.stderr
    assert not os.path.exists(tmp_path / "engine.sock")


def test_folders_that_may_be_made_are_made(project: Project, tmp_path: Path):
    project.write("models.py", MODEL)
    result = project.run("--cache-dir", str(tmp_path / "cache"), "--format", "arrow", "--export", str(tmp_path / "out"))
    assert result.code == 0, result.err
    assert os.listdir(tmp_path / "out") == ["all_of_it.arrows"]
    assert (tmp_path / "cache").is_dir()

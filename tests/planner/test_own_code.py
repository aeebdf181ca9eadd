"""What stands for zerrow's own code in keys, which a warm planner hashes once: a change of any file is noticed.

A process that has just been started, which knows of nothing, is the judge.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parents[2] / "python"
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from zerrow.plan.surroundings import own_code
for _ in sys.stdin:
    print(own_code(), flush=True)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the package, left alone for long enough."""
    copy = shutil.copytree(PYTHON, tmp_path / "python", ignore=shutil.ignore_patterns("__pycache__"))
    time.sleep(0.05)
    return copy


def asker(code: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-I", "-c", ASK, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(process: subprocess.Popen) -> str:
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def fresh(code: Path) -> str:
    with asker(code) as process:
        return ask(process)


def rewrite(path: Path) -> None:
    """Another content of the same size, at the same time of change, in the same file."""
    status = path.stat()
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content[:-1] + (b" " if content[-1:] != b" " else b"\n"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_any_change_of_the_files_is_another_code(code: Path) -> None:
    with asker(code) as process:
        seen = [ask(process)]
        worker = code / "zerrow" / "worker"
        for change in (
            lambda: rewrite(worker / "preview.py"),
            lambda: rewrite(worker / "preview.py"),
            lambda: (worker / "another.py").write_text(""),
            lambda: (worker / "another.py").rename(worker / "renamed.py"),
            lambda: (worker / "renamed.py").unlink(),
            lambda: (code / "bauplan" / "store.py").write_text("x = 1"),
        ):
            change()
            seen.append(ask(process))
            assert seen[-1] == fresh(code) == ask(process)
            time.sleep(0.05)
        assert all(one != next_ for one, next_ in zip(seen[:1] + seen[3:], seen[1:2] + seen[4:], strict=False))


def test_what_was_changed_a_moment_ago_is_read_again(code: Path) -> None:
    file = code / "zerrow" / "worker" / "preview.py"
    with asker(code) as process:
        ask(process)
        for number in range(200):
            file.write_text(f"x = {number:04}")
            assert ask(process) == fresh(code) if number % 50 == 0 else ask(process)
        assert ask(process) == fresh(code)

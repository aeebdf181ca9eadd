"""`run --watch`: runs again when something changes that the project is made of, and leaves nothing behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pytest
from command import Project, wait_until

SECOND = "select count(*) as n, 'text 1' as word from first"


class Watched:
    """A run that goes on, and what it says."""

    def __init__(self, project: Project, *words: str) -> None:
        self.log = project.folder.parent / "watch.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*project.caller.words, "run", "--watch", "-p", str(project.folder), *words],
                stdout=log, stderr=subprocess.STDOUT, env=project.environment({"XDG_RUNTIME_DIR": "/tmp"}),
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.log.read_text()

    def wait(self, runs: int) -> None:
        """Wait until so many runs are over, and it watches."""
        wait_until(lambda: self.text.count("files are watched") >= runs, seconds=120, what=f"{runs} runs: {self.text}")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def watched(any_project: Project, request: pytest.FixtureRequest):
    """Two queries that are watched."""
    any_project.write("first.sql", "select a from numbers")
    any_project.write("second.sql", SECOND)
    started = Watched(any_project)
    request.addfinalizer(lambda: started.process.poll() is None and started.end(signal.SIGKILL))
    started.project = any_project
    started.wait(1)
    return started


def children_of(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


def test_a_change_of_code_data_or_project_file_runs_it_again(watched: Watched):
    project = watched.project
    assert "text 1" in watched.text
    project.write("second.sql", SECOND.replace("text 1", "text 2"))
    watched.wait(2)
    assert "changed: second.sql" in watched.text
    assert "text 2" in watched.text
    # What did not change is not made again.
    assert "cached" in watched.text.split("changed: second.sql")[1]
    project.table("numbers", pa.table({"a": [1, 2, 3], "b": [1, 2, 3], "s": ["x", "y", "z"]}))
    watched.wait(3)
    assert "changed: data/numbers.parquet" in watched.text
    assert watched.text.split("changed: data/numbers.parquet")[1].split("second")[-1].split()[4:6] != []
    project.write("third.sql", "select 'text 3' as word from second")
    watched.wait(4)
    assert "text 3" in watched.text
    assert watched.end() == 0


def test_a_mistake_is_told_and_mended(watched: Watched):
    watched.project.write("second.sql", "select nothing_of_the_kind from first")
    watched.wait(2)
    assert "nothing_of_the_kind" in watched.text
    watched.project.write("second.sql", SECOND.replace("text 1", "text 5"))
    watched.wait(3)
    assert "text 5" in watched.text
    watched.project.write("second.sql", "select nothing_of_the_kind from first")
    watched.wait(4)
    assert watched.end() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(watched: Watched, number: int):
    below = children_of(watched.process.pid)
    assert below
    watched.end(number)
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() and "zerrow" in name(pid) for pid in below),
        seconds=60, what="the end of all its processes",
    )  # fmt: skip
    if number != signal.SIGKILL:
        assert not [
            each
            for each in os.listdir("/tmp")
            if each.startswith("zerrow-watch-") and f"-{watched.process.pid}" in each
        ]


def name(pid: int) -> str:
    """The command of a process that isn't a dead one."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "" if state == "Z" else Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_what_a_run_writes_does_not_start_the_next(any_project: Project):
    any_project.write("first.sql", "select a from numbers")
    out = any_project.folder / "out"
    out.mkdir()
    os.chown(out, any_project.caller.uid, -1)
    started = Watched(any_project, "--export", str(out))
    started.wait(1)
    time.sleep(1.5)
    assert started.text.count("files are watched") == 1
    assert (out / "first.parquet").exists()
    assert started.end() == 0


def test_what_a_killed_one_left_is_removed_by_the_next(project: Project):
    project.write("first.sql", "select a from numbers")
    killed = Watched(project)
    killed.wait(1)
    killed.end(signal.SIGKILL)
    left = Path(f"/tmp/zerrow-watch-{os.geteuid()}-{killed.process.pid}")
    started = Watched(project)
    started.wait(1)
    assert not left.exists()
    assert started.end() == 0


def test_it_goes_with_neither_detach_nor_a_retry(project: Project):
    for other in ("--detach", "--retry-failed"):
        done = subprocess.run(
            [*project.caller.words, "run", "--watch", other, "-p", str(project.folder)], capture_output=True
        )
        assert done.returncode == 2

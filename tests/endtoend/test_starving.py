"""One run can't starve another: what one model takes (slots, processors, processes, descriptors), and a run beside it.

Times are never bounds by themselves: an innocent run is measured beside each attacker and beside an honest busy run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Project, make_project, wait_for_line
from processes import Processes, descendants

INNOCENT = """
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers")):
        return {"n": [sum(i * i for i in range(400_000))]}

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return {"n": [sum(i * i for i in range(400_000))]}
"""
# Computes on every slot for as long as it is let.
BUSY = """
    import os
    import zerrow

    def spin():
        print("is busy", flush=True)
        while True:
            pass

    @zerrow.model()
    def busy1(numbers=zerrow.Model("numbers")):
        spin()

    @zerrow.model()
    def busy2(numbers=zerrow.Model("numbers")):
        spin()
"""
SLEEPING = """
    import time
    import zerrow

    def sleep():
        print("is busy", flush=True)
        time.sleep(3000)

    @zerrow.model()
    def sleeping1(numbers=zerrow.Model("numbers")):
        sleep()

    @zerrow.model()
    def sleeping2(numbers=zerrow.Model("numbers")):
        sleep()
"""
ONE_SLEEPING = SLEEPING.split("    @zerrow.model()\n    def sleeping2")[0]
# One model; its children compute, each in a session of its own.
SPINNING = """
    import os
    import time
    import zerrow

    @zerrow.model()
    def spinning(numbers=zerrow.Model("numbers")):
        for _ in range(60):
            if os.fork() == 0:
                SESSION
                while True:
                    pass
        print("is busy", flush=True)
        time.sleep(3000)
"""
# Has fewer processes than it might, as thousands take long to start; how many it may have is another test's.
BOMB = """
    import os
    import resource
    import time
    import zerrow

    @zerrow.model()
    def bomb(numbers=zerrow.Model("numbers")):
        resource.setrlimit(resource.RLIMIT_NPROC, (300, 300))
        print("is busy", flush=True)
        children = 0
        while True:
            pid = os.fork()
            if pid == 0:
                time.sleep(3000)
                os._exit(0)
            children += 1
"""
# Fills sockets with descriptors up to what the kernel lets this user have on their way.
IN_FLIGHT = """
    import array
    import os
    import resource
    import socket
    import time
    import zerrow

    @zerrow.model()
    def hoarder(numbers=zerrow.Model("numbers")):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        kept, count = [], 0
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 250))]
        try:
            while True:
                ends = socket.socketpair()
                kept += ends
                ends[0].setblocking(False)
                try:
                    while True:
                        ends[0].sendmsg([b"x"], rights)
                        count += 250
                except BlockingIOError:
                    pass
        except OSError as error:
            print(f"in flight: {count} of {hard}: {error.errno}", flush=True)
        print("is busy", flush=True)
        time.sleep(3000)
"""


class Neighbours:
    """A serving engine with two slots, an innocent project, and others that run beside it."""

    def __init__(self, project: Project, server, folder: Path) -> None:
        self.project = project
        self.server = server
        self.folder = folder
        project.write("models.py", INNOCENT)

    @contextlib.contextmanager
    def beside(self, models: str, *arguments: str) -> Iterator[subprocess.Popen]:
        """While all models of such a run are busy."""
        folder = self.folder / f"other-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        other = make_project(folder)
        other.caller = self.project.caller
        other.write("models.py", models)
        run = other.start("--output", "json", "--no-cache", *arguments, env=self.server.environment)
        try:
            for _ in range(models.count("@zerrow.model")):
                wait_for_line(run, "is busy")
            yield run
        finally:
            for pid in [*descendants(run.pid), run.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            run.out, run.err = run.communicate(timeout=120)

    def innocent(self) -> tuple[float, dict, str]:
        """How long an innocent run takes, its report, and what it was told."""
        began = time.monotonic()
        result = self.project.run("--no-cache", env=self.server.environment)
        assert result.code == 0, result.err
        return time.monotonic() - began, result.report, result.err


@pytest.fixture
def neighbours(any_project: Project, serve, tmp_path_factory: pytest.TempPathFactory) -> Neighbours:
    """The engine is warm."""
    made = Neighbours(any_project, serve(any_project.caller, "--jobs", "2"), tmp_path_factory.mktemp("others"))
    made.innocent()
    return made


def check_share(neighbours: Neighbours, attack: str, honest: str, most: float = 3.0) -> None:
    """An innocent run takes at most so many times as long as beside an honest one, in the better of two rounds."""
    ratios = []
    for _ in range(2):
        with neighbours.beside(honest):
            usual, _, _ = neighbours.innocent()
        with neighbours.beside(attack):
            attacked, _, _ = neighbours.innocent()
        ratios.append(attacked / usual)
        if ratios[-1] < most:
            return
    raise AssertionError(f"an innocent run takes {ratios} times as long as beside an honest one")


ONE_BUSY = BUSY.split("    @zerrow.model()\n    def busy2")[0]


# MARK: Slots


def is_running(pid: int) -> bool:
    """Whether a process runs, or would if there were a processor."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] == "R"


@pytest.mark.parametrize("state", ["stopped", "sleeping"])
def test_models_that_do_nothing_keep_no_other_run_waiting(neighbours: Neighbours, state: str):
    with neighbours.beside(SLEEPING if state == "sleeping" else BUSY) as hung:
        if state == "stopped":
            # From outside: to itself, the first process of a pid namespace can't do it.
            spinning = [pid for pid in Processes(neighbours.server.process.pid).workers if is_running(pid)]
            assert len(spinning) == 2
            for pid in spinning:
                os.kill(pid, signal.SIGSTOP)
        _, report, told = neighbours.innocent()
    waits = report["slot_waits"]
    assert waits and report["run"] not in {wait["holder"] for wait in waits}
    assert all(wait["run"] == report["run"] and not wait["uses_processor"] and wait["held_ms"] > 1000 for wait in waits)
    assert "waiting for a slot" in told
    assert "and doesn't use the processor" in told
    # The other run was told as well, on its terminal and in its report.
    assert f"run {report['run']} has been waiting for a slot" in hung.err
    other = json.loads(hung.out)
    assert other["slot_waits"] == waits
    assert {wait["holder"] for wait in waits} == {other["run"]}


def test_models_that_compute_for_ever_keep_no_other_run_waiting_for_ever(neighbours: Neighbours):
    with neighbours.beside(BUSY) as busy:
        _, report, told = neighbours.innocent()
        # Who had to wait for long once doesn't have to again.
        again, _, _ = neighbours.innocent()
    assert again < report["wall_ms"] / 1000, (again, report["wall_ms"])
    assert any(wait["uses_processor"] for wait in report["slot_waits"])
    assert "waiting for a slot" in told
    assert "has been waiting for a slot" in busy.err


# It has too little memory the first time, and is run once more, alone, with all that there is.
HUNGRY = """
    import time
    import zerrow

    @zerrow.model()
    def hungry(numbers=zerrow.Model("numbers")):
        left = {until} - time.time()
        if left > 0:
            time.sleep(left)
            raise MemoryError
        print("is busy", flush=True)
        time.sleep(3000)
"""


def test_a_model_that_has_all_memory_keeps_no_other_run_waiting_for_ever(neighbours: Neighbours):
    with neighbours.beside(HUNGRY.format(until=time.time() + 5)) as hungry:
        _, report, told = neighbours.innocent()
        assert hungry.poll() is None
    assert {wait["model"] for wait in report["slot_waits"]} == {"hungry"}
    assert "waiting for a slot" in told


# MARK: Processors and processes


def has_cpu_groups(neighbours: Neighbours) -> bool:
    """Whether control groups keep the shares."""
    done = subprocess.run(
        [*neighbours.project.caller.words, "doctor", "--output", "json"],
        capture_output=True,
        text=True,
        env=neighbours.project.environment(),
    )
    check = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "fair shares")
    assert (check["remedy"] is None) == (check["status"] == "present")
    return check["status"] == "present"


@pytest.mark.parametrize("session", ["pass", "os.setsid()"], ids=["one-session", "many-sessions"])
def test_a_model_with_many_busy_processes_takes_no_more_than_its_share(neighbours: Neighbours, session: str):
    if not has_cpu_groups(neighbours) and session != "pass":
        pytest.skip("without control groups a session is a share of its own: docs/security.md")
    check_share(neighbours, SPINNING.replace("SESSION", session), ONE_BUSY)


def test_a_fork_bomb_ends_as_an_error_of_its_model_and_others_go_on(neighbours: Neighbours):
    with neighbours.beside(BOMB) as bomb:
        neighbours.innocent()
        bomb.wait(timeout=280)
        neighbours.innocent()
    message = json.loads(bomb.out)["error"]["message"]
    assert "BlockingIOError" in message
    assert "as many processes and threads as it may have" in message


# MARK: Descriptors


def test_descriptors_on_their_way_stop_nobody_else(neighbours: Neighbours):
    def ticks() -> int:
        return sum(int(word) for word in Path(f"/proc/{neighbours.server.process.pid}/stat").read_text().split()[13:15])

    with neighbours.beside(ONE_SLEEPING):
        before = ticks()
        usual, _, _ = neighbours.innocent()
        spent = ticks() - before
    with neighbours.beside(IN_FLIGHT) as hoarder:
        before = ticks()
        attacked, _, _ = neighbours.innocent()
        spent_beside = ticks() - before
    # The attack is one: the kernel, or the worker's own limit, stopped it.
    assert hoarder.returncode != 0
    assert attacked < 3 * usual, (attacked, usual)
    # The engine doesn't ask the kernel again and again.
    assert spent_beside < 3 * spent + 20, (spent_beside, spent)


# MARK: What the kernel counts by user

LIMITS = """
    import ctypes
    import json
    import os
    import resource
    import zerrow

    @zerrow.model()
    def limits(numbers=zerrow.Model("numbers")):
        names = ("NOFILE", "NPROC", "SIGPENDING", "MEMLOCK")
        found = {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name, 11)) for name in names}
        libc = ctypes.CDLL(None, use_errno=True)
        instances = 0
        while instances < 1000 and libc.inotify_init() >= 0:
            instances += 1
        print("limits:", json.dumps({**found, "inotify": instances}), flush=True)
        return {"n": [1]}
"""


def test_no_worker_has_all_that_its_user_may_have(any_project: Project):
    any_project.write("models.py", LIMITS)
    words = [word for word in any_project.caller.words if not word.endswith("/zerrow")]
    done = subprocess.run([*words, "cat", "/proc/self/limits"], capture_output=True, text=True, check=True)
    # A table of columns of fixed width; "unlimited" is none.
    hard = {line[:25].strip(): line[47:68].strip() for line in done.stdout.splitlines()}
    hard = {name: int(limit) if limit.isdigit() else -1 for name, limit in hard.items()}
    result = any_project.run("--no-cache")
    assert result.code == 0, result.err
    line = next(line for line in result.err.splitlines() if "limits: " in line)
    found = json.loads(line.split("limits: ")[1])
    shared = {"NOFILE": "Max open files", "SIGPENDING": "Max pending signals", "MEMLOCK": "Max locked memory"}
    for name, title in shared.items():
        most = hard[title]
        assert max(found[name]) == most // 2 or most < 0, (name, found[name], most)
    assert 0 < max(found["NPROC"]) <= 4096 + 8 * (os.cpu_count() or 1) ** 2
    assert max(found["NPROC"]) <= hard["Max processes"] or hard["Max processes"] < 0
    # No call of theirs makes an instance, of which a user has few.
    assert found["inotify"] == 0


# MARK: Time


def test_a_model_has_the_time_that_the_project_gives_unless_it_says_otherwise(project: Project):
    project.write(
        "models.py",
        """
        import time
        import zerrow

        @zerrow.model()
        def slow(numbers=zerrow.Model("numbers")):
            time.sleep(3000)

        @zerrow.model(timeout=2)
        def slow_too(numbers=zerrow.Model("numbers")):
            time.sleep(3000)
        """,
    )
    settings = (project.folder / "zerrow_project.yml").read_text()
    project.write("zerrow_project.yml", settings + "timeout: 1.5\n")
    result = project.run("--keep-going")
    messages = {error["model"]: error["message"] for error in result.report["errors"]}
    assert "'timeout' of the project file is 1.5 s" in messages["slow"]
    assert "its own timeout is 2 s" in messages["slow_too"]
    result = project.run("--keep-going", "--timeout", "1")
    messages = {error["model"]: error["message"] for error in result.report["errors"]}
    assert "--timeout of the run is 1 s" in messages["slow"]
    assert "its own timeout is 2 s" in messages["slow_too"]


@pytest.mark.parametrize("value", ["0", "-3", "nan", "soon"])
def test_a_timeout_that_is_none_is_refused_by_name(project: Project, value: str):
    project.write("models.py", INNOCENT)
    done = subprocess.run(project.command("--timeout", value), capture_output=True, text=True)
    assert done.returncode != 0
    assert "--timeout" in done.stderr
    settings = (project.folder / "zerrow_project.yml").read_text()
    project.write("zerrow_project.yml", settings + f"timeout: {value}\n")
    result = project.run()
    assert result.code != 0
    assert "'timeout' must be a positive number of seconds" in result.out + result.err


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))

"""Kill anything at any moment: nothing stays behind, and the command ends by itself."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import wait_until

SLEEPY = """
    import time
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers")):
        print("first is running")
        time.sleep(30)
        return numbers

    @zerrow.model()
    def second(numbers=zerrow.Model("numbers")):
        import subprocess
        subprocess.Popen(["sleep", "1234"], start_new_session=True)
        time.sleep(30)
        return numbers
"""


def descendants(pid: int) -> list[int]:
    """All processes below a process, nearest first."""
    found, queue = [], [pid]
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        parent = int(text[text.rindex(")") + 2 :].split()[1])
        children.setdefault(parent, []).append(int(entry.parent.name))
    while queue:
        for child in children.get(queue.pop(0), []):
            found.append(child)
            queue.append(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"


def engine_of(process: subprocess.Popen) -> int:
    """The launcher execs the engine: it is the same process."""
    return process.pid


def leftovers(pid: int) -> list[str]:
    """What an engine could have left: cgroups that carry its process id."""
    groups = []
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"):
        groups += [str(path) for path in Path(root).glob(f"**/zerrow-{pid}-*") if path.is_dir()]
    return groups


def running(project) -> subprocess.Popen:
    """A run whose model has said that it is running."""
    project.write("models.py", SLEEPY)
    process = project.start("--output", "json")
    for line in process.stderr:
        if "first is running" in line:
            break
    else:
        raise AssertionError("the model never ran")
    return process


def check_nothing_is_left(pid: int, others: list[int]) -> None:
    wait_until(lambda: not any(is_alive(other) for other in others), what="the end of all processes")
    wait_until(lambda: not leftovers(pid), what="the removal of the cgroups")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_a_signal_stops_everything_and_the_report_says_so(project, number):
    process = running(project)
    others = descendants(process.pid)
    assert others
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    report = json.loads(out)
    assert report["status"] == "failed"
    assert {model["status"] for model in report["models"]} <= {"success", "cancelled"}
    check_nothing_is_left(process.pid, others)


def test_a_killed_engine_leaves_nothing(project):
    process = running(project)
    others = descendants(process.pid)
    os.kill(engine_of(process), signal.SIGKILL)
    process.wait(timeout=60)
    check_nothing_is_left(process.pid, others)


def test_every_process_of_a_run_may_be_killed(project):
    """One run per process of it: the engine reports, or is dead; nothing is left; no hang."""
    process = running(project)
    count = len(descendants(process.pid))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    for index in range(count):
        process = running(project)
        others = descendants(process.pid)
        if index < len(others):
            os.kill(others[index], signal.SIGKILL)
            time.sleep(0.1)
        # A killed janitor or `sleep` must not end the run; it would sleep on.
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 1
        check_nothing_is_left(process.pid, others)


@pytest.mark.parametrize("step", range(12))
def test_an_engine_killed_at_any_moment_leaves_nothing(project, step):
    """From before the first process to after the last one: the moments move through a run."""
    project.write(
        "models.py",
        """
        import zerrow

        @zerrow.model()
        def a(numbers=zerrow.Model("numbers")):
            return numbers

        @zerrow.model()
        def b(a=zerrow.Model("a")):
            return a.to_pandas()
        """,
    )
    process = project.start("--output", "json")
    time.sleep(0.15 * step)
    others = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    check_nothing_is_left(process.pid, others)

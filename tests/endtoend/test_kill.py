"""Kill anything at any moment: nothing stays behind, and the command ends by itself."""

import ctypes
import fcntl
import json
import os
import signal
import termios
import time

import pytest
from command import Project, wait_for_line, wait_until
from processes import Processes, check_nothing_is_left, descendants, mounts, stop

# `first` says where it is, and stays there for a moment: while it runs, and while its result is read for publishing.
MODELS = """
    import subprocess
    import time
    import pyarrow as pa
    import zerrow

    def say(text):
        print(text, flush=True)

    class Slow:
        def __init__(self, table):
            self.table = table

        def __arrow_c_stream__(self, requested_schema=None):
            def batches():
                for batch in self.table.to_batches():
                    say("first is publishing")
                    time.sleep({publishing})
                    yield batch
            reader = pa.RecordBatchReader.from_batches(self.table.schema, batches())
            return reader.__arrow_c_stream__(requested_schema)

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers")):
        subprocess.Popen(["sleep", "1234"], start_new_session=True)
        time.sleep(0.2)
        say("first is running")
        time.sleep({running})
        return Slow(numbers)

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return first.to_pandas()
"""
LONG = 300
PIDFD_GETFD = 438


class Started:
    """A run under way."""

    def __init__(self, project: Project, running: float = 0, publishing: float = 0) -> None:
        project.write("models.py", MODELS.format(running=running, publishing=publishing))
        self.mounts = mounts()
        self.process = project.start("--output", "json", "--jobs", "1")
        self.processes = Processes(self.process.pid)
        self.others: list[int] = []

    def wait_for_line(self, text: str) -> None:
        wait_for_line(self.process, text)

    def look(self) -> None:
        """Remember who is there now."""
        self.others = list({*self.others, *descendants(self.process.pid)})

    def end(self) -> dict:
        """Wait for the end; nothing may be left. The report, if there is one."""
        out, self.errors = self.process.communicate(timeout=120)
        check_nothing_is_left(self.process.pid, self.others)
        assert mounts() <= self.mounts
        return json.loads(out) if out.strip() else {}


def reach(project: Project, step: str) -> Started:
    """A run that has come to a step, and stays there."""
    if step == "planning":
        # Much to read: who looks for the planner finds it at work.
        project.write("long.py", "".join(f"x{n} = [a{n}, (b{n} + c{n}) * d{n}]\n" for n in range(250_000)))
    run = Started(project, LONG if step in ("running", "waiting") else 0, LONG if step == "publishing" else 0)
    match step:
        case "planning":
            run.processes.wait_for("planner")
        case "warming up":
            # One that nobody wants yet can be killed, and another one takes its place.
            zygote = run.processes.wait_for("zygote")[0]
            stop(zygote)
            wait_until(lambda: has_been_told_something(zygote), seconds=60, what="a run that wants the zygote")
        case "forking":
            # A stopped worker comes no further than it is: in the middle of its start, as a rule.
            stop_a_worker(run.processes)
        case "running":
            run.wait_for_line("first is running")
        case "waiting":
            # The worker of `second` was forked ahead, and waits for its input.
            run.wait_for_line("first is running")
            run.processes.wait_for("worker", 2)
        case "publishing":
            run.wait_for_line("first is publishing")
    run.look()
    return run


def has_been_told_something(zygote: int) -> bool:
    """Whether a message waits in the socket of a stopped zygote."""
    pidfd = os.pidfd_open(zygote)
    control = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, 3, 0)
    assert control >= 0, os.strerror(ctypes.get_errno())
    waiting = fcntl.ioctl(control, termios.FIONREAD, b"\0" * 4)
    os.close(control)
    os.close(pidfd)
    return any(waiting)


def stop_a_worker(processes: Processes) -> None:
    """Stop the first worker that does not end before it is stopped."""

    def is_stopped() -> bool:
        try:
            stop(processes.workers[-1])
        except (IndexError, OSError):
            return False
        return True

    wait_until(is_stopped, what="a stopped worker", pause=0)


STEPS = ["warming up", "forking", "running", "waiting", "publishing"]


@pytest.mark.parametrize("step", ["planning", *STEPS])
def test_a_killed_engine_leaves_nothing(any_project: Project, step: str):
    run = reach(any_project, step)
    os.kill(run.process.pid, signal.SIGKILL)
    run.end()
    assert run.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "terminate", "hang up"]
)
@pytest.mark.parametrize("step", ["planning", *STEPS])
def test_a_signal_stops_everything_and_the_report_says_so(project: Project, step: str, number: signal.Signals):
    run = reach(project, step)
    run.process.send_signal(number)
    report = run.end()
    assert run.process.returncode == 1
    assert report["status"] == "failed"
    assert "interrupted" in report["error"]["message"] or "cancelled" in report["error"]["message"]
    assert {model["status"] for model in report["models"]} <= {"success", "cancelled"}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_zygote_fails_the_run(any_project: Project, step: str):
    run = reach(any_project, step)
    os.kill(run.processes.zygotes[0], signal.SIGKILL)
    report = run.end()
    assert run.process.returncode == 1
    assert "zygote" in report["error"]["message"]
    assert report["error"]["model"] in ("numbers", "first", "second")


def test_a_zygote_that_is_killed_before_a_run_wants_it_is_not_missed(any_project: Project):
    run = reach(any_project, "planning")
    os.kill(run.processes.wait_for("zygote")[0], signal.SIGKILL)
    report = run.end()
    assert (run.process.returncode, report["status"]) == (0, "success")


@pytest.mark.parametrize("step", ["forking", "running", "waiting", "publishing"])
def test_a_killed_worker_fails_its_model(any_project: Project, step: str):
    run = reach(any_project, step)
    workers = run.processes.workers
    victim = workers[-1] if step in ("waiting", "forking") else workers[0]
    os.kill(victim, signal.SIGKILL)
    if step == "waiting":
        # It was the second's, and has nothing to do yet: the run fails with it, and the first is stopped.
        report = run.end()
        assert report["error"]["model"] == "second"
    else:
        report = run.end()
        assert report["error"]["model"] in (("numbers", "first", "second") if step == "forking" else ("first",))
    assert run.process.returncode == 1
    assert "killed" in report["error"]["message"]


@pytest.mark.parametrize("kind", ["janitor", "child"])
def test_a_run_does_not_need_its_janitor_or_what_a_model_started(project: Project, kind: str):
    run = Started(project, running=2)
    run.wait_for_line("first is running")
    run.look()
    victims = run.processes.of_kind(kind)
    if kind == "child":
        assert victims
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    report = run.end()
    assert run.process.returncode == 0, run.errors
    assert report["status"] == "success"


@pytest.mark.parametrize("kind", ["zygote", "worker"])
def test_what_hangs_does_not_keep_ctrl_c_from_ending_the_run(any_project: Project, kind: str):
    run = reach(any_project, "running")
    stop(run.processes.of_kind(kind)[0])
    run.process.send_signal(signal.SIGINT)
    report = run.end()
    assert run.process.returncode == 1
    assert report["status"] == "failed"


@pytest.mark.parametrize("step", range(12))
def test_an_engine_killed_at_any_moment_leaves_nothing(project: Project, step: int):
    """From before the first process to after the last one, previews included: the moments move through a run."""
    project.write("models.py", MODELS.format(running=0, publishing=0))
    process = project.start()
    time.sleep(0.15 * step)
    others = descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    check_nothing_is_left(process.pid, others)


def test_without_a_sandbox_nothing_is_left_either(any_project: Project):
    project = any_project
    project.write("models.py", MODELS.format(running=LONG, publishing=0))
    for number in (signal.SIGINT, signal.SIGKILL):
        process = project.start("--output", "json", "--no-sandbox")
        wait_for_line(process, "first is running")
        others = [pid for pid in descendants(process.pid)]
        process.send_signal(number)
        process.communicate(timeout=60)
        check_nothing_is_left(process.pid, others)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_prepare_command_ends_with_the_engine(project: Project, number: signal.Signals):
    project.write(
        "zerrow_project.yml",
        """
        project: {name: test}
        sources:
          numbers: data/numbers.parquet
          later: data/later.parquet
        prepare: python make.py
        """,
    )
    project.write("make.py", "import subprocess\nprint('making', flush=True)\nsubprocess.run(['sleep', '3333'])\n")
    models = MODELS.format(running=0, publishing=0)
    project.write("models.py", models.replace('zerrow.Model("numbers")', 'zerrow.Model("later")'))
    process = project.start("--output", "json")
    for line in process.stderr:
        if line.strip() == "making":
            break
    else:
        raise AssertionError("the prepare command did not run")
    wait_until(lambda: len(descendants(process.pid)) >= 3, what="the whole command")
    others = descendants(process.pid)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    check_nothing_is_left(process.pid, others)
    if number == signal.SIGINT:
        assert process.returncode == 1
        assert json.loads(out)["error"]["message"] == "interrupted"


def test_two_runs_at_a_time_do_not_disturb_each_other(project: Project):
    project.write("models.py", MODELS.format(running=1, publishing=0))
    runs = [project.start("--output", "json") for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
        assert json.loads(out)["status"] == "success"

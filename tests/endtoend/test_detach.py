"""`run --detach` goes on without the terminal that it was called from."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time

from command import wait_until
from jobs import Jobs

SLOW = """
    import time
    import zerrow


    @zerrow.model()
    def slow(numbers=zerrow.Model("numbers", columns=["a"])):
        print("begun")
        time.sleep({seconds})
        print("woken")
        return numbers
"""


def detach(jobs: Jobs, *words: str, env: dict | None = None) -> str:
    """Begin a run and return its job's id, which is all that it prints."""
    done = jobs.call("run", "-p", str(jobs.project.folder), "--detach", *words, env=env)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 12 and done.stdout.count("\n") == 1
    return done.stdout.strip()


def test_a_detached_run_prints_its_id_and_goes_on(any_jobs: Jobs) -> None:
    any_jobs.project.write("models.py", SLOW.format(seconds=3))
    # The pipes that the call is read through end with it: nothing of the run holds them.
    job = detach(any_jobs)
    assert any_jobs.get(job)["status"] in ("not-started", "running")
    full = any_jobs.wait(job, "complete", "fail", "abort")
    assert full["status"] == "complete" and full["options"]["detach"] is True
    assert [line["text"] for line in any_jobs.logs(job)] == ["begun", "woken"]


def test_as_json_it_is_one_object_that_has_the_id(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLOW.format(seconds=0))
    done = jobs.call("run", "-p", str(jobs.project.folder), "--detach", "-O", "json")
    job = json.loads(done.stdout)
    assert (done.returncode, job["kind"], job["project"]) == (0, "run", "test"), done.stderr
    assert jobs.wait(job["id"], "complete", "fail", "abort")["status"] == "complete"


def test_it_is_stopped_by_its_id(any_jobs: Jobs) -> None:
    any_jobs.project.write("models.py", SLOW.format(seconds=600))
    job = detach(any_jobs)
    wait_until(lambda: any_jobs.logs(job), seconds=60, what="a print")
    stopped = any_jobs.call("job", "stop", job)
    assert stopped.stdout.split() == [job, "abort"], stopped.stderr


def test_it_survives_its_terminal(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLOW.format(seconds=3))
    process, terminal = pty.fork()
    if process == 0:
        command = jobs.project.command("--detach")
        os.execve(command[0], command, jobs.project.environment(jobs.env))
    output = b""
    try:
        while piece := os.read(terminal, 4096):
            output += piece
    except OSError:  # the terminal's last user is gone
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    job = output.decode().split()[-1]
    assert jobs.wait(job, "complete", "fail", "abort")["status"] == "complete"


def test_it_goes_on_in_the_engine_that_serves(jobs: Jobs, serve) -> None:
    jobs.project.write("models.py", SLOW.format(seconds=2))
    server = serve(jobs.project.caller)
    job = detach(jobs, env=server.environment)
    assert jobs.wait(job, "complete", "fail", "abort")["status"] == "complete"
    assert job in server.log.read_text()
    assert len(jobs.ls()) == 1


def test_a_project_that_cannot_be_planned_prints_no_id(jobs: Jobs) -> None:
    jobs.project.write("broken.sql", "select nothing from numbers")
    done = jobs.call("run", "-p", str(jobs.project.folder), "-d")
    assert done.returncode == 1 and done.stdout == "" and "nothing" in done.stderr
    [job] = jobs.ls()
    assert job["status"] == "fail"
    done = jobs.call("run", "-p", str(jobs.project.folder), "-d", "-O", "json")
    assert json.loads(done.stdout)["status"] == "failed"


def test_without_a_folder_for_jobs_it_is_refused(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLOW.format(seconds=0))
    for value in ("", "/proc/zerrow/jobs"):
        done = jobs.call("run", "-p", str(jobs.project.folder), "-d", env={"ZERROW_JOBS": value})
        assert done.returncode == 1 and done.stdout == "" and "--detach" in done.stderr, value


def test_it_gives_up_the_descriptors_of_its_caller(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLOW.format(seconds=600))
    reading, writing = os.pipe()
    done = subprocess.run(
        jobs.project.command("-d"), capture_output=True, text=True, pass_fds=[writing],
        env=jobs.project.environment(jobs.env),
    )  # fmt: skip
    os.close(writing)
    job = done.stdout.strip()
    try:
        assert os.read(reading, 1) == b""
        assert jobs.get(job)["status"] in ("not-started", "running")
    finally:
        os.close(reading)
        jobs.call("job", "stop", job)


def test_a_kill_of_its_process_leaves_nothing(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLOW.format(seconds=600))
    job = detach(jobs)
    wait_until(lambda: jobs.logs(job), seconds=60, what="a print")
    process = json.loads((jobs.folder / f"{job}.json").read_text())["process"]
    os.kill(process, signal.SIGKILL)
    assert jobs.wait(job, "abort")["error"] == "its process was killed"
    time.sleep(0.1)
    assert jobs.ls("--status", "running") == []

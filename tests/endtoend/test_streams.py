"""Standard output that takes no more is an error; standard error that takes no more changes nothing."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
from command import HOME, Project, wait_until

MODEL = """
    import zerrow

    @zerrow.model()
    def all_of_it(numbers=zerrow.Model("numbers")):
        print("a line", flush=True)
        return numbers
"""
COMMANDS = {
    "run": ["run", "-p", "{project}"],
    "run json": ["run", "-p", "{project}", "-O", "json"],
    "query": ["query", "-p", "{project}", "select count(*) as n from all_of_it"],
    "query json": ["query", "-p", "{project}", "-O", "json", "select count(*) as n from all_of_it"],
    "plan": ["plan", "-p", "{project}"],
    "plan json": ["plan", "-p", "{project}", "-O", "json"],
    "doctor": ["doctor"],
    "doctor json": ["doctor", "-O", "json"],
    "help": ["--help"],
    "help of run": ["run", "--help"],
    "version": ["--version"],
}


def words(project: Project, command: str) -> list[str]:
    """The words of a call."""
    project.write("models.py", MODEL)
    return [*project.caller.words, *(word.format(project=project.folder) for word in COMMANDS[command])]


def call(project: Project, command: str, stdout, stderr=subprocess.PIPE, **options) -> subprocess.CompletedProcess:
    """One call with a standard output of the test's."""
    return subprocess.run(
        words(project, command),
        stdout=stdout,
        stderr=stderr,
        text=True,
        env=project.environment(),
        timeout=120,
        **options,
    )


def complaint(errors: str) -> str:
    """The line about standard output."""
    (line,) = [line for line in errors.splitlines() if "standard output" in line]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_result_that_finds_no_room_is_an_error(project: Project, command: str):
    with open("/dev/full", "w") as full:
        done = call(project, command, full)
    assert done.returncode == 1
    assert "No space left on device" in complaint(done.stderr)


@pytest.mark.parametrize("command", ["run json", "plan", "version"])
def test_a_closed_standard_output_is_an_error(project: Project, command: str):
    done = call(project, command, None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert "Bad file descriptor" in complaint(done.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_is_gone_ends_the_command_quietly_by_the_signal_for_it(project: Project, command: str):
    reading, writing = os.pipe()
    os.close(reading)
    done = call(project, command, writing)
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE
    assert "standard output" not in done.stderr and "error" not in done.stderr


def test_a_reader_that_is_gone_is_an_error_to_who_ignores_that_signal(project: Project):
    reading, writing = os.pipe()
    os.close(reading)
    done = call(
        project,
        "plan json",
        writing,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
        restore_signals=False,
    )
    os.close(writing)
    assert done.returncode == 1 and "Broken pipe" in complaint(done.stderr)


def test_head_takes_its_line_and_nothing_is_said(project: Project):
    line = " ".join(f"'{word}'" for word in words(project, "run"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} 2>/dev/null | head -1"],
        capture_output=True, text=True, env=project.environment(), timeout=120,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""
    # It may have written all before its reader went.
    assert done.returncode in (0, 128 + signal.SIGPIPE)


@pytest.mark.parametrize("kind", ["full", "gone", "closed"])
def test_standard_error_that_takes_nothing_changes_no_result(project: Project, kind: str):
    if kind == "closed":
        done = call(project, "run json", subprocess.PIPE, None, preexec_fn=lambda: os.close(2))
    elif kind == "full":
        with open("/dev/full", "w") as full:
            done = call(project, "run json", subprocess.PIPE, full)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        done = call(project, "run json", subprocess.PIPE, writing)
        os.close(writing)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "success"


def test_what_failed_is_said_also_where_its_report_finds_no_room(project: Project):
    project.write("bad.py", "import zerrow\n\n@zerrow.model()\ndef bad(numbers=zerrow.Model('numbers')):\n    1 / 0\n")
    with open("/dev/full", "w") as full:
        done = call(project, "run json", full)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr and complaint(done.stderr)


def test_a_file_that_may_not_grow_is_an_error_and_no_signal(project: Project, tmp_path: Path):
    """RLIMIT_FSIZE: the command that is refused ends by itself."""
    line = " ".join(f"'{word}'" for word in words(project, "help of run"))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 1; exec {line} >'{tmp_path}/help'"],
        capture_output=True, text=True, env=project.environment(), timeout=120,
    )  # fmt: skip
    assert (tmp_path / "help").stat().st_size == 1024
    assert done.returncode == 1 and "File too large" in complaint(done.stderr)


def test_a_benchmark_that_can_not_print_its_result_fails(tmp_path: Path):
    """By the function that all of them print with."""
    text = "import sys; sys.path.insert(0, sys.argv[1])\nfrom measure import result_on_stdout\n"
    text += "with result_on_stdout():\n    print('x' * 100000)\n"
    python = HOME / ".zerrow" / "env" / "bin" / "python"
    words = [str(python), "-c", text, str(HOME / "bench")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No space left" in complaint(done.stderr)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE and done.stderr == ""


LOUD = """
    import os
    import zerrow

    @zerrow.model()
    def loud(numbers=zerrow.Model("numbers")):
        while True:
            os.write(1, b"\\n" * 65536)
"""


def is_full(pipe) -> bool:
    """Whether a pipe that nobody reads has stopped to fill."""
    before = unread(pipe)
    time.sleep(0.5)
    return before >= 1 << 15 and unread(pipe) == before


def unread(pipe) -> int:
    """The bytes that wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.fixture(params=["its own engine", "an engine that serves"])
def loud(request: pytest.FixtureRequest, project: Project, serve):
    """The command of a run that prints more than anybody can read, when it has begun to."""
    project.write("models.py", LOUD)
    environment = {} if request.param == "its own engine" else serve(project.caller).environment
    with subprocess.Popen(
        project.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=project.environment(environment)
    ) as command:
        for line in command.stderr:
            if b"loud" in line:
                break
        yield command
        command.kill()


def test_a_run_that_prints_without_end_hears_a_signal(loud: subprocess.Popen):
    time.sleep(1)
    loud.send_signal(signal.SIGINT)
    text = b""
    # What was on its way, and what a turn takes, is less. Who hears when all is printed prints many times as much.
    while b"interrupted" not in text:
        text += loud.stderr.read1(1 << 20)
        assert len(text) < 4 << 20
    loud.communicate()
    assert loud.returncode == 1


def test_a_signal_ends_a_run_whose_output_nobody_reads(loud: subprocess.Popen):
    wait_until(lambda: is_full(loud.stderr), seconds=60, what="a full pipe", pause=0.5)
    loud.send_signal(signal.SIGINT)
    assert loud.wait(60) == 1


def test_a_result_that_is_read_slowly_arrives_whole(project: Project):
    for number in range(90):
        project.write(f"{'long' * 25}{number}.sql", "select count(*) as n from numbers")
    words = project.command("--output", "json")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=project.environment()
    ) as command:
        # All is run, and what is left of the result waits for room.
        wait_until(lambda: is_full(command.stdout), seconds=120, what="a full pipe", pause=0.5)
        text = command.stdout.read()
    assert command.returncode == 0
    assert len(text) > 1 << 16
    assert len(json.loads(text)["models"]) == 91

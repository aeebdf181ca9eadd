"""A project's prepare command: one run at a time makes the missing sources, with the signals of its caller."""

import json
import signal
from pathlib import Path

import pytest
from command import Project, wait_for_line

MODEL = """
    import zerrow

    @zerrow.model()
    def counted(later=zerrow.Model("later")):
        return {"n": [len(later)]}
"""
COPY = "import shutil\nshutil.copy('data/numbers.parquet', 'data/later.parquet')\n"


def prepared(project: Project, make: str, command: str = "python make.py") -> Project:
    """A project whose only source is missing; `make` is the text of the script that makes it."""
    project.write(
        "zerrow_project.yml",
        f"""
        project: {{name: test}}
        sources:
          later: data/later.parquet
        prepare: {command}
        """,
    )
    project.write("make.py", make)
    project.write("models.py", MODEL)
    return project


def ignored(status: Path) -> set[signal.Signals]:
    """The signals that a process ignores, by its status."""
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("SigIgn")]
    bits = int(line.split()[1], 16)
    return {number for number in signal.Signals if bits >> number - 1 & 1}


@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_prepare_command_has_the_signals_of_its_caller(project: Project, is_ignored: bool):
    prepared(project, "open('signals', 'w').write(open('/proc/self/status').read())\n" + COPY)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        run = project.start()
    finally:
        signal.signal(signal.SIGHUP, before)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    meant = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTTOU}
    # Who runs the tests may ignore some, as a shell does for what it starts in the background.
    own = ignored(Path("/proc/self/status")) - {signal.SIGHUP} | ({signal.SIGHUP} if is_ignored else set())
    assert ignored(project.folder / "signals") & meant == own & meant


def test_of_runs_that_begin_together_one_makes_the_sources(project: Project):
    prepared(project, "import time\nopen('made', 'a').write('x')\ntime.sleep(1)\n" + COPY)
    for run in [project.start("--output", "json") for _ in range(3)]:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
        assert json.loads(out)["status"] == "success"
    assert (project.folder / "made").read_text() == "x"


def test_a_run_that_waits_for_another_ones_sources_hears_a_signal(project: Project):
    prepared(project, "", command="sleep 3333")
    first = project.start()
    wait_for_line(first, "making later")
    second = project.start()
    wait_for_line(second, "waiting for another run")
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 1
    # Also after a kill the turn is the next one's.
    third = project.start()
    wait_for_line(third, "waiting for another run")
    first.kill()
    wait_for_line(third, "making later")
    third.send_signal(signal.SIGINT)
    assert third.wait(60) == 1
    first.wait()

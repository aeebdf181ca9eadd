"""An engine gets ready while a project is planned; nobody but the clock notices."""

from __future__ import annotations

import os
import signal
import subprocess

from command import Project, wait_until
from planning import MODEL, limited, plan
from processes import Processes, check_nothing_is_left, is_alive


def test_a_zygote_starts_beside_the_planner_and_ends_with_a_run_that_is_stopped(any_project: Project):
    limited(any_project)
    client = any_project.start("--no-serve")
    zygotes: list[int] = []

    def are_both_there() -> bool:
        zygotes[:] = Processes(client.pid).zygotes
        return bool(zygotes and Processes(client.pid).planners)

    wait_until(are_both_there, what="a planner and a zygote at once")
    assert len(zygotes) == 1
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=60)
    assert client.returncode == 1
    assert not any(map(is_alive, zygotes))
    check_nothing_is_left(client.pid, zygotes)


def test_a_zygote_that_started_early_runs_the_models(project: Project):
    project.write("models.py", MODEL)
    project.write("more.sql", "SELECT count(*) AS n FROM model")
    result = project.run("--no-serve")
    assert (result.code, result.model("more")["output"]["rows"]) == (0, 1), result.err


def test_a_project_that_cannot_be_planned_is_told_as_ever(project: Project):
    project.write(
        "models.py", "import zerrow\n@zerrow.model()\ndef model(numbers=zerrow.Model('nowhere')): return numbers"
    )
    said = plan(project).stderr
    done = plan(project, "--no-serve", command="run")
    assert (done.returncode, done.stderr) == (1, said)


def test_the_prepare_command_has_the_descriptors_of_its_caller(project: Project):
    """An engine may have more, which programs that select(2) can't use."""
    command = "import resource, shutil; print('limit', resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True); "
    command += "shutil.copy('data/numbers.parquet', 'data/made.parquet')"
    declared = (project.folder / "zerrow_project.yml").read_text() + "  made: data/made.parquet\n"
    project.write("zerrow_project.yml", declared + f"prepare: [python, -c, {command!r}]\n".replace("\\n", " "))
    project.write("models.py", MODEL.replace('"numbers"', '"made"'))
    words = ["bash", "-c", 'ulimit -S -n 301; exec "$@"', "-", *project.command("--no-serve")]
    done = subprocess.run(words, capture_output=True, text=True, env=project.environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    assert "limit 301" in done.stderr + done.stdout
    assert os.path.exists(project.folder / "data" / "made.parquet")

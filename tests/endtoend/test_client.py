"""Scripts that run projects by `bauplan.Client`, in the styles that published ones have."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from client_scripts import SECRET, SLOW, SYSTEM_PYTHON, Scripts
from command import wait_until

CI = """
import sys
import bauplan

def main() -> int:
    client = bauplan.Client(profile="ci", api_key="%s", client_timeout=30)
    state = client.run(project_dir="project", ref="main", cache="off", strict="on", dry_run=True, {arguments})
    if str(state.job_status).lower() != "success":
        print(f"{{state.job_id}} failed: {{state.job_status}} - {{state.error}}", file=sys.stderr)
        return 1
    print('"ok"')
    return 0

if __name__ == "__main__":
    sys.exit(main())
""".replace("%s", SECRET)


def test_a_script_of_ci_fails_with_its_run(script: Scripts):
    good = CI.format(arguments="parameters={'most': 10}").replace('strict="on"', 'strict="off"')
    assert script(good, python=SYSTEM_PYTHON) == "ok"
    code, out, err = script.fails(CI.format(arguments="parameters={'most': 10}"), python=SYSTEM_PYTHON)
    assert (code, out) == (1, "")
    assert "FAILED - model 'twice': " in err
    assert "the model declares the columns a, but the result has a, c" in err
    assert SECRET not in err


def test_a_state_says_how_the_run_went(script: Scripts):
    found = script(
        """
        import json, os, pathlib, time, bauplan
        before = time.time()
        state = bauplan.Client().run(pathlib.Path("project"), parameters={"most": 7}, strict=False, dry_run=True)
        after = time.time()
        times = [before, *(m.timestamp() for m in state.tasks_started.values()), after]
        ends = [before, *(m.timestamp() for m in state.tasks_stopped.values()), after]
        assert min(times) == min(ends) == before and max(times) == max(ends) == after
        assert state.tasks_started["small"] < state.tasks_stopped["small"] < state.tasks_stopped["twice"]
        assert state.duration == state.duration_ns / 1e9 > 0
        assert state.ended_at_ns - state.started_at_ns == state.duration_ns
        print(json.dumps({
            "id": bool(state.job_id), "status": state.job_status, "error": state.error,
            "tasks": sorted(state.tasks_stopped),
            "logs": [(event.message, str(event.stream)) for event in state.user_logs if event.model == "small"],
            "ctx": [state.ctx.dry_run, state.ctx.strict, state.ctx.cache, state.ctx.ref, state.ctx.project_dir],
            "same": [state.ctx.strict == "off", state.ctx.strict == False, bool(state.ctx.strict)],
            "snapshot": len(state.ctx.snapshot_id),
        }))
        """,
        python=SYSTEM_PYTHON,
    )
    assert found == {
        "id": True,
        "status": "SUCCESS",
        "error": None,
        "tasks": ["is_small", "numbers", "small", "twice"],
        "logs": [["most is 7", "STDOUT"]],
        "ctx": [True, "off", "", "main", "project"],
        "same": [True, True, False],
        "snapshot": 64,
    }


def test_a_failed_model_raises_nothing(script: Scripts):
    script.project.write(
        "bad.py", "import bauplan\n\n@bauplan.model()\ndef bad(t=bauplan.Model('twice')):\n    return t['no']\n"
    )
    found = script(
        """
        import json, bauplan
        state = bauplan.Client().run("project")
        print(json.dumps([state.job_status, state.error, sorted(state.tasks_started)]))
        """,
        python=SYSTEM_PYTHON,
    )
    assert found[0] == "FAILED"
    assert "bad" in found[1] and "KeyError" in found[1]
    # What was to be published may have been at work already.
    tasks = [name for name in found[2] if not name.startswith("publish ")]
    assert tasks == ["bad", "is_small", "numbers", "small", "twice"]


def test_values_of_parameters_arrive_as_what_they_are(script: Scripts):
    script.project.write(
        "models.py",
        """
        import bauplan

        @bauplan.model()
        def p(t=bauplan.Model("numbers", columns=["a"]), most=bauplan.Parameter("most"), rate=bauplan.Parameter("rate"),
              note=bauplan.Parameter("note"), flag=bauplan.Parameter("flag"), token=bauplan.Parameter("token")):
            print(repr((most, rate, note, flag, token[::-1])))
            return t
        """,
    )
    values = {"most": -5, "rate": 1e-7, "note": "a=b, 'c' \" \\ ü\n2", "flag": False, "token": SECRET}
    (line,) = script(
        f"""
        import json, bauplan
        state = bauplan.Client().run("project", parameters={values!r})
        assert state.job_status == "SUCCESS", state.error
        print(json.dumps([event.message for event in state.user_logs]))
        """,
        python=SYSTEM_PYTHON,
    )
    assert line == repr((*list(values.values())[:-1], SECRET[::-1]))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("parameters={'nope': 1}", "ValueError: zerrow_project.yml: the project has no parameter 'nope'"),
        ("parameters={'most': [1]}", "TypeError: the parameter 'most' is a text, a number or a bool, not list"),
        ("parameters={'rate': float('nan')}", "ValueError: the parameter 'rate' is no finite number"),
        ("cache='yes'", "ValueError: cache must be 'on' or 'off', not 'yes'"),
        ("strict='1'", "ValueError: strict must be 'on' or 'off', not '1'"),
        ("preview='all'", "ValueError: preview must be one of on, off, head, tail, not 'all'"),
        ("priority=11", "ValueError: priority must be between 1 and 10"),
        (
            "ref='dev'",
            "bauplan.exceptions.RefNotFoundError: there is no ref 'dev': zerrow has one branch, 'main', for now",
        ),
        ("ref='main@abc'", "bauplan.exceptions.RefNotFoundError: there is no ref 'main@abc'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(script: Scripts, arguments: str, error: str):
    code, _, err = script.fails(f"import bauplan\nbauplan.Client().run('project', {arguments})\n", python=SYSTEM_PYTHON)
    assert code == 1
    assert f"\n{error}" in err


def test_projects_that_cannot_be_read_raise_an_error_of_jobs(script: Scripts):
    (script.folder / "empty").mkdir()
    both = script.folder / "both"
    both.mkdir()
    (both / "bauplan_project.yml").write_text("project: {}\n")
    (both / "bauplan_project.yaml").write_text("project: {}\n")
    bad = script.folder / "bad"
    bad.mkdir()
    (bad / "bauplan_project.yml").write_text("project: {id: [\n")
    found = script(
        """
        import json, bauplan
        client, said = bauplan.Client(), []
        for name in ("nowhere", "empty", "both", "bad"):
            try:
                client.run(project_dir=name)
            except bauplan.exceptions.BauplanJobError as error:
                said.append(str(error))
        print(json.dumps(said))
        """,
        python=SYSTEM_PYTHON,
    )
    assert len(found) == 4
    assert "nowhere is not a folder" in found[0]
    assert "no bauplan_project.yml was found in empty" in found[1]
    assert "both bauplan_project.yml and bauplan_project.yaml are in both" in found[2]
    assert found[3].startswith("bauplan_project.yml:")


def test_no_list_of_processes_shows_parameters(script: Scripts):
    script.project.write(
        "models.py",
        """
        import time, bauplan

        @bauplan.model()
        def slow(t=bauplan.Model("numbers"), token=bauplan.Parameter("token")):
            print("slow begins")
            time.sleep(600)
        """,
    )
    process = script.start(
        """
        import bauplan, logging, os
        logging.basicConfig(level=logging.DEBUG)
        bauplan.Client().run("project", parameters={"token": os.environ["MY_TOKEN"]}, client_timeout=600)
        """,
        python=SYSTEM_PYTHON,
        MY_TOKEN=SECRET,
    )
    try:
        wait_until(lambda: children(process.pid), seconds=60, what="a run")
        deadline = time.monotonic() + 5
        seen: set[str] = set()
        while time.monotonic() < deadline:
            seen |= command_lines()
            time.sleep(0.05)
        assert any("project" in line for line in seen)
        assert not any(SECRET in line for line in seen)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert SECRET not in err


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(each) for each in task.read_text().split()]
    return found


def command_lines() -> set[str]:
    """The command lines of all processes."""
    lines = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


@pytest.mark.parametrize("way", ["interrupt", "timeout"])
def test_what_ends_the_wait_stops_the_run(script: Scripts, way: str):
    script.project.write("models.py", SLOW)
    limit = "client_timeout=4" if way == "timeout" else ""
    process = script.start(
        f"""
        import logging, bauplan
        logging.basicConfig(level=logging.DEBUG)
        bauplan.Client().run("project", {limit})
        """,
        python=SYSTEM_PYTHON,
    )
    wait_until(lambda: children(process.pid), seconds=60, what="a run")
    (command,) = children(process.pid)
    if way == "interrupt":
        wait_until(lambda: zygotes(command), seconds=60, what="a worker")
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    message = "BauplanJobError: the run took longer than 4 s, and was stopped" if limit else "KeyboardInterrupt"
    assert message in err
    assert not os.path.exists(f"/proc/{command}")


def zygotes(pid: int) -> list[int]:
    return [grandchild for child in children(pid) for grandchild in children(child)]

"""Each run and each query is remembered: what was asked, how it went, what was printed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from command import HOME, IS_ROOT, wait_for_line
from jobs import Jobs

TALKS = """
    import sys
    import zerrow


    @zerrow.model()
    def talks(numbers=zerrow.Model("numbers", columns=["a"])):
        print("hello from the model")
        print("and to stderr", file=sys.stderr)
        return numbers


    @zerrow.model()
    def after(talks=zerrow.Model("talks")):
        return talks
"""
SLEEPS = """
    import time
    import zerrow


    @zerrow.model()
    def sleeps(numbers=zerrow.Model("numbers", columns=["a"])):
        print("asleep")
        time.sleep(600)
        return numbers
"""
FAILS = """
    import zerrow


    @zerrow.model()
    def fails(numbers=zerrow.Model("numbers", columns=["a"])):
        print("about to fail")
        raise ValueError("no such luck")
"""


def test_a_run_is_remembered_with_its_models_options_and_prints(any_jobs: Jobs) -> None:
    project = any_jobs.project
    project.write("models.py", TALKS)
    before = time.time_ns()
    done = project.run("--strict", "--priority", "7", env=any_jobs.env)
    assert done.code == 0, done.err
    [job] = any_jobs.ls()
    assert job["id"] == done.report["run"]
    assert (job["kind"], job["status"], job["error"]) == ("run", "complete", None)
    assert job["project"] == "test" and job["folder"] == os.path.realpath(project.folder)
    assert before < job["started_at_ns"] < job["ended_at_ns"] < time.time_ns()
    full = any_jobs.get(job["id"])
    assert {key: full[key] for key in job} == job
    assert full["options"]["strict"] is True and full["options"]["priority"] == 7 and full["options"]["ref"] == "main"
    models = {model["name"]: model for model in full["models"]}
    assert set(models) == {"numbers", "talks", "after"} == {m["name"] for m in done.report["models"]}
    assert models["after"]["inputs"] == ["talks"] and models["after"]["file"] == "models.py"
    assert models["talks"]["started_at_ns"] < models["talks"]["ended_at_ns"] <= models["after"]["ended_at_ns"]
    assert all(model["status"] == "success" for model in models.values())
    logs = any_jobs.logs(job["id"])
    assert [(line["model"], line["text"]) for line in logs] == [
        ("talks", "hello from the model"), ("talks", "and to stderr"),
    ]  # fmt: skip


def test_what_zerrow_says_is_kept_apart_from_what_models_print(jobs: Jobs) -> None:
    jobs.project.write("models.py", FAILS)
    done = jobs.project.run("-a", "runtime=x", env=jobs.env)
    assert done.code == 1
    [job] = jobs.ls()
    assert job["status"] == "fail" and "no such luck" in job["error"]
    assert [line["text"] for line in jobs.logs(job["id"])] == ["about to fail"]
    system = jobs.logs(job["id"], "--system")
    assert {line["stream"] for line in system} == {"system"}
    assert any("'runtime' says nothing" in line["text"] for line in system)
    assert any("no such luck" in line["text"] for line in system)
    everything = jobs.logs(job["id"], "--all")
    assert len(everything) == len(system) + 1
    assert jobs.call("job", "logs", job["id"]).stdout.rstrip() == "fails │ about to fail" or os.environ.get("LC_ALL")


def test_a_query_is_a_job_and_lists_can_be_narrowed(jobs: Jobs) -> None:
    jobs.project.write("models.py", TALKS)
    folder = str(jobs.project.folder)
    good = jobs.call("query", "-p", folder, "select count(*) as n from numbers")
    bad = jobs.call("query", "-p", folder, "select nothing from numbers")
    assert good.returncode == 0 and bad.returncode == 1
    jobs.project.run(env=jobs.env)
    assert [(job["kind"], job["status"]) for job in jobs.ls()] == [
        ("run", "complete"), ("query", "fail"), ("query", "complete"),
    ]  # fmt: skip
    assert [job["kind"] for job in jobs.ls("--kind", "query")] == ["query", "query"]
    assert [job["status"] for job in jobs.ls("--status", "fail")] == ["fail"]
    assert len(jobs.ls("--status", "fail", "--status", "complete")) == 3
    assert len(jobs.ls("--limit", "1")) == 1
    query = jobs.get(jobs.ls("--kind", "query", "--status", "complete")[0]["id"])
    assert query["options"]["sql"] == "select count(*) as n from numbers"
    assert jobs.call("job", "ls", "--status", "rubbish").returncode == 2


def test_a_project_that_cannot_be_planned_is_a_failed_job(jobs: Jobs) -> None:
    jobs.project.write("models.sql", "select nothing from numbers")
    done = jobs.project.run(env=jobs.env)
    [job] = jobs.ls()
    assert done.code == 1 and job["status"] == "fail" and job["id"] == done.report["run"]
    assert "nothing" in job["error"]


def test_ids_may_be_abbreviated_and_wrong_ones_are_errors(jobs: Jobs) -> None:
    jobs.project.write("models.py", TALKS)
    assert jobs.call("job", "get", "abc").returncode == 1
    ids = [jobs.project.run(env=jobs.env).report["run"] for _ in range(3)]
    for each in ids:
        length = next(n for n in range(1, 13) if sum(other.startswith(each[:n]) for other in ids) == 1)
        assert jobs.get(each[:length])["id"] == each
    # A made-up one beside a real one, so that something is ambiguous.
    folder = jobs.folder
    twin = ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1")
    (folder / f"{twin}.json").write_text((folder / f"{ids[0]}.json").read_text().replace(ids[0], twin))
    (folder / f"{twin}.json").chmod(0o600)
    for verb in ("get", "logs", "stop"):
        for word, what in [(ids[0][:-1], "several jobs"), ("zzz", "no job's id"), ("", "no job's id")]:
            done = jobs.call("job", verb, word, "-O", "json")
            assert done.returncode == 1, (verb, word)
            assert what in json.loads(done.stdout)["error"] and what in done.stderr
    missing = next(f"{n:012x}" for n in range(100) if f"{n:012x}" not in ids)
    assert "there is no job" in jobs.call("job", "get", missing).stderr
    assert "is over already" in jobs.call("job", "stop", ids[0]).stderr


@pytest.mark.parametrize("is_served", [False, True])
def test_stopping_a_job_ends_it_as_ctrl_c_does(any_jobs: Jobs, serve, is_served: bool) -> None:
    project = any_jobs.project
    project.write("models.py", SLEEPS)
    env = {**any_jobs.env, **(serve(project.caller).environment if is_served else {})}
    process = project.start(env=env)
    wait_for_line(process, "asleep")
    [job] = any_jobs.ls()
    assert job["status"] == "running" and job["ended_at_ns"] is None
    assert [line["text"] for line in any_jobs.logs(job["id"])] == ["asleep"]
    stopped = any_jobs.call("job", "stop", job["id"][:6])
    assert stopped.stdout.split() == [job["id"], "abort"], stopped.stderr
    assert process.wait(60) == 1
    assert "interrupted: stopping all models" in process.stderr.read()
    [again] = any_jobs.ls()
    assert again["status"] == "abort" and again["ended_at_ns"] is not None
    assert len(any_jobs.ls()) == 1


def test_a_job_whose_process_was_killed_is_aborted_and_not_running_for_ever(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLEEPS)
    process = jobs.project.start(env=jobs.env)
    wait_for_line(process, "asleep")
    assert jobs.ls()[0]["status"] == "running"
    process.kill()
    process.wait()
    [job] = jobs.ls()
    assert job["status"] == "abort" and "killed" in job["error"] and job["ended_at_ns"] is not None
    assert jobs.ls("--status", "running") == []
    assert {model["status"] for model in jobs.get(job["id"])["models"]} <= {"success", "cancelled"}
    assert "is over already" in jobs.call("job", "stop", job["id"]).stderr


def test_the_number_of_a_dead_job_that_means_another_process_by_now_stops_nobody(jobs: Jobs) -> None:
    jobs.project.write("models.py", SLEEPS)
    process = jobs.project.start(env=jobs.env)
    wait_for_line(process, "asleep")
    [job] = jobs.ls()
    innocent = subprocess.Popen(["sleep", "600"])
    try:
        path = jobs.folder / f"{job['id']}.json"
        content = json.loads(path.read_text())
        content["process"] = innocent.pid
        path.write_text(json.dumps(content))
        done = jobs.call("job", "stop", job["id"])
        assert done.returncode == 1 and "can't be seen from here" in done.stderr
        assert innocent.poll() is None and process.poll() is None
    finally:
        innocent.kill()
        innocent.wait()
        process.send_signal(signal.SIGINT)
        process.wait(60)


def test_secrets_are_not_in_what_is_kept(any_jobs: Jobs) -> None:
    secret = "correct-horse-battery"
    any_jobs.project.write(
        "zerrow_project.yml",
        """
        project: {name: test}
        sources: {numbers: data/numbers.parquet}
        parameters:
          token: {type: secret}
          day: {type: str, default: monday}
        """,
    )
    any_jobs.project.write(
        "models.py",
        """
        import sys
        import zerrow


        @zerrow.model()
        def talks(numbers=zerrow.Model("numbers"), token=zerrow.Parameter("token"), day=zerrow.Parameter("day"),
                  other=zerrow.Parameter("undeclared")):
            print("the token is", token)
            print("partly", token, end="", file=sys.stderr)
            raise ValueError(f"{token} is no good on {day}")
        """,
    )
    given = ("--param", f"token={secret}", "--param", f"undeclared={secret}-too")
    done = any_jobs.project.run(*given, env=any_jobs.env)
    assert done.code == 1
    [job] = any_jobs.ls()
    full = any_jobs.get(job["id"])
    assert full["parameters"] == {"token": "***", "day": "monday", "undeclared": "***"}
    assert [line["text"] for line in any_jobs.logs(job["id"])] == ["the token is ***", "partly ***"]
    assert "*** is no good on monday" in job["error"]
    for path in any_jobs.folder.iterdir():
        assert secret.encode() not in path.read_bytes(), path


def test_what_models_print_is_kept_up_to_a_bound_and_the_cut_is_said(jobs: Jobs) -> None:
    jobs.project.write(
        "models.py",
        """
        import zerrow


        @zerrow.model()
        def talks(numbers=zerrow.Model("numbers", columns=["a"])):
            for number in range(30_000):
                print(f"line {number} " + "x" * 100)
            return numbers
        """,
    )
    done = jobs.project.run(env=jobs.env)
    assert done.code == 0 and "line 29999" in done.err
    job = done.report["run"]
    kept = jobs.logs(job)
    assert [line["text"].split()[1] for line in kept] == [str(number) for number in range(len(kept))]
    assert 1000 < len(kept) < 30_000
    assert (jobs.folder / f"{job}.log").stat().st_size < 1.5 * (1 << 20)
    system = [line["text"] for line in jobs.logs(job, "--system")]
    assert any("from here on is not kept" in text for text in system)
    assert any(f"{30_000 - len(kept)} more printed lines are not kept" in text for text in system)


def test_old_jobs_are_forgotten_and_what_is_no_job_is_left_alone(jobs: Jobs) -> None:
    jobs.project.write("models.py", TALKS)
    first = jobs.project.run(env=jobs.env).report["run"]
    content = json.loads((jobs.folder / f"{first}.json").read_text())
    now = int(time.time())
    for number in range(230):
        made = f"{number:012x}"
        for end, text in [("json", json.dumps({**content, "id": made})), ("log", "")]:
            path = jobs.folder / f"{made}.{end}"
            path.write_text(text)
            os.utime(path, (now - 1000 - number, now - 1000 - number))
    old = jobs.folder / "aaaaaaaaaaaa.json"
    old.write_text(json.dumps({**content, "id": "aaaaaaaaaaaa"}))
    os.utime(old, (now - 40 * 86400,) * 2)
    strange = ["notes.txt", "bbbbbbbbbbbb.txt", "x.json"]
    for name in strange:
        (jobs.folder / name).write_text("mine")
    (jobs.folder / "cccccccccccc.json").write_text("{broken")
    (jobs.folder / "dddddddddddd.json").symlink_to("/etc/passwd")
    last = jobs.project.run(env=jobs.env).report["run"]
    left = {path.stem for path in jobs.folder.glob("*.json")}
    assert {first, last} <= left and "aaaaaaaaaaaa" not in left and f"{229:012x}" not in left
    assert len(left - {"x"}) == 200
    assert all((jobs.folder / name).read_text() == "mine" for name in strange)
    listed = [job["id"] for job in jobs.ls("--limit", "999")]
    assert listed[0] == last and not {"cccccccccccc", "dddddddddddd"} & set(listed)


def test_files_of_jobs_are_their_users_alone(any_jobs: Jobs) -> None:
    any_jobs.project.write("models.py", TALKS)
    assert any_jobs.project.run(env=any_jobs.env).code == 0
    for path in [any_jobs.folder, *any_jobs.folder.iterdir()]:
        status = path.stat()
        assert status.st_uid == any_jobs.project.caller.uid and stat.S_IMODE(status.st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("spoil", ["shared", "file", "unwritable", "full"])
def test_a_folder_that_is_no_good_is_said_and_in_no_runs_way(jobs: Jobs, spoil: str, tmp_path: Path) -> None:
    jobs.project.write("models.py", TALKS)
    mounted = None
    if spoil == "shared":
        jobs.folder.mkdir()
        jobs.folder.chmod(0o777)
    elif spoil == "file":
        jobs.folder.write_text("mine")
    elif spoil == "unwritable":
        jobs = Jobs(jobs.project, Path("/proc/zerrow/jobs"))
    else:
        if not IS_ROOT:
            pytest.skip("mounting needs root")
        mounted = tmp_path / "full"
        mounted.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", mounted]).returncode:
            pytest.skip("nothing can be mounted here")
        (mounted / "filler").write_bytes(b"x" * (64 << 10))
        jobs = Jobs(jobs.project, mounted / "jobs")
    try:
        done = jobs.project.run(env=jobs.env)
        assert done.code == 0, done.err
        assert "this job is not remembered: " in done.err
        assert len(done.report["run"]) == 12
    finally:
        if mounted:
            subprocess.run(["umount", mounted], check=True)


def test_without_a_home_nothing_is_remembered_and_nothing_said(jobs: Jobs) -> None:
    jobs.project.write("models.py", TALKS)
    environment = jobs.project.environment()
    for name in ("HOME", "XDG_STATE_HOME", "ZERROW_JOBS"):
        environment.pop(name, None)
    done = subprocess.run(jobs.project.command("-O", "json"), capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "not remembered" not in done.stderr
    listed = subprocess.run([*jobs.project.caller.words, "job", "ls"], capture_output=True, text=True, env=environment)
    assert listed.returncode == 1 and "ZERROW_JOBS" in listed.stderr


def test_two_runs_at_once_are_two_jobs(jobs: Jobs) -> None:
    jobs.project.write("models.py", TALKS)
    processes = [jobs.project.start("-O", "json", env=jobs.env) for _ in range(3)]
    reports = [json.loads(process.communicate()[0]) for process in processes]
    assert {job["id"] for job in jobs.ls()} == {report["run"] for report in reports}
    assert {job["status"] for job in jobs.ls()} == {"complete"}


def test_the_command_is_called_bauplan_too(jobs: Jobs) -> None:
    if jobs.project.caller.words != [str(HOME / "zerrow")]:
        pytest.skip("the launcher is not used here")
    jobs.project.write("models.py", TALKS)
    script = f"""
        set -e
        export PATH={HOME}:$PATH
        cd {jobs.project.folder}
        bauplan -O json --client-timeout 30 run --strict on --cache off -t on --no-strict -r main >run.json
        bauplan query --no-trunc --all-rows '-- all of them
          select a from numbers order by a' >rows.txt
        bauplan -P somebody job ls -O json >jobs.json
        bauplan run --help >help.txt
        bauplan checkout dev || echo refused >>help.txt
    """.replace("-t on --no-strict", "--no-strict")
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=jobs.project.environment(jobs.env)
    )
    assert done.returncode == 0, done.stderr
    folder = jobs.project.folder
    assert json.loads((folder / "run.json").read_text())["status"] == "success"
    assert len((folder / "rows.txt").read_text().splitlines()) == 1003
    assert len(json.loads((folder / "jobs.json").read_text())["jobs"]) == 2
    assert "USAGE: bauplan run" in (folder / "help.txt").read_text() and "refused" in (folder / "help.txt").read_text()
    assert "--profile says nothing here" in done.stderr or "-P says nothing here" in done.stderr


def test_a_jobs_folder_that_does_not_answer_holds_up_no_run(jobs: Jobs, tmp_path: Path) -> None:
    jobs.project.write("models.py", TALKS)
    hold = tmp_path / "hold"
    hold.mkdir()
    (hold / "job").touch()
    done = jobs.project.run(env={**jobs.env, "ZERROW_HOLD": str(hold)})
    assert done.code == 0, done.err
    assert "this job is not remembered: its folder does not answer" in done.err

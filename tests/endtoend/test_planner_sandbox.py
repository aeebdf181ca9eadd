"""A project is a stranger's: reading it runs none of its code, waits for nothing, and ends with a message.

The kernel is the judge of what the planner may do: a program of the test's own takes the place of its interpreter, and
tries what it must not.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import IS_ROOT, Project, open_to_others, wait_until
from planning import HANG_SECONDS, MODEL, limited, plan
from processes import Processes, descendants, is_alive, parent_of

SHADOWS = [
    "yaml", "json", "types", "ast", "sqlglot", "zerrow", "re", "os", "site", "sitecustomize", "usercustomize", "typing",
    "enum", "dataclasses", "socket", "struct", "signal", "pyarrow", "datafusion", "warnings", "ctypes", "random",
]  # fmt: skip


def write_shadows(project: Project, proof: Path) -> None:
    proof.mkdir(mode=0o777)
    proof.chmod(0o777)
    for name in SHADOWS:
        text = f"import builtins\nbuiltins.open({str(proof / name)!r}, 'w').close()\nraise SystemExit(3)\n"
        project.write(f"{name}.py", text)
        if name in ("sqlglot", "zerrow", "pyarrow"):
            (project.folder / f"{name}.py").unlink()
            project.write(f"{name}/__init__.py", text)


@pytest.mark.parametrize("command", ["plan", "run", "query"])
@pytest.mark.parametrize("sandbox", [[], ["--no-sandbox"]], ids=["sandbox", "no-sandbox"])
def test_modules_of_a_project_are_never_imported_by_the_planner(
    project: Project, tmp_path: Path, command: str, sandbox: list[str]
):
    project.write("model.sql", "SELECT a FROM numbers WHERE a < 3")
    write_shadows(project, tmp_path / "proof")
    arguments = [*sandbox, *(["SELECT * FROM model"] if command == "query" else [])]
    done = plan(project, *arguments, command=command, cwd=project.folder)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "proof").iterdir()) == []


def test_variables_and_folders_of_the_caller_add_no_code_to_the_planner(project: Project, tmp_path: Path):
    project.write("models.py", MODEL)
    other = tmp_path / "other"
    other.mkdir()
    write_shadows(Project(other), tmp_path / "proof")
    home = tmp_path / "home"
    packages = home / f".local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text(f"open({str(tmp_path / 'proof' / 'user')!r}, 'w')\n")
    startup = {
        "PYTHONPATH": str(other),
        "PYTHONSTARTUP": str(other / "yaml.py"),
        "PYTHONUSERBASE": str(home / ".local"),
    }
    done = plan(project, HOME=str(home), PYTHONINSPECT="1", **startup)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "proof").iterdir()) == []


def test_a_helper_with_the_name_of_a_library_is_the_models_and_nobody_elses(project: Project):
    for name in ("types", "yaml", "json", "random", "typing", "dataclasses"):
        project.write(f"{name}.py", f"mine = {name!r}\n")
    project.write(
        "models.py",
        """
        import json, random, types, typing, yaml, dataclasses
        import pyarrow as pa
        import zerrow

        @zerrow.model()
        def model(numbers=zerrow.Model("numbers")):
            import pandas
            frame = numbers.to_pandas()
            mine = [each.mine for each in (json, random, types, typing, yaml, dataclasses)]
            assert mine == ["json", "random", "types", "typing", "yaml", "dataclasses"], mine
            return pa.table({"rows": [len(frame)]})
        """,
    )
    for arguments in ([], ["--no-sandbox"]):
        result = project.run(*arguments)
        assert result.report["status"] == "success", result.err


def test_a_project_with_an_own_git_configuration_runs_no_command(project: Project, tmp_path: Path):
    proof = tmp_path / "proof"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {proof}\n")
    hook.chmod(0o755)
    project.write("models.py", MODEL)
    subprocess.run(["git", "init", "-q", str(project.folder)], check=True)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "core.hooksPath"):
        subprocess.run(["git", "-C", str(project.folder), "config", key, str(hook)], check=True)
    proof.unlink(missing_ok=True)
    assert plan(project).returncode == 0
    assert not proof.exists()


# Each makes something hostile in a project; the message must have the words.


ATTACK = r"""
import ctypes, errno, fcntl, os, signal, socket, struct, sys
project, secret, victim, port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "failed")

def tcp():
    with socket.socket() as end: end.connect(("127.0.0.1", port))

def unix():
    with socket.socket(socket.AF_UNIX) as end: end.connect(project + "/named.socket")

def lock():
    with open(project + "/zerrow_project.yml") as file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

def record_lock():
    with open(project + "/zerrow_project.yml") as file:
        fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))

def pipe():
    os.close(os.open(project + "/named.pipe", os.O_RDWR | os.O_NONBLOCK))

def write(path):
    with open(path, "w") as file: file.write("x")

def read(path):
    with open(path, "rb") as file: file.read(1)

def capabilities():
    text = open("/proc/self/status").read()
    sets = [line.split() for line in text.splitlines() if line.startswith("Cap")]
    if all(int(value, 16) == 0 for name, value in sets if name != "CapBnd:"): raise PermissionError

ways = {
    "read a secret beside the project": lambda: read(secret),
    "list the folder above": lambda: [os.listdir(os.path.dirname(secret)), read(secret)],
    "write into the project": lambda: write(project + "/written"),
    "change a file of the project": lambda: write(project + "/zerrow_project.yml"),
    "change a mode": lambda: os.chmod(project + "/zerrow_project.yml", 0o600),
    "write below /tmp": lambda: write("/tmp/zerrow-planner-was-here"),
    "write below /var/tmp": lambda: write("/var/tmp/zerrow-planner-was-here"),
    "write its own interpreter": lambda: write(sys.executable + "-x"),
    "write a setting of the kernel": lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)),
    "connect by TCP": tcp,
    "connect to a named socket": unix,
    "open a named pipe to write": pipe,
    "lock a file": lock,
    "lock a record": record_lock,
    "mount": lambda: call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None),
    "make namespaces": lambda: call(libc.unshare, 0x10000000),
    "trace": lambda: call(libc.ptrace, 16, victim, 0, 0),
    "signal another process": lambda: os.kill(victim, 0),
    "read another process's environment": lambda: read(f"/proc/{victim}/environ"),
    "open a message queue": lambda: call(libc.mq_open, b"/zerrow", os.O_CREAT | os.O_RDWR, 0o600, None),
    "have capabilities": capabilities,
    "write a long file": lambda: [os.truncate(1, 1 << 30)],
}
for name, way in ways.items():
    try:
        way()
    except (OSError, PermissionError) as error:
        print("closed:", name, "|", error, file=sys.stderr)
    else:
        print("OPEN:", name, file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
def attack(any_project: Project, tmp_path: Path):
    """Runs ATTACK in the planner's place; what it printed, way by way."""
    fake = tmp_path / "fake"
    (fake / "bin").mkdir(parents=True)
    (fake / "attack.py").write_text(ATTACK)
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    os.mkfifo(any_project.folder / "named.pipe")
    (any_project.folder / "named.pipe").chmod(0o666)
    victim = subprocess.Popen(["sleep", "600"], user=any_project.caller.uid if IS_ROOT else None)
    here = os.getcwd()
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as named:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        os.chdir(any_project.folder)
        named.bind("named.socket")
        os.chdir(here)
        (any_project.folder / "named.socket").chmod(0o777)
        named.listen()
        if IS_ROOT:
            for path in (any_project.folder, *any_project.folder.iterdir(), secret):
                os.chown(path, any_project.caller.uid, any_project.caller.uid)

        def run(*arguments: str) -> dict[str, str]:
            python = Path("/usr/bin/python3")
            words = [str(any_project.folder), str(secret), str(victim.pid), str(tcp.getsockname()[1])]
            (fake / "bin" / "python").write_text(f"#!/bin/sh\nexec {python} {fake}/attack.py {' '.join(words)}\n")
            (fake / "bin" / "python").chmod(0o755)
            done = plan(any_project, *arguments, ZERROW_PYTHON=str(fake / "bin" / "python"))
            assert "exited(3)" in done.stderr, done.stderr
            lines = [line.strip() for line in done.stderr.splitlines()]
            lines = [line.partition(": ") for line in lines if line.startswith(("closed: ", "OPEN: "))]
            return {text.partition(" |")[0]: kind for kind, _, text in lines}

        yield run
    victim.kill()
    victim.wait()


def test_the_planner_can_do_nothing_but_read_what_it_is_shown(attack):
    found = attack()
    assert len(found) == 22
    assert {name for name, kind in found.items() if kind != "closed"} == set()


def test_without_a_sandbox_it_can_do_what_an_ordinary_process_can_that_landlock_bounds(attack):
    found = attack("--no-sandbox")
    is_bounded = landlock_version() >= 4
    left = {"have capabilities", "signal another process", "change a mode"}
    if is_bounded:
        assert {name for name, kind in found.items() if kind != "closed"} <= left
    for name in ("connect by TCP", "connect to a named socket", "lock a file", "mount", "make namespaces", "trace"):
        assert found[name] == "closed"


def landlock_version() -> int:
    """What the kernel says."""
    import ctypes

    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


# ---- What a source may be, all the same. ----


def test_sources_outside_of_the_project_are_planned_and_nothing_beside_them_is_seen(
    any_project: Project, tmp_path: Path
):
    outside = tmp_path / "out side\n1"
    (outside / "deep" / "y=1").mkdir(parents=True)
    pq.write_table(pa.table({"v": [1, 2]}), outside / "deep" / "y=1" / "a.parquet")
    pq.write_table(pa.table({"v": [3]}), outside / "single.parquet")
    (any_project.folder / "linked.parquet").symlink_to(outside / "single.parquet")
    open_to_others(outside)
    for path in (outside / "deep", outside / "deep" / "y=1"):
        path.chmod(0o755)
    any_project.write(
        "zerrow_project.yml",
        "sources:\n"
        f"  folder: {json.dumps(str(outside / 'deep'))}\n"
        f"  pattern: {json.dumps(str(outside) + '/**/*.parquet')}\n"
        "  linked: linked.parquet\n"
        f"  relative: {json.dumps('../' + outside.name + '/single.parquet')}\n",
    )
    any_project.write("a.sql", "SELECT * FROM folder")
    any_project.write("b.sql", "SELECT v FROM pattern")
    any_project.write("c.sql", "SELECT linked.v FROM linked JOIN relative ON linked.v = relative.v")
    done = plan(any_project, "-O", "json", "--no-stream")
    assert done.returncode == 0, done.stderr
    models = {model["name"]: model for model in json.loads(done.stdout)["models"]}
    assert [len(models[name]["task"]["files"]) for name in ("folder", "pattern", "linked", "relative")] == [1, 2, 1, 1]
    assert models["linked"]["task"]["files"] == models["relative"]["task"]["files"]
    assert models["folder"]["task"]["partitions"]["y"]["texts"] == ["1"]
    keys = {name: model["key"] for name, model in models.items()}
    assert all(keys.values())
    # The same plan as without a sandbox, and as the planner alone makes it.
    for words in ([], ["--no-sandbox"], ["--no-stream", "--no-sandbox"]):
        planned = json.loads(plan(any_project, "-O", "json", *words).stdout)["models"]
        assert all(keys[model["name"]] == model["key"] for model in planned)
        assert {model["name"] for model in planned} >= {"a", "b", "c"}


def test_a_home_folder_is_named_by_its_tilde(project: Project, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    pq.write_table(pa.table({"v": [1]}), home / "a.parquet")
    project.write("zerrow_project.yml", "sources:\n  mine: ~/a.parquet\n")
    project.write("m.sql", "SELECT * FROM mine")
    assert plan(project, HOME=str(home)).returncode == 0


@pytest.mark.parametrize("sandbox", [[], ["--no-sandbox"]], ids=["sandbox", "no-sandbox"])
def test_what_git_ignores_above_the_project_and_for_its_user_is_known(
    any_project: Project, tmp_path: Path, sandbox: list[str]
):
    any_project.write("models.py", MODEL)
    for name in ("of_repository.txt", "of_user.txt", "of_clone.txt", "kept.txt"):
        any_project.write(name, "x")
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("of_user.txt\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("of_repository.txt\n")
    (tmp_path / ".git" / "info").mkdir(exist_ok=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("of_clone.txt\n")
    for path in (home, home / ".config", home / ".config" / "git", tmp_path / ".git", tmp_path / ".git" / "info"):
        path.chmod(0o755)
    done = plan(any_project, "-O", "json", *sandbox, HOME=str(home), XDG_CONFIG_HOME="", GIT_CONFIG_NOSYSTEM="1")
    assert done.returncode == 0, done.stderr
    hidden = json.dumps(json.loads(done.stdout)["hidden"])
    assert [name in hidden for name in ("of_repository", "of_user", "of_clone", "kept")] == [True, True, True, False]


# ---- Its end. ----


def slow_project(project: Project) -> None:
    """A project that takes seconds to plan."""
    project.write("reader.sql", "SELECT * FROM numbers")
    limited(project)


@pytest.mark.parametrize("sandbox", [[], ["--no-sandbox"]], ids=["sandbox", "no-sandbox"])
@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_a_planner_ends_with_its_killed_command(project: Project, sandbox: list[str], after: float):
    slow_project(project)
    run = project.start(*sandbox)
    processes = Processes(run.pid)
    if after:
        wait_until(lambda: processes.planners or run.poll() is not None, what="the planner")
    time.sleep(after)
    left = descendants(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    wait_until(lambda: not any(map(is_alive, left)), what="the end of all that the command had started")


@pytest.mark.parametrize("sandbox", [[], ["--no-sandbox"]], ids=["sandbox", "no-sandbox"])
def test_ctrl_c_ends_it(project: Project, sandbox: list[str]):
    slow_project(project)
    run = project.start("--output", "json", *sandbox)
    processes = Processes(run.pid)
    wait_until(lambda: processes.planners, what="the planner")
    left = descendants(run.pid)
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=HANG_SECONDS)
    assert "interrupted" in json.loads(out)["error"]["message"]
    assert not any(map(is_alive, left))


@pytest.mark.parametrize("sandbox", [[], ["--no-sandbox"]], ids=["sandbox", "no-sandbox"])
def test_a_killed_planner_leaves_nothing_and_is_said(project: Project, sandbox: list[str]):
    slow_project(project)
    run = project.start("--output", "json", *sandbox)
    processes = Processes(run.pid)
    wait_until(lambda: len(processes.planners) > 1, what="the planner and its reader of footers")
    left = descendants(run.pid)
    # Numbers of processes begin anew now and then: its reader's may be the smaller one.
    planners = processes.planners
    os.kill(next(pid for pid in planners if parent_of(pid) not in planners), signal.SIGKILL)
    out, _ = run.communicate(timeout=HANG_SECONDS)
    assert "the planner failed: signalled(9)" in json.loads(out)["error"]["message"]
    wait_until(lambda: not any(map(is_alive, left)), what="the end of the planner's children")

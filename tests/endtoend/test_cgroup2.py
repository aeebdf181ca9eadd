"""Memory limits where control groups are of version 2, in the arrangements that users find themselves in.

Each is made by hand: the command is started in a group that looks like a login session, a service, a delegated scope
or a container. What counts is where workers end up, that limits hold there, and that nothing is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from command import IS_ROOT, NOBODY, Caller, Project, Result, make_project, wait_for_line, wait_until
from processes import check_nothing_is_left
from test_resources import TABLES, executions, exported, pressure, swap

__all__ = ["swap"]

ROOT = Path("/sys/fs/cgroup")
MIB = 1 << 20
CONTROLLERS = ROOT / "cgroup.controllers"
HAS_VERSION_2 = CONTROLLERS.exists() and "memory" in CONTROLLERS.read_text().split()
pytestmark = pytest.mark.skipif(
    not IS_ROOT or not HAS_VERSION_2, reason="needs root, and memory limits by control groups of version 2"
)

# What a worker may write of its own memory until somebody stops it, and where it is.
GREEDY = """
    import zerrow

    @zerrow.model()
    def place(numbers=zerrow.Model("numbers")):
        groups = open("/proc/self/cgroup").read().splitlines()
        print("place:", next(line[3:] for line in groups if line.startswith("0::")), flush=True)
        return {"n": [1]}

    @zerrow.model(memory="128M")
    def greedy(place=zerrow.Model("place")):
        kept = [bytearray(b"x" * (1 << 20)) for _ in range(600)]
        return {"n": [len(kept)]}
"""
SLOW = """
    import time
    import zerrow

    @zerrow.model(memory="256M")
    def slow(numbers=zerrow.Model("numbers")):
        print("slow is running", flush=True)
        time.sleep(300)
        return numbers
"""
MODEST = """
    import zerrow

    @zerrow.model(memory="256M")
    def modest(numbers=zerrow.Model("numbers")):
        return {"n": [1]}
"""


class Group:
    """A control group that a test has made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    @property
    def name(self) -> str:
        """Its path below the root of all."""
        return "/" + str(self.path.relative_to(ROOT))

    def below(self, name: str) -> Group:
        """A new group in it."""
        return Group(self.path / name)

    def write(self, file: str, text: str) -> None:
        """Set something."""
        (self.path / file).write_text(text)

    def read(self, file: str) -> list[str]:
        """The words of a file."""
        return (self.path / file).read_text().split()

    def give_memory(self) -> Group:
        """Let groups below it have the memory controller."""
        self.write("cgroup.subtree_control", "+memory")
        return self

    def give_to(self, uid: int) -> Group:
        """Delegate it, as the kernel's manual says."""
        for part in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(self.path / part, uid, uid)
        return self

    def caller(self, caller: Caller, *wrap: str) -> Caller:
        """The same caller, who starts in this group; the words of `wrap` come between."""
        enter = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
        return replace(caller, words=["sh", "-c", enter, str(self.path), *wrap, *caller.words])

    def groups(self) -> list[str]:
        """What is in it."""
        return sorted(entry.name for entry in self.path.iterdir() if entry.is_dir())

    def remove(self) -> None:
        """With all that is in it."""
        (self.path / "cgroup.kill").write_text("1")
        for folder, _, _ in os.walk(self.path, topdown=False):
            wait_until(lambda folder=folder: removed(Path(folder)), what=f"the end of {folder}")


def removed(folder: Path) -> bool:
    """Whether a group could be removed."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


@pytest.fixture
def top():
    """A group with the memory controller right below the root of all, which gives it to those below."""
    (ROOT / "cgroup.subtree_control").write_text("+memory")
    group = Group(ROOT / f"test-{os.getpid()}")
    yield group.give_memory()
    group.remove()


@pytest.fixture
def bystander():
    """Starts a process in a group, which has to stay there."""
    started: list[subprocess.Popen] = []

    def start(group: Group) -> int:
        started.append(subprocess.Popen(["sleep", "3000"]))
        group.write("cgroup.procs", str(started[-1].pid))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def check_limits_hold(project: Project, below: str) -> Result:
    """A model over its limit is killed, run once more and fails; its worker was in a group below that one."""
    project.write("models.py", GREEDY)
    result = project.run()
    assert result.code == 1, result.err
    assert executions(result) == {"greedy": 2}, result.err
    message = result.report["error"]["message"]
    assert "its own limit is 128 MiB" in message, message
    peak = result.model("greedy")["memory_bytes_max"]
    assert 100 * MIB < peak <= 129 * MIB and f"{peak // MIB} MiB" in message, message
    assert result.model("place")["memory_bytes_max"] > 0
    place = next(line.split("place: ")[1] for line in result.err.splitlines() if "place: " in line)
    assert place.rsplit("/", 3)[0] == below.rstrip("/"), place
    assert "/zerrow-" in place
    assert "not kept by the kernel" not in result.err
    return result


def check_works_without(project: Project, *words: str) -> None:
    """A run goes well, and says that nobody keeps its limit, why and what to do; so does the doctor."""
    project.write("models.py", MODEST)
    result = project.run("--memory", "1GiB")
    assert result.code == 0, result.err
    assert result.report["memory"]["run_bytes_max"] is None
    notes = [line for line in result.err.splitlines() if "memory limits are not kept by the kernel" in line]
    assert len(notes) == 1, result.err
    assert all(word in notes[0] for word in words), notes
    done = subprocess.run(
        [*project.caller.words, "doctor", "--output", "json"], capture_output=True, text=True, env=project.environment()
    )
    check = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "memory limits")
    assert check["status"] == "limited"
    assert all(word in check["detail"] + check["remedy"] for word in words), check


def check_is_as_before(group: Group, *processes: int) -> None:
    """No group is left in it, and its processes are where they were."""
    wait_until(lambda: group.groups() == [], what=f"an empty group, not {group.groups()}")
    assert group.read("cgroup.subtree_control") == []
    assert {str(process) for process in processes} <= set(group.read("cgroup.procs"))


# A mount and a control group namespace of its own, as container engines make them; `%s` may change the mount.
CONTAINER = 'umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && %s exec "$@"'


def container(then: str = "") -> list[str]:
    """Words that run a command in a container that sees its own group as the root."""
    return ["unshare", "--cgroup", "--mount", "sh", "-c", CONTAINER % then, "sh"]


# MARK: Root


def test_root_in_a_session_has_its_groups_beside_it(project: Project, top: Group):
    """A login session, or a service: a leaf with processes, below a slice that gives the controller."""
    session = top.below("session-1.scope")
    project.caller = session.caller(project.caller)
    check_limits_hold(project, below=top.name)
    check_is_as_before(session)
    assert top.groups() == ["session-1.scope"]


def test_runs_weigh_the_same_and_their_processes_are_bounded(project: Project, top: Group):
    try:
        (ROOT / "cgroup.subtree_control").write_text("+cpu +pids")
    except OSError:
        pytest.skip("the controllers are not given here")
    session = top.below("session-1.scope")
    project.caller = session.caller(project.caller)
    project.write("models.py", SLOW)
    run = project.start()
    wait_for_line(run, "slow is running")
    (engine,) = top.path.glob("zerrow-*")
    (group,) = [path for path in engine.iterdir() if path.is_dir()]
    assert (group / "cpu.weight").read_text().split() == ["100"]
    assert 0 < int((group / "pids.max").read_text()) <= 16384
    workers = [path for path in group.iterdir() if path.is_dir()]
    assert workers
    assert all(0 < int((worker / "pids.max").read_text()) <= 4096 for worker in workers)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    done = subprocess.run(
        [*project.caller.words, "doctor", "--output", "json"], capture_output=True, text=True, env=project.environment()
    )
    check = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "fair shares")
    assert check["status"] == "present"
    assert "bounded by run" in check["detail"], check
    check_is_as_before(session)
    assert top.groups() == ["session-1.scope"]


def test_the_limit_of_a_service_holds_for_workers_that_leave_its_group(project: Project, top: Group):
    service = top.below("zerrow.service")
    service.write("memory.max", str(300 * MIB))
    service.write("memory.swap.max", "0")
    project.caller = service.caller(project.caller)
    project.write("models.py", GREEDY.replace('memory="128M"', ""))
    result = project.run()
    assert result.code == 1, result.err
    peak = result.model("greedy")["memory_bytes_max"]
    assert 200 * MIB < peak <= 301 * MIB, (peak, result.err)
    doctor = subprocess.run(
        [*project.caller.words, "doctor"], capture_output=True, text=True, env=project.environment()
    )
    assert "limited to 300 MiB here" in doctor.stdout


def test_the_controller_is_turned_on_where_nobody_did(project: Project, top: Group):
    """Without systemd, nobody gives controllers to groups. The group in between is the first that may."""
    plain = top.below("plain")
    project.caller = plain.below("leaf").caller(project.caller)
    top.write("cgroup.subtree_control", "-memory")
    try:
        (ROOT / "cgroup.subtree_control").write_text("-memory")
    except OSError:
        pytest.skip("others on this machine use the controller")
    check_limits_hold(project, below="/")
    assert plain.groups() == ["leaf"]


# MARK: Ordinary users


@pytest.fixture
def ordinary_project(tmp_path: Path, ordinary: Caller) -> Project:
    """A project of an ordinary user."""
    made = make_project(tmp_path)
    made.caller = ordinary
    return made


def test_a_user_with_a_delegated_tree_has_groups_in_it(ordinary_project: Project, top: Group):
    """A desktop's terminal: a scope below app.slice, all of the user's manager."""
    slice_ = top.below("app.slice").give_to(NOBODY).give_memory()
    scope = slice_.below("terminal.scope").give_to(NOBODY)
    ordinary_project.caller = scope.caller(ordinary_project.caller)
    check_limits_hold(ordinary_project, below=slice_.name)
    assert slice_.groups() == ["terminal.scope"]


@pytest.mark.parametrize("mark", ["user.delegate", None], ids=["marked", "owned"])
def test_a_delegated_group_is_arranged_and_put_back(
    ordinary_project: Project, top: Group, bystander: Callable, mark: str | None
):
    """`systemd-run --user --scope -p Delegate=yes`: all processes are in the group that is the user's."""
    scope = top.below("run-1.scope").give_to(NOBODY)
    if mark:
        os.setxattr(scope.path, mark, b"1")
    other = bystander(scope)
    ordinary_project.caller = scope.caller(ordinary_project.caller)
    check_limits_hold(ordinary_project, below=scope.name)
    check_is_as_before(scope, other)


def test_a_user_turns_the_controller_on_in_what_is_delegated(ordinary_project: Project, top: Group):
    tree = top.below("tree").give_to(NOBODY)
    ordinary_project.caller = tree.below("leaf").give_to(NOBODY).caller(ordinary_project.caller)
    check_limits_hold(ordinary_project, below=tree.name)
    assert tree.groups() == ["leaf"]


def test_a_user_with_nothing_delegated_is_told(ordinary_project: Project, top: Group):
    """A login by SSH: the session's scope is root's."""
    session = top.below("session-2.scope")
    ordinary_project.caller = session.caller(ordinary_project.caller)
    check_works_without(ordinary_project, session.name, "systemd-run --user --scope -p Delegate=yes")
    check_is_as_before(session)


# MARK: Containers


def test_a_container_with_groups_of_its_own_is_arranged_and_put_back(project: Project, top: Group, bystander: Callable):
    inner = top.below("container")
    other = bystander(inner)
    inner.below("empty")
    project.caller = inner.caller(project.caller, *container())
    check_limits_hold(project, below="/")
    wait_until(lambda: inner.groups() == ["empty"], what="the end of the engine's groups")
    removed(inner.path / "empty")
    check_is_as_before(inner, other)


def test_a_container_whose_groups_are_read_only_is_told(project: Project, top: Group):
    inner = top.below("container")
    project.caller = inner.caller(project.caller, *container("mount -o remount,bind,ro /sys/fs/cgroup &&"))
    check_works_without(project, "read-only", "--security-opt")
    check_is_as_before(inner)


def test_a_container_without_the_controller_is_told(project: Project, top: Group):
    inner = top.below("between").below("container")
    project.caller = inner.caller(project.caller, *container())
    check_works_without(project, "the memory controller is not given")
    check_is_as_before(inner)


@pytest.mark.parametrize("place", ["session", "container"])
def test_a_killed_engine_leaves_no_groups(project: Project, top: Group, bystander: Callable, place: str):
    inner = top.below(place)
    other = bystander(inner)
    project.caller = inner.caller(project.caller, *(container() if place == "container" else []))
    project.write("models.py", SLOW)
    run = project.start()
    wait_for_line(run, "slow is running")
    inside = inner if place == "container" else top
    assert any(name.startswith("zerrow-") for name in inside.groups())
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    check_nothing_is_left(run.pid, [])
    check_is_as_before(inner, other)
    assert top.groups() == [place]


def test_engines_that_meet_in_a_container_leave_it_as_it_was(tmp_path: Path, top: Group, bystander: Callable):
    inner = top.below("container")
    other = bystander(inner)
    projects = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        project = make_project(tmp_path / str(number))
        project.caller = inner.caller(project.caller, *container())
        project.write("models.py", MODEST)
        projects.append(project)
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda project: project.run("--memory", "512MiB"), projects))
    for result in results:
        assert result.code == 0, result.err
        assert result.report["memory"]["run_bytes_max"] is not None, result.err
    check_is_as_before(inner, other)


# MARK: Ways out of memory

# Hides a file of control groups from a process, as on a kernel that has none, and tells a log that it was asked for.
HIDING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_hidden(const char *path) {
    static const char name[] = "/memory.reclaim";
    size_t bytes = strlen(path);
    if (bytes < sizeof name || strcmp(path + bytes - (sizeof name - 1), name) != 0)
        return 0;
    int (*really_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int log = really_open(getenv("HIDING_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (log < 0 || write(log, "asked\n", 6) != 6)
        abort();
    close(log);
    errno = ENOENT;
    return 1;
}

int stat(const char *path, struct stat *status) {
    return is_hidden(path) ? -1 : fstatat(AT_FDCWD, path, status, 0);
}

int access(const char *path, int mode) {
    return is_hidden(path) ? -1 : faccessat(AT_FDCWD, path, mode, 0);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return is_hidden(path) ? -1 : openat(AT_FDCWD, path, flags, mode);
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.parametrize("way", ["swap", "limit"])
def test_tables_go_to_swap_on_kernels_without_reclaim_on_request(
    project: Project, swap: Path, tmp_path: Path, way: str
):
    """Linux before 5.19 has no memory.reclaim: the limit called memory.high does it there."""
    library = tmp_path / "hiding.so"
    (tmp_path / "hiding.c").write_text(HIDING)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "hiding.c"], check=True)
    log = tmp_path / "hiding.log"
    folder = tmp_path / "out"
    folder.mkdir()
    project.write("models.py", pressure())
    result = project.run(
        *("--memory", "400MiB", "--evict", way, "--format", "arrow", "--export", str(folder)),
        env={"LD_PRELOAD": str(library), "HIDING_LOG": str(log)},
    )
    assert result.code == 0, result.err
    assert "asked" in log.read_text()
    evictions = result.report["memory"]["evictions"]
    figure = evictions["swapped" if way == "swap" else "limited"]
    assert figure["tables"] > 0 and figure["bytes"] > 30 * MIB, evictions
    check_sum(project, folder)


def check_sum(project: Project, folder: Path) -> None:
    """The last table of `pressure` is what all others say it must be."""
    rows = 12 << 20
    expected = sum(rows * number + rows * (rows - 1) // 2 for number in range(TABLES))
    assert exported(project, folder, f"sum{TABLES - 1}")["sum"].to_pylist() == [expected]


def test_runs_of_one_server_share_its_limit(tmp_path: Path, project: Project, top: Group, serve: Callable):
    """Two runs at once whose tables together are twice as large as the limit."""
    session = top.below("session-3.scope")
    server = serve(session.caller(project.caller), "--memory", "700MiB")
    projects = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        made = make_project(tmp_path / str(number))
        made.write("models.py", pressure())
        (made.folder / "out").mkdir()
        projects.append(made)
    limit = next(top.path.glob("zerrow-*/memory.max"))
    assert limit.read_text().strip() == str(700 * MIB)
    peak = limit.with_name("memory.peak")

    def run(project: Project) -> Result:
        return project.run(
            "--format", "arrow", "--export", str(project.folder / "out"), env=server.environment, timeout=600
        )

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(run, projects))
    for made, result in zip(projects, results, strict=True):
        assert result.code == 0, result.err
        check_sum(made, made.folder / "out")
    ways = results[0].report["memory"]["evictions"].values()
    assert sum(way["tables"] for way in ways) > 0, results[0].report["memory"]
    assert 300 * MIB < int(peak.read_text()) <= 700 * MIB
    assert server.stop() == 0
    check_nothing_is_left(server.process.pid, [])
    assert top.groups() == ["session-3.scope"]

"""The warm planner of an engine that serves plans as one that is started for a call: same answers, same isolation.

A planner that is started for the call is the judge. That a plan came from the warm one is seen by the page faults that
the kernel counts for the processes which that one has reaped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from command import HOME, Project, Server, make_project, wait_until
from planning import MODEL, plan
from processes import check_nothing_is_left, command_of, descendants, is_alive, parent_of
from test_planner_sandbox import write_shadows


def warm_planner(server: Server) -> int:
    """The process, once it forks planners."""
    found: list[int] = []

    def is_there() -> bool:
        # A planner that was forked ahead has the same command line.
        own = [pid for pid in descendants(server.process.pid) if parent_of(pid) == server.process.pid]
        found[:] = [pid for pid in own if "zerrow.plan.warm" in command_of(pid)]
        return len(found) == 1

    wait_until(is_there, seconds=60, what="a warm planner")
    return found[0]


def ended(pid: int) -> int:
    """The page faults of planners that a warm planner has reaped."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[8])


def wait_for_warmth(project: Project, server: Server) -> int:
    """The warm planner, which has planned and has reaped what it forked: no command waits for that."""
    pid = warm_planner(server)
    wait_until(lambda: plan(project, **server.environment) and ended(pid) > 0, seconds=60, what="a warm plan")
    wait_until(lambda: len(descendants(pid)) == 1 and not planners(pid), what="a planner that was forked ahead")
    return pid


def planners(pid: int) -> list[int]:
    """The planners at work that a warm planner has forked, and their readers of footers; not the one that waits."""
    found = []
    for each in descendants(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if "NoNewPrivs:\t1" in Path(f"/proc/{each}/status").read_text():
                found.append(each)
    return found


def both(project: Project, server: Server, *arguments: str, command: str = "plan", **env: str):
    """The same call with the warm planner and with one of its own; the first was warm."""
    pid = warm_planner(server)
    before = ended(pid)
    warm = plan(project, *arguments, command=command, **{**server.environment, **env})
    wait_until(lambda: ended(pid) > before, what="the end of a warm planner")
    return warm, plan(project, *arguments, command=command, **env)


@pytest.fixture
def served(any_project: Project, serve) -> tuple[Project, Server]:
    """A project of each kind of user, and its user's engine, whose planner is warm."""
    any_project.write("models.py", MODEL)
    server = serve(any_project.caller)
    wait_for_warmth(any_project, server)
    return any_project, server


def same(done: tuple[subprocess.CompletedProcess, subprocess.CompletedProcess]) -> None:
    warm, cold = done
    assert (warm.returncode, timeless(warm.stdout), warm.stderr) == (
        cold.returncode,
        timeless(cold.stdout),
        cold.stderr,
    )


def timeless(text: str) -> str:
    """A plan without the time at which it was made."""
    return re.sub(r'"planned_ns":\d+', "", text)


def test_plans_are_those_of_a_planner_of_ones_own(served):
    project, server = served
    same(both(project, server, "--output", "json"))
    project.write("more.sql", "SELECT a, count(*) AS n FROM model WHERE b > 3 GROUP BY a")
    same(both(project, server, "--output", "json"))
    project.write("wrong.sql", "SELECT FROM WHERE")
    same(both(project, server, "--output", "json"))


def test_what_is_wrong_with_a_project_is_said_alike(served):
    project, server = served
    for name, text in {
        "deep.py": "x = " + "(" * 3000 + ")" * 3000,
        "nested.py": "x = " + "[" * 90 + "]" * 90,
        "sums.py": "x = " + "+".join(["1"] * 5000),
        "bytes.py": "x = '\udcff'",
        "cut.py": "def f(:\n",
        "deep.sql": "SELECT " + "(" * 400 + "1" + ")" * 400,
    }.items():
        path = project.folder / name
        path.write_bytes(text.encode(errors="surrogateescape"))
        same(both(project, server, "--output", "json"))
        path.unlink()
    project.write("zerrow_project.yml", "project: {name: [}")
    same(both(project, server))


def test_the_examples_are_planned_alike(serve, tmp_path: Path, project: Project):
    server = serve(project.caller)
    project.write("models.py", MODEL)
    wait_for_warmth(project, server)
    starter = Project(tmp_path / "starter")
    subprocess.run([*project.caller.words, "init", str(starter.folder)], check=True, capture_output=True)
    for each in (starter, Project(HOME / "examples" / "tpch")):
        same(both(each, server, "--output", "json"))


def test_no_planner_finds_anything_of_the_one_before(served, tmp_path: Path):
    project, server = served
    (tmp_path / "other").mkdir()
    other = make_project(tmp_path / "other")
    other.caller = project.caller
    other.write("zerrow_project.yml", "project: {name: other}\nsources: {numbers: data/numbers.parquet}\n")
    other.write(
        "models.py", MODEL.replace("numbers)", "numbers, word=zerrow.Parameter('word'))").replace("    ", "    ")
    )
    first = plan(project, "--output", "json", **server.environment)
    other.write("types.py", "raise SystemExit(5)")
    plan(other, **server.environment, ZERROW_PARAM_word="secret of the other")
    plan(other, "--param", "word=another", **server.environment)
    again = plan(project, "--output", "json", **server.environment)
    same((first, again))


def test_what_a_client_sends_never_comes_into_the_memory_of_the_warm_planner(project: Project, serve):
    project.write("models.py", MODEL)
    server = serve(project.caller)
    pid = wait_for_warmth(project, server)
    secret = "word-of-" + os.urandom(8).hex()
    for _ in range(3):
        assert plan(project, **server.environment, ZERROW_PARAM_word=secret).returncode in (0, 1)
    assert warm_planner(server) == pid
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if mode.startswith("rw") and "[v" not in line:
                memory.seek(int(start, 16))
                assert secret.encode() not in memory.read(int(end, 16) - int(start, 16))


@pytest.mark.parametrize("command", ["plan", "run", "query"])
def test_modules_of_a_project_are_not_imported(project: Project, serve, tmp_path: Path, command: str):
    project.write("model.sql", "SELECT a FROM numbers WHERE a < 3")
    server = serve(project.caller)
    pid = wait_for_warmth(project, server)
    write_shadows(project, tmp_path / "proof")
    before = ended(pid)
    arguments = ["SELECT * FROM model"] if command == "query" else []
    done = plan(project, *arguments, command=command, cwd=project.folder, **server.environment)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: ended(pid) > before, what="the end of a warm planner")
    assert list((tmp_path / "proof").iterdir()) == []


def test_a_planner_is_told_what_its_client_has(served):
    """Variables, umask, current folder, and limits of the client's hold, not those of the engine."""
    project, server = served
    project.write("models.py", MODEL.replace("numbers)", "numbers, word=zerrow.Parameter('word'))"))
    project.write(
        "zerrow_project.yml",
        (project.folder / "zerrow_project.yml").read_text() + "\nparameters: {word: {type: str}}\n",
    )
    same(both(project, server, "--output", "json"))
    same(both(project, server, "--output", "json", ZERROW_PARAM_word="one"))
    same(both(project, server, "--output", "json", "--param", "word=two", TZ="Asia/Tokyo", HOME="/nonexistent"))


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL", "LD_LIBRARY_PATH"])
def test_with_other_variables_of_pythons_start_the_planner_is_ones_own(project: Project, serve, variable: str):
    project.write("models.py", MODEL)
    server = serve(project.caller)
    pid = wait_for_warmth(project, server)
    before = ended(pid)
    done = plan(project, **{**server.environment, variable: "/nonexistent"})
    assert (done.returncode, "planner" in done.stderr) == (0, False)
    assert ended(pid) == before


def test_limits_of_the_client_hold_for_its_planner(project: Project, serve):
    project.write("models.py", MODEL)
    server = serve(project.caller)
    wait_for_warmth(project, server)
    script = 'ulimit -f 0; exec "$@"'
    calls = [["bash", "-c", script, "-", *project.caller.words, "plan", "-p", str(project.folder)]] * 2
    # Nothing can be written, not even a plan: both ways say so.
    warm, cold = (
        subprocess.run(call, capture_output=True, text=True, env=project.environment(env), stdin=subprocess.DEVNULL)
        for call, env in zip(calls, (server.environment, {}), strict=True)
    )
    assert (warm.returncode, warm.stderr) == (cold.returncode, cold.stderr)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=lambda each: each.name)
def test_without_its_warm_planner_an_engine_serves_on(served, signal_: signal.Signals):
    project, server = served
    pid = warm_planner(server)
    os.kill(pid, signal_)
    done = plan(project, command="run", **server.environment)
    assert (done.returncode, "planner" in done.stderr) == (0, False), done.stderr
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), what="the end of the warm planner")
    assert wait_for_warmth(project, server) != pid
    assert server.stop() == 0


def test_a_warm_planner_that_is_killed_at_any_moment_costs_no_plan(project: Project, serve):
    project.write("models.py", MODEL)
    server = serve(project.caller)
    expected = plan(project, "--output", "json").stdout
    for delay in range(8):
        pid = wait_for_warmth(project, server)
        command = [*project.caller.words, "plan", "-p", str(project.folder), "--output", "json"]
        client = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=project.environment(server.environment),
        )
        # The longest waits may be longer than the plan takes.
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(0.001 + delay * 0.006)
        os.kill(pid, signal.SIGKILL)
        out, err = client.communicate(timeout=60)
        assert (client.returncode, err) == (0, "")
        assert timeless(out) == timeless(expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_a_planner_ends_with_its_client(served, number: signal.Signals):
    project, server = served
    lines = "".join(f"x{n} = [a{n}, (b{n} + c{n}) * d{n}]\n" for n in range(250_000))
    for each in range(10):
        project.write(f"long{each}.py", lines)
    project.write("reader.sql", "SELECT * FROM numbers")
    pid = warm_planner(server)
    client = project.start(env=server.environment, start_new_session=True)
    wait_until(lambda: planners(pid), what="a planner")
    at_work = planners(pid)
    for each in descendants(client.pid):
        assert "zerrow.plan" not in command_of(each)
    os.killpg(client.pid, number)
    client.wait(60)
    wait_until(lambda: not any(map(is_alive, at_work)), what="the end of the planner")
    assert is_alive(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_the_warm_planner_ends_with_its_engine(served, number: signal.Signals):
    _, server = served
    pid = warm_planner(server)
    server.process.send_signal(number)
    server.process.wait(60)
    wait_until(lambda: not is_alive(pid), what="the end of the warm planner")
    check_nothing_is_left(server.process.pid, [pid])


def call_for_a_planner(project: Project, folder: Path) -> bytes:
    """What a client says that wants one; nobody answers it, and it plans by itself."""
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(folder / "engine.sock"))
        listener.listen()
        command = [*project.caller.words, "plan", "-p", str(project.folder)]
        environment = project.environment({"ZERROW_SOCKET": str(folder / "engine.sock")})
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as client:
            connection = listener.accept()[0]
            said, descriptors, _, _ = socket.recv_fds(connection, 1 << 17, 4)
            for descriptor in descriptors:
                os.close(descriptor)
            connection.close()
            assert client.wait(60) == 0
            assert client.stderr.read() == b""
    assert json.loads(said)["op"] == "planner" and len(descriptors) == 1
    return said


def ask(server: Server, said: bytes) -> socket.socket:
    """The client's end of a socket whose other one goes to the warm planner."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as engine:
        engine.connect(str(server.socket))
        socket.send_fds(engine, [said], [theirs.fileno()])
    theirs.close()
    ours.settimeout(60)
    return ours


def is_over(connection: socket.socket) -> bool:
    """Whether it is closed without a word."""
    with connection, contextlib.suppress(ConnectionResetError):
        return connection.recv(1000) == b""
    return True


def test_no_client_of_another_kind_gets_a_planner_and_none_ends_it(project: Project, serve, tmp_path: Path):
    project.write("models.py", MODEL)
    said = call_for_a_planner(project, tmp_path / "fake")
    server = serve(project.caller)
    pid = wait_for_warmth(project, server)
    body = json.loads(said)
    for other in ({"build": "another"}, {"surroundings": ""}, {"build": 7}):
        assert is_over(ask(server, json.dumps({**body, **other}).encode()))
    nonsense = [b"x", b"[]", b'{"op":"plan"}', b'{"op":"sing"}', b'{"op":"' + b"x" * 140_000 + b'"}']
    for words in nonsense:
        connection = ask(server, said)
        connection.send(words)
        assert is_over(connection), words
    ask(server, said).close()
    # A planner that can't read what it is to do ends, and its client is told so.
    connection = ask(server, said)
    files = [os.memfd_create("nothing") for _ in range(4)]
    socket.send_fds(connection, [b'{"op":"plan"}'], files)
    answers = [socket.recv_fds(connection, 1000, 1)[:2] for _ in range(2)]
    assert [json.loads(text)["op"] for text, _ in answers] == ["forked", "exited"]
    assert json.loads(answers[1][0])["status"] == 1
    for descriptor in [*files, *answers[0][1]]:
        os.close(descriptor)
    connection.close()
    assert warm_planner(server) == pid
    same(both(project, server, "--output", "json"))


def test_a_warm_planner_sees_what_one_of_ones_own_would(served, tmp_path: Path):
    """The namespaces, the root, the rights, the descriptors and the limits are compared, as the kernel tells them."""
    project, server = served
    lines = "".join(f"x{n} = [a{n}, (b{n} + c{n}) * d{n}]\n" for n in range(250_000))
    for each in range(4):
        project.write(f"long{each}.py", lines)
    pid = warm_planner(server)
    seen = []
    for env, parent in ((server.environment, pid), ({}, None)):
        client = project.start(env=env)
        planner: list[int] = []

        def is_planning(client=client, parent=parent, planner=planner) -> bool:
            planner[:] = [
                each
                for each in descendants(parent or client.pid)
                if "NoNewPrivs:\t1" in Path(f"/proc/{each}/status").read_text()
            ]
            return len(planner) > 1  # with its reader of footers

        wait_until(is_planning, what="a planner")
        seen.append(state_of(planner[0]))
        client.kill()
        client.wait()
    assert seen[0] == seen[1]


def state_of(pid: int) -> dict[str, object]:
    """What a process sees and may."""
    words = (
        "Uid",
        "Gid",
        "Groups",
        "NStgid",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    )
    words += ("Seccomp_filters", "SigBlk", "SigIgn", "SigCgt", "Threads", "Umask")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    # posix_spawn leaves 32 and 33 ignored, which are the C library's own: it sets them before it uses them.
    status["SigIgn"] = f"{int(status['SigIgn'], 16) & ~(3 << 31):016x}"
    status["NStgid"] = str(len(status["NStgid"].split()))
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {
        **{word: status.get(word) for word in words},
        "mounts": [(each[3:6], each[-3:]) for each in mounts],
        "descriptors": sorted(os.listdir(f"/proc/{pid}/fd"), key=int)[:4],
        "limits": Path(f"/proc/{pid}/limits").read_text(),
        "folder": os.readlink(f"/proc/{pid}/cwd"),
        "namespaces": {
            name: os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
            for name in ("mnt", "pid", "user", "ipc", "uts", "net")
        },
    }


def ahead(pid: int) -> int:
    """The planner that was forked ahead."""
    wait_until(lambda: len(descendants(pid)) == 1 and not planners(pid), what="a planner that was forked ahead")
    return descendants(pid)[0]


def test_a_planner_that_was_forked_ahead_is_one_clients_alone(served):
    project, server = served
    pid = warm_planner(server)
    seen = []
    for _ in range(3):
        seen.append(ahead(pid))
        # It holds nothing of anybody's, and can write to no client.
        opened = os.listdir(f"/proc/{seen[-1]}/fd")
        assert len(opened) == 5, [os.readlink(f"/proc/{seen[-1]}/fd/{each}") for each in opened]
        same(both(project, server, "--output", "json"))
        wait_until(lambda: not is_alive(seen[-1]), what="the end of the planner that was forked ahead")
    assert len(set(seen)) == 3


def test_one_that_was_forked_ahead_and_is_killed_costs_no_plan(served):
    project, server = served
    pid = warm_planner(server)
    for _ in range(3):
        os.kill(ahead(pid), signal.SIGKILL)
        done = plan(project, "--output", "json", **server.environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert timeless(done.stdout) == timeless(plan(project, "--output", "json").stdout)
    assert warm_planner(server) == pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_is_mounted_after_a_planner_was_forked_ahead_is_seen(project: Project, serve, tmp_path: Path):
    project.write("models.py", MODEL)
    server = serve(project.caller)
    ahead(wait_for_warmth(project, server))
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "place").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "place"], check=True)
    try:
        mounted = make_project(tmp_path / "place")
        mounted.caller = project.caller
        mounted.write("models.py", MODEL)
        same(both(mounted, server, "--output", "json"))
        assert plan(mounted, **server.environment).returncode == 0
    finally:
        subprocess.run(["umount", "-l", tmp_path / "place"], check=True)

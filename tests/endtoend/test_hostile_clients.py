"""Calls that no client of ours makes are refused, and the engine that serves goes on."""

import copy
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import tempfile
import time

import pytest
from command import Project, accept_call, wait_for_line, wait_until
from zerrow.worker.ops import CLIENTS_MAX

MODEL = """
    import zerrow

    @zerrow.model()
    def doubled(numbers=zerrow.Model("numbers")):
        return numbers.select(["a"])
"""
LONG = "x" * 200_000
HUGE = 2**64 - 1


def environment_of(call, value):
    call["plan"]["models"][0]["environment"] = value


# What is changed in a call that a real client made. Refused: in words that name what is wrong.
REFUSED = {
    "an unknown environment": lambda call: environment_of(call, "nowhere"),
    "an environment of 200 kB": lambda call: environment_of(call, LONG),
    "a name of 200 kB": lambda call: call["plan"]["models"][-1].update(name=LONG),
    "no name": lambda call: call["plan"]["models"][-1].update(name=""),
    "a name with a zero": lambda call: call["plan"]["models"][-1].update(name="a\0b"),
    "an input of 200 kB": lambda call: call["plan"]["models"][-1].update(inputs=[LONG]),
    "an input that comes later": lambda call: call["plan"]["models"].reverse(),
    "two models of one name": lambda call: call["plan"]["models"].append(call["plan"]["models"][0]),
    "an interpreter without a name": lambda call: call["plan"]["environments"][0].update(python=""),
    "an interpreter that is relative": lambda call: call["plan"]["environments"][0].update(python="python"),
    "a project of 200 kB": lambda call: call["plan"]["project"].update(folder="/" + LONG),
    "a covered place of 200 kB": lambda call: call["plan"].update(hidden={"covered": ["/" + LONG], "rebuilt": []}),
    "a project that is relative": lambda call: call["plan"]["project"].update(folder="."),
    "a key that is a path": lambda call: call["plan"]["models"][0].update(key="../../evil"),
    "a key of 200 kB": lambda call: call["plan"]["models"][0].update(key=LONG),
    "another version": lambda call: call["plan"].update(version=99),
    "a version that is a text": lambda call: call["plan"].update(version="1"),
    "no models": lambda call: call["plan"].pop("models"),
    "models that are none": lambda call: call["plan"].update(models=[7]),
    "no slots": lambda call: call["options"].update(slots=0),
    "slots below zero": lambda call: call["options"].update(slots=-(2**63)),
    "no memory": lambda call: call["options"].update(memory_bytes_max=0),
    "memory of 2^64": lambda call: call["options"].update(memory_bytes_max=2**64),
    "a folder to export to that is relative": lambda call: call["options"].update(export_folder="out"),
    "a task that nests deep": lambda call: call["plan"]["models"][0].update(task=deep(400)),
    "prepare without a program": lambda call: call["plan"].update(prepare={"command": [], "missing": []}),
    "covered places that are relative": lambda call: call["plan"].update(hidden={"covered": ["x"], "rebuilt": []}),
}
# Not refused: figures count as the largest that make sense, and what is not there is its model's failure.
TAKEN = {
    "nothing changed": lambda call: None,
    "2^63 bytes expected": lambda call: call["plan"]["models"][0].update(expected_bytes=2**63),
    "2^64 - 1 bytes expected": lambda call: call["plan"]["models"][0].update(expected_bytes=HUGE),
    "2^64 - 1 bytes of a model": lambda call: call["plan"]["models"][-1].update(memory_bytes_max=HUGE),
    "2^64 - 1 bytes of a run": lambda call: call["options"].update(memory_bytes_max=HUGE),
    "2^63 - 1 slots": lambda call: call["options"].update(slots=2**63 - 1),
    "no rows to show": lambda call: call["options"].update(preview_rows=-1),
    "1e308 seconds": lambda call: call["plan"]["models"][-1].update(timeout_s=1e308),
    "a place that is not there": lambda call: call["plan"]["models"][0]["task"].update(files=["/not/there"]),
    "a covered place that is not there": lambda call: call["plan"].update(
        hidden={"covered": ["/not/there"], "rebuilt": []}
    ),
    "an interpreter that is no program": lambda call: call["plan"]["environments"][0].update(python="/etc/passwd"),
}


def deep(levels: int) -> list:
    task: list = []
    for _ in range(levels):
        task = [task]
    return task


def real_call(project: Project) -> tuple[bytes, dict]:
    """The message and the payload that a client of ours sends."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "fake.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(path))
            listening.listen()
            environment = project.environment({"ZERROW_SOCKET": str(path)})
            with subprocess.Popen(
                project.command("--no-cache"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as client:
                listening.settimeout(60)
                peer, message, (payload,) = accept_call(listening)
                client.kill()
            peer.close()
    try:
        return message, json.loads(os.pread(payload, os.fstat(payload).st_size, 0))
    finally:
        os.close(payload)


def answer(path: str, message: bytes, content: bytes, hole_bytes: int = 0) -> tuple[str, str]:
    """The op that ends a call, and its words; "" when the engine hangs up."""
    payload = os.memfd_create("call")
    os.write(payload, content)
    if hole_bytes:
        os.ftruncate(payload, hole_bytes)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(120)
        peer.connect(path)
        socket.send_fds(peer, [message], [payload])
        os.close(payload)
        while True:
            data, descriptors, _, _ = socket.recv_fds(peer, 1 << 18, 10)
            for descriptor in descriptors:
                os.close(descriptor)
            said = json.loads(data) if data else {"op": ""}
            if said["op"] == "refused":
                assert peer.recv(1 << 18) == b"", "who is refused is hung up on"
            if said["op"] in ("refused", "ended", ""):
                return said["op"], said.get("message", "")


@pytest.fixture
def called(project: Project, serve):
    project.write("models.py", MODEL)
    message, call = real_call(project)
    server = serve(project.caller)
    yield server, message, call
    assert project.run("--no-cache", env=server.environment).code == 0, "it serves on"
    assert server.says("began")
    assert server.stop() == 0


def test_calls_that_make_no_sense_are_refused_by_name(called):
    server, message, call = called
    for what, change in REFUSED.items():
        changed = copy.deepcopy(call)
        change(changed)
        op, words = answer(server.environment["ZERROW_SOCKET"], message, json.dumps(changed).encode())
        assert op == "refused", what
        assert "could not begin the run" in words and len(words) < 2_000, (what, words[:300])


def test_figures_that_make_no_sense_do_no_harm(called):
    server, message, call = called
    for what, change in TAKEN.items():
        changed = copy.deepcopy(call)
        change(changed)
        op, words = answer(server.environment["ZERROW_SOCKET"], message, json.dumps(changed).encode())
        assert op == "ended", (what, words)


def test_messages_that_are_none_end_their_client(called):
    server, message, call = called
    path, good = server.environment["ZERROW_SOCKET"], json.dumps(call).encode()
    for data in (b"x", b"[]", b'{"op":"launch"}', b'{"op":7}', b"[" * 60_000, b'{"op":"run"}', b'{"op":"published"}'):
        assert answer(path, data, good)[0] in ("", "refused"), data[:40]
    for content in (b"", b"{}", b"null", good[:-1], b"[" * 100_000, good + good):
        assert answer(path, message, content)[0] == "refused", content[:40]
    assert answer(path, message, good, hole_bytes=1 << 30)[0] == "refused"
    assert answer(path, message, good, hole_bytes=1 << 20)[0] == "refused", "holes cost their sender nothing"


def test_a_plan_of_too_many_values_is_refused_before_it_costs_much(called):
    server, message, _ = called
    content = b'{"plan":[' + b",".join([b"{}"] * (20 << 20)) + b'],"options":{}}'
    before = memory_bytes_max(server)
    for _ in range(3):
        op, words = answer(server.environment["ZERROW_SOCKET"], message, content)
        assert op == "refused" and "values" in words, words
    # Its bytes are held while they are counted. Each value of it would take some 60 bytes more.
    assert memory_bytes_max(server) - before < 4 * len(content)


def memory_bytes_max(server) -> int:
    """The most memory that the engine has held, in bytes."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


SLEEPING = """
    import time
    import zerrow

    @zerrow.model()
    def sleeping(numbers=zerrow.Model("numbers")):
        # By then the engine has taken all that it is told of a worker that begins.
        time.sleep(1)
        print("sleeping is running", flush=True)
        time.sleep(300)
        return numbers
"""


def connected(path: str, count: int) -> list[socket.socket]:
    """Connections that say nothing."""
    peers = []
    while len(peers) < count:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.setblocking(False)
        try:
            peer.connect(path)
        except BlockingIOError:
            # As many wait as may; the engine takes them.
            peer.close()
            time.sleep(0.01)
            continue
        peers.append(peer)
    return peers


def descriptors(server) -> list[int]:
    """The numbers of what the engine has open."""
    return sorted(int(name) for name in os.listdir(f"/proc/{server.process.pid}/fd"))


def hung_up(peer: socket.socket) -> bool:
    """Whether the engine has closed a connection."""
    try:
        return peer.recv(100) == b""
    except BlockingIOError:
        return False


def test_connections_that_say_nothing_cost_no_run_anything(project: Project, serve):
    project.write("models.py", SLEEPING)
    server = serve(project.caller)
    with project.start("--no-cache", env=server.environment) as run:
        wait_for_line(run, "sleeping is running")
        before = len(descriptors(server))
        peers = connected(str(server.socket), 2 * CLIENTS_MAX)
        wait_until(lambda: sum(map(hung_up, peers)) > CLIENTS_MAX, what="cutting off those that are too many")
        assert len(descriptors(server)) - before <= CLIENTS_MAX
        assert hung_up(peers[0]) and not hung_up(peers[-1]), "the oldest go first"
        # Others are served meanwhile.
        project.write("models.py", MODEL)
        assert project.run("--no-cache", env=server.environment).code == 0
        assert server.says("began")
        # Those that are left go as well, after a while.
        wait_until(lambda: all(map(hung_up, peers)), seconds=60, what="cutting off those that say nothing")
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    for peer in peers:
        peer.close()
    assert not server.says("is gone"), server.log.read_text()
    assert server.stop() == 0


def test_an_engine_without_descriptors_goes_on_when_it_has_some_again(project: Project, serve):
    project.write("models.py", SLEEPING)
    server = serve(project.caller)
    pid = server.process.pid
    with project.start("--no-cache", env=server.environment) as run:
        wait_for_line(run, "sleeping is running")
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        free = next(number for number, used in enumerate([*descriptors(server), -1]) if number != used)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, limits[1]))
        began, spent = time.monotonic(), cpu_seconds(pid)
        peers = connected(str(server.socket), 10)
        time.sleep(2)
        assert cpu_seconds(pid) - spent < (time.monotonic() - began) / 2, "it does not spin"
        assert run.poll() is None, run.stderr.read()
        assert not server.says("is gone"), "what can't be said now is said later"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        project.write("models.py", MODEL)
        assert project.run("--no-cache", env=server.environment).code == 0
        assert server.says("began")
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    for peer in peers:
        peer.close()
    assert server.stop() == 0


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_client_tells_a_closed_connection_from_an_engine_that_ended(project: Project, tmp_path):
    project.write("models.py", MODEL)
    folder = tmp_path / "fake"
    folder.mkdir(mode=0o700)
    path = folder / "engine.sock"

    def heard(*messages: bytes) -> tuple[int, str]:
        """How a run ends whose engine says this, and hangs up."""
        with project.start("--no-cache", env={"ZERROW_SOCKET": str(path)}) as run:
            listening.settimeout(60)
            peer, _, descriptors = accept_call(listening)
            for descriptor in descriptors:
                os.close(descriptor)
            with peer:
                for message in messages:
                    peer.send(message)
            _, err = run.communicate(timeout=120)
        return run.returncode, err

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        code, err = heard(b'{"op":"began"}')
        assert code == 1 and "closed the connection during the run" in err, err
        code, err = heard()
        assert code == 0 and "is not used: it closed the connection before the run began" in err, err
        code, err = heard(b'{"op":"refused","message":"it does not want to"}')
        assert code == 0 and "is not used: it does not want to" in err, err

"""One engine for many runs: what is shared, and that nobody's end is anybody else's."""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest
from command import HOME, ZERROW, Caller, Project, make_project, wait_for_line, wait_until
from processes import Processes, check_nothing_is_left, descendants

DOUBLE = """
    import zerrow

    @zerrow.model()
    def doubled(numbers=zerrow.Model("numbers")):
        print("doubled is running", flush=True)
        return numbers.select(["a"])
"""
SLOW = """
    import time
    import zerrow

    @zerrow.model()
    def slow(numbers=zerrow.Model("numbers")):
        print("slow is running", flush=True)
        time.sleep(300)
        return numbers
"""


def test_runs_of_one_server_share_its_zygote(any_project: Project, serve):
    any_project.write("models.py", DOUBLE)
    server = serve(any_project.caller)
    first = any_project.run(env=server.environment)
    zygotes = Processes(server.process.pid).zygotes
    second = any_project.run("--no-cache", env=server.environment)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert first.report["run"] != second.report["run"]
    assert first.model("doubled")["output"]["rows"] == second.model("doubled")["output"]["rows"] == 1000
    assert "doubled is running" in second.err
    assert len(zygotes) == 1
    assert Processes(server.process.pid).zygotes == zygotes
    assert server.stop() == 0
    assert not server.socket.exists()
    check_nothing_is_left(server.process.pid, zygotes)


def test_the_client_shows_previews_progress_and_errors_as_without_a_server(project: Project, serve):
    project.write("models.py", DOUBLE)
    server = serve(project.caller)
    command = project.command()
    shown = [
        subprocess.run(command, capture_output=True, text=True, env=project.environment(environment))
        for environment in (server.environment, {})
    ]
    tails = [done.stdout[done.stdout.index("\ndoubled\n") :] for done in shown]
    assert tails[0] == tails[1]
    project.write("models.py", DOUBLE.replace('return numbers.select(["a"])', "raise ValueError('no')"))
    result = project.run(env=server.environment)
    assert result.code == 1
    assert "ValueError: no" in result.report["error"]["message"]
    assert server.says("failed")


def test_a_run_without_a_server_needs_none(project: Project, tmp_path):
    project.write("models.py", DOUBLE)
    assert project.run(env={"ZERROW_SOCKET": str(tmp_path / "nobody.sock")}).code == 0


def test_no_serve_uses_an_engine_of_its_own(project: Project, serve):
    project.write("models.py", DOUBLE)
    server = serve(project.caller)
    assert project.run("--no-serve", env=server.environment).code == 0
    assert not server.says("began")


def test_other_options_than_the_servers_make_an_engine_of_ones_own(project: Project, serve):
    project.write("models.py", DOUBLE)
    server = serve(project.caller)
    result = project.run("--no-arena", env=server.environment)
    assert result.code == 0
    assert "other options" in result.err
    assert not server.says("began")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_client_that_goes_cancels_its_run_and_no_other(any_project: Project, serve, number, tmp_path_factory):
    any_project.write("models.py", SLOW)
    other = make_project(tmp_path_factory.mktemp("other"))
    other.caller = any_project.caller
    other.write("models.py", SLOW.replace("sleep(300)", "sleep(3)"))
    server = serve(any_project.caller, "--jobs", "2")
    victim = any_project.start("--output", "json", env=server.environment)
    survivor = other.start("--output", "json", env=server.environment)
    wait_until(lambda: len(Processes(server.process.pid).workers) >= 2, seconds=120, what="both workers")
    wait_for_line(victim, "slow is running")
    client = victim.pid
    # The caller may be another program in front of the command.
    for pid in [*descendants(client), client]:
        os.kill(pid, number)
    out, _ = victim.communicate(timeout=60)
    if number == signal.SIGINT:
        assert json.loads(out)["error"]["message"] == "the run was cancelled"
    out, err = survivor.communicate(timeout=120)
    assert json.loads(out)["status"] == "success", err
    wait_until(lambda: not Processes(server.process.pid).workers, what="the end of all workers")
    wait_until(lambda: server.log.read_text().count("failed") == 1, what="the server's word on the cancelled run")


def test_a_killed_server_leaves_nothing_and_the_next_one_starts_clean(any_project: Project, serve):
    any_project.write("models.py", SLOW)
    server = serve(any_project.caller)
    client = any_project.start("--output", "json", env=server.environment)
    wait_for_line(client, "slow is running")
    others = descendants(server.process.pid)
    assert others
    os.kill(server.process.pid, signal.SIGKILL)
    out, err = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "ended during the run" in json.loads(out)["error"]["message"], err
    check_nothing_is_left(server.process.pid, others)
    assert server.socket.exists()
    any_project.write("models.py", DOUBLE)
    # Nobody answers at the socket any more: the run does without, and a new server takes the place.
    assert any_project.run(env=server.environment).code == 0
    again = serve(any_project.caller, folder=server.socket.parent)
    wait_until(lambda: again.says("serving at"), what="the second server")
    assert any_project.run(env=server.environment).code == 0
    assert again.says("success")


def test_a_stopped_server_cancels_what_runs(project: Project, serve):
    project.write("models.py", SLOW)
    server = serve(project.caller)
    client = project.start("--output", "json", env=server.environment)
    wait_for_line(client, "slow is running")
    others = descendants(server.process.pid)
    assert server.stop() == 0
    out, _ = client.communicate(timeout=60)
    assert json.loads(out)["error"]["message"] == "the run was cancelled"
    check_nothing_is_left(server.process.pid, others)


def test_a_server_of_another_build_is_not_used(project: Project, serve, tmp_path):
    project.write("models.py", DOUBLE)
    subprocess.run([ZERROW, "--version"], check=True, capture_output=True)
    release = HOME / ".build" / "release"
    for name in ("zerrow", "libzerrow_worker.so", "libzerrow_arena.so"):
        shutil.copy2(release / name, tmp_path / name)
    python = os.environ.get("ZERROW_PYTHON", str(HOME / ".zerrow" / "env" / "bin" / "python"))
    project.caller = Caller([str(tmp_path / "zerrow")], {"ZERROW_HOME": str(HOME), "ZERROW_PYTHON": python})
    server = serve(project.caller)
    assert project.run(env=server.environment).code == 0
    wait_until(lambda: server.log.read_text().count("began") == 1, what="the first run")
    # Built anew while the server goes on: the same name is another file now.
    shutil.copy2(release / "zerrow", tmp_path / "new")
    (tmp_path / "new").rename(tmp_path / "zerrow")
    result = project.run(env=server.environment)
    assert result.code == 0
    assert "another build" in result.err
    assert server.log.read_text().count("began") == 1


def test_two_servers_cannot_share_an_address(project: Project, serve):
    server = serve(project.caller)
    wait_until(lambda: server.says("serving at"), what="the server")
    second = subprocess.run(
        [*project.caller.words, "serve"],
        capture_output=True,
        text=True,
        env=project.environment(server.environment),
        timeout=60,
    )
    assert second.returncode == 1
    assert "serves" in second.stderr
    assert server.process.poll() is None


def test_a_folder_that_others_can_write_to_is_refused(project: Project, tmp_path):
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [*project.caller.words, "serve", "--socket", str(tmp_path / "engine.sock")],
        capture_output=True,
        text=True,
        env=project.environment(),
        timeout=60,
    )
    assert done.returncode == 1
    assert "others may write to it" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="takes two users")
def test_another_user_cannot_use_a_server(project: Project, serve, ordinary: Caller):
    project.write("models.py", DOUBLE)
    server = serve(project.caller)
    wait_until(lambda: server.says("serving at"), what="the server")
    server.socket.parent.chmod(0o755)
    project.caller = ordinary
    result = project.run(env=server.environment)
    assert result.code == 0
    assert not server.says("began")
    code = "import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])"
    done = subprocess.run(
        [*ordinary.words[:-1], "/usr/bin/python3", "-c", code, str(server.socket)], capture_output=True, text=True
    )
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize("message", [b"", b"junk", b"{}", b'{"op":"run"}', b'{"op":"run","build":1}', b"x" * 100_000])
def test_a_client_that_breaks_the_protocol_is_cut_off(project: Project, serve, message: bytes):
    project.write("models.py", DOUBLE)
    server = serve(project.caller)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(server.socket))
        client.send(message)
        client.settimeout(20)
        answer = client.recv(1 << 16)
        assert answer == b"" or json.loads(answer)["op"] == "refused"
    assert project.run(env=server.environment).code == 0


def test_a_later_run_gets_a_slot_before_an_earlier_one_is_through(project: Project, serve, tmp_path_factory):
    models = ["import time", "import zerrow"]
    for number in range(40):
        models += [
            "@zerrow.model()",
            f"def m{number}(numbers=zerrow.Model('numbers')):",
            "    time.sleep(1)",
            "    return numbers",
        ]
    project.write("models.py", "\n".join(models) + "\n")
    other = make_project(tmp_path_factory.mktemp("other"))
    other.write("models.py", DOUBLE)
    server = serve(project.caller, "--jobs", "1")
    long = project.start("--output", "json", env=server.environment)
    wait_for_line(long, "m0")
    short = other.run(env=server.environment)
    assert short.code == 0, short.err
    assert long.poll() is None, "the long run was over first"
    batch = other.run("--batch", "--no-cache", env=server.environment)
    assert batch.code == 0, batch.err
    assert long.poll() is None, "a batch run waited for an interactive one to its end"
    long.send_signal(signal.SIGINT)
    out, _ = long.communicate(timeout=120)
    assert [model["status"] for model in json.loads(out)["models"]].count("success") >= 8


def test_whatever_a_model_prints_the_server_goes_on(project: Project, serve):
    project.write(
        "models.py",
        r"""
    import sys
    import zerrow

    @zerrow.model()
    def loud(numbers=zerrow.Model("numbers")):
        for text in (b"\xff", b"\x01", b'"', b"\\"):
            sys.stdout.buffer.write(text * 70000 + b"\n")
        sys.stdout.buffer.flush()
        return numbers
    """,
    )
    server = serve(project.caller)
    for _ in range(2):
        result = project.run("--no-cache", env=server.environment)
        assert result.code == 0, result.err
    assert server.process.poll() is None


def test_a_zygote_that_dies_fails_runs_and_not_the_server(project: Project, serve):
    project.write(
        "models.py",
        "\n    import time\n    import zerrow\n"
        + "".join(
            f"""
    @zerrow.model()
    def slow{number}(numbers=zerrow.Model("numbers")):
        print("slow is running", flush=True)
        time.sleep(300)
        return numbers
"""
            for number in range(4)
        ),
    )
    server = serve(project.caller, "--jobs", "1")
    run = project.start(env=server.environment)
    wait_for_line(run, "slow is running")
    for zygote in Processes(server.process.pid).zygotes:
        os.kill(zygote, signal.SIGKILL)
    assert run.wait(60) == 1
    run.stderr.close()
    run.stdout.close()
    project.write("models.py", DOUBLE)
    assert project.run(env=server.environment).code == 0

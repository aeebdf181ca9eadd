"""The zygote: forking, reaping, ending, and what it does with nonsense."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from small_engine import PATIENCE_S, Engine, Worker, open_table, wait_readable

SLEEP = "import time\nprint('begun')\ndef model():\n    time.sleep(600)\n"


def threads_of(pid: int) -> set[str]:
    return {Path(task, "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_ready_names_python_and_the_modules_that_are_there(engine: Engine) -> None:
    assert engine.ready["python"].startswith("3.")
    assert "pyarrow" in engine.ready["modules"] and "no_such_module" not in engine.ready["modules"]


def test_a_worker_imports_nothing_of_zerrow_that_the_zygote_has_not(engine: Engine, project) -> None:
    text = (
        "import gc, sys\ndef model():\n"
        "    late = [vars(m)['__name__'] for m in gc.get_objects() if type(m) is type(sys)]\n"
        "    return {'late': [name for name in late if name.startswith('zerrow')] + ['end']}"
    )
    outcome = engine.run(project(text))  # what the zygote froze before the fork is not among the collector's objects
    assert open_table(outcome.table)["late"].to_pylist() == ["end"]


def test_warming_up_starts_no_threads_but_the_one_polars_insists_on(engine: Engine) -> None:
    assert threads_of(engine.process.pid) <= {"python", "python3", "python3.11", "polars-ooc-clea"}


def test_a_storm_of_forks_gives_each_worker_its_own_end(engine: Engine, project) -> None:
    workers = [engine.fork() for _ in range(24)]
    assert len({worker.pid for worker in workers}) == len(workers)
    task = project("def model(n):\n    print(n)\n    return {'a': [n]}")
    outputs = [
        engine.give(worker, {**task, "arguments": [{"name": "n", "value": number}]}, [])
        for number, worker in enumerate(workers)
    ]
    for worker, output in zip(workers, outputs, strict=True):
        outcome = engine.finish(worker, output)
        assert outcome.error is None and outcome.exited["status"] == 0
        assert outcome.exited["memory_bytes_max"] > 1 << 20 and outcome.exited["cpu_ms"] >= 0
    assert [worker.text() for worker in workers] == [f"{number}\n" for number in range(24)]


def test_workers_have_only_their_own_descriptors(engine: Engine, project) -> None:
    bystander = engine.fork()
    text = (
        "import os\ndef model():\n    names = {}\n    for fd in os.listdir('/proc/self/fd'):\n"
        "        try: names[int(fd)] = os.readlink(f'/proc/self/fd/{fd}')\n        except OSError: pass\n"
        "    return {'fd': list(names), 'name': list(names.values())}"
    )
    rows = open_table(engine.run(project(text)).table).to_pylist()
    by_number = {row["fd"]: row["name"] for row in rows}
    assert by_number[0] == "/dev/null" and by_number[1] == by_number[2] and by_number[1].startswith("pipe:")
    sockets = [name for name in by_number.values() if name.startswith("socket:")]
    others = [name for fd, name in by_number.items() if fd > 3 and "memfd:" not in name]
    assert len(sockets) == 1 and others == []
    bystander.kill()
    assert engine.exited(bystander)["signal"] == signal.SIGKILL


def test_random_numbers_differ_between_workers(engine: Engine, project) -> None:
    text = "import random, numpy\ndef model(): print(random.random(), numpy.random.random())\n"
    seen = [engine.run(project(text)).worker.text().split() for _ in range(3)]
    assert len({number for pair in seen for number in pair}) == 6


def test_the_number_of_threads_is_the_forks(engine: Engine, project) -> None:
    text = (
        "import os, pyarrow as pa\ndef model():\n    print(pa.cpu_count(), os.environ['OMP_NUM_THREADS'])\n"
        "    return {'a': [1]}"
    )
    assert engine.run(project(text), cpus=1).worker.text() == "1 1\n"
    assert engine.run(project(text), cpus=3).worker.text() == "3 3\n"


def kill_before_start(engine: Engine, worker: Worker, project) -> None:
    pass


def kill_waiting(engine: Engine, worker: Worker, project) -> None:
    worker.peer.expect("started")


def kill_running(engine: Engine, worker: Worker, project) -> None:
    os.close(engine.give(worker, project(SLEEP), []))
    worker.peer.expect("running")
    wait_for(lambda: b"begun" in b"".join(worker.output))


@pytest.mark.parametrize("reach", [kill_before_start, kill_waiting, kill_running])
def test_a_killed_worker_is_reported_in_every_state(engine: Engine, project, reach) -> None:
    worker = engine.fork()
    reach(engine, worker, project)
    worker.kill()
    ended = engine.exited(worker)
    assert ended["signal"] == signal.SIGKILL and ended["status"] is None
    assert wait_readable(worker.pidfd)


@pytest.mark.parametrize(
    ("line", "number"), [("os.kill(os.getpid(), 11)", signal.SIGSEGV), ("os.abort()", signal.SIGABRT)]
)
def test_a_crash_is_reported_with_its_signal(engine: Engine, project, line: str, number: int) -> None:
    outcome = engine.run(project(f"import os\ndef model():\n    {line}"))
    assert outcome.error is None and outcome.exited["signal"] == number


def test_a_model_that_leaves_by_itself_is_reported_with_its_status(engine: Engine, project) -> None:
    outcome = engine.run(project("import os\ndef model():\n    os._exit(7)"))
    assert outcome.error is None and outcome.exited["status"] == 7


def test_children_of_a_worker_are_dead_when_it_is_reported(engine: Engine, project) -> None:
    text = (
        "import subprocess\ndef model():\n    child = subprocess.Popen(['sleep', '600'])\n"
        "    print(child.pid)\n    return {'a': [1]}"
    )
    outcome = engine.run(project(text))
    pid = int(outcome.worker.text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_leaves_when_the_engine_is_gone(engine: Engine) -> None:
    worker = engine.fork()
    worker.peer.expect("started")
    worker.peer.socket.shutdown(socket.SHUT_RDWR)
    assert engine.exited(worker)["status"] == 1


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"not json", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"op":"fork","worker":"w"}', "no proper 'fork'"),
        (b'{"op":"fork","worker":5,"cpus":1}', "no proper 'fork'"),
        (b'{"op":"sing"}', "no proper 'fork'"),
        (b"[" * 100_000, "not JSON"),
        (b'{"op":"' + b"x" * (1 << 17) + b'"}', "over 131072 bytes"),
    ],
)
def test_a_malformed_message_ends_the_zygote_with_a_reason(message: bytes, words: str) -> None:
    engine = Engine(modules="").wait_ready()
    engine.control.send(message)
    assert engine.control.receive() is None
    assert engine.process.wait(PATIENCE_S) == 1
    assert words in engine.close()


@pytest.mark.parametrize(
    "message",
    [b"nonsense", b'{"op":"dance"}', b'{"op":"segments","ids":[1]}', b'{"op":"table","input":3}', b'{"op":"run"}'],
)
def test_a_worker_given_nonsense_fails_and_leaves(engine: Engine, message: bytes) -> None:
    worker = engine.fork()
    worker.peer.expect("started")
    worker.peer.send(message)
    error = worker.peer.expect("failed")[0]["error"]
    assert error["kind"] == "internal"
    assert engine.exited(worker)["status"] == 1


def test_the_zygote_ends_with_its_socket_and_leaves_no_process(project) -> None:
    engine = Engine(modules="").wait_ready()
    worker = engine.fork()
    worker.peer.expect("started")
    assert engine.close() == ""
    assert engine.process.returncode == 0


def test_a_busy_worker_and_its_children_die_with_the_engine_without_a_sandbox_too(project) -> None:
    engine = Engine(modules="").wait_ready()
    worker = engine.fork()
    text = (
        "import subprocess, time\ndef model():\n"
        "    print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n    time.sleep(600)"
    )
    os.close(engine.give(worker, project(text), []))
    wait_for(lambda: worker.output)
    child = os.pidfd_open(int(b"".join(worker.output)))
    engine.control.socket.close()
    assert wait_readable(worker.pidfd) and wait_readable(child)
    os.close(child)
    assert engine.close() == ""


def test_a_zygote_without_its_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import small_engine

    monkeypatch.setattr(small_engine, "built", lambda name: "/nowhere/" + name)
    engine = Engine(modules="")
    assert engine.control.receive() is None
    assert "/nowhere/libzerrow_worker.so" in engine.close()
    assert engine.process.returncode == 1


def test_duckdbs_warm_default_connection_works_in_every_worker_with_its_threads(engine: Engine, project) -> None:
    text = (
        "import duckdb\ndef model():\n    duckdb.sql('create table mine as select 1 as x')\n"
        "    other = duckdb.connect()\n    print(other.sql(\"select current_setting('threads')\").fetchall()[0][0])\n"
        "    return duckdb.sql(\"select x, current_setting('threads') as threads from mine\")"
    )
    for _ in range(2):  # a table that one worker makes is not there in the next
        outcome = engine.run(project(text), cpus=3)
        assert outcome.error is None, outcome.error
        assert open_table(outcome.table).to_pylist() == [{"x": 1, "threads": 3}]


def test_a_zygote_that_was_started_early_imports_what_it_is_told_to(project) -> None:
    engine = Engine(modules=None)
    try:
        assert not wait_readable(engine.control.socket.fileno(), 1.0), "it is ready before it knows what for"
        engine.control.send({"op": "preload", "modules": ["pyarrow", "pandas", "no_such_module"]})
        engine.wait_ready()
        assert engine.ready["modules"] == ["pyarrow", "pandas"]
        outcome = engine.run(project("import sys\ndef model():\n    return {'a': ['pandas' in sys.modules]}"))
        assert open_table(outcome.table)["a"].to_pylist() == [True]
    finally:
        engine.close()


@pytest.mark.parametrize("message", [{"op": "fork"}, {"op": "preload"}, {"op": "preload", "modules": [1]}, None])
def test_a_zygote_that_is_told_something_else_ends(message: dict | None) -> None:
    engine = Engine(modules=None)
    if message is not None:
        engine.control.send(message)
    else:
        engine.control.socket.close()
    assert engine.process.wait(PATIENCE_S) == 1
    engine.process.stderr.close()
    engine.control.socket.close()

"""The same protocol with every worker in namespaces, and as a user, of its own."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_engine import Engine, Table, built, open_table, read_all

UID = 60_123


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def isolated(folder: Path) -> Iterator[Engine]:
    engine = Engine(shown=folder, preload=built("libzerrow_arena.so")).wait_ready()
    yield engine
    assert engine.close() == ""


def task(folder: Path, text: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    file = f"m{len(list(folder.iterdir()))}.py"
    (folder / file).write_text(text)
    return {
        "kind": "python", "model": "m", "folder": str(folder), "file": file, "line": 1, "function": "model",
        "arguments": list(arguments),
    }  # fmt: skip


def identity() -> dict[str, int]:
    return {"uid": UID} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def source(isolated: Engine, folder: Path) -> Table:
    text = "import pyarrow as pa\ndef model(): return pa.table({'a': range(100_000), 's': ['x' * 20] * 100_000})"
    outcome = isolated.run(task(folder, text), **identity())
    assert outcome.error is None, outcome.error
    return outcome.table


def test_tables_pass_and_are_reshared_between_isolated_workers(isolated: Engine, folder: Path, source: Table) -> None:
    text = "def model(t): return t.select(['a'])"
    outcome = isolated.run(task(folder, text, {"name": "t", "input": 0}), [source], **identity())
    assert outcome.error is None, outcome.error
    assert outcome.table.counts["reshared_bytes"] == 800_000 == sum(outcome.table.counts.values())
    assert open_table(outcome.table)["a"].to_pylist() == list(range(100_000))


@pytest.mark.parametrize("library", ["polars", "pandas", "duckdb", "datafusion"])
def test_every_library_works_isolated(isolated: Engine, folder: Path, source: Table, library: str) -> None:
    bodies = {
        "polars": "import polars as pl\ndef model(t): return pl.from_arrow(t).group_by('s').agg(n=pl.len())",
        "pandas": "def model(t): return t.to_pandas().groupby('s').size().reset_index(name='n')",
        "duckdb": "import duckdb\ndef model(t): return duckdb.sql('select s, count(*) as n from t group by s')",
    }
    if library == "datafusion":
        work = {"kind": "sql", "model": "q", "file": "q.sql", "line": 1, "engine": "datafusion"}
        work |= {"sql": "select s, count(*) as n from t group by s", "arguments": [{"name": "t", "input": 0}]}
    else:
        work = task(folder, bodies[library], {"name": "t", "input": 0})
    outcome = isolated.run(work, [source], **identity())
    assert outcome.error is None, outcome.error
    assert open_table(outcome.table)["n"].to_pylist() == [100_000]


def test_a_worker_is_its_own_user_first_in_its_namespace_and_sees_nobody(isolated: Engine, folder: Path) -> None:
    text = (
        "import os\ndef model():\n    pids = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "    return {'uid': [os.getuid()], 'pid': [os.getpid()], 'seen': [','.join(pids)],"
        " 'tmp': [len(os.listdir('/tmp'))]}"
    )
    outcome = isolated.run(task(folder, text), **identity())
    assert outcome.error is None, outcome.error
    uid = UID if os.geteuid() == 0 else 0
    assert open_table(outcome.table).to_pylist() == [{"uid": uid, "pid": 1, "seen": "1", "tmp": 1}]


def test_everything_a_worker_started_is_dead_when_it_is_reported(isolated: Engine, folder: Path) -> None:
    marker = f"{os.getpid()}.5"
    text = (
        "import subprocess\ndef model():\n"
        f"    subprocess.Popen(['setsid', 'sleep', '{marker}'], start_new_session=True)\n    return {{'a': [1]}}"
    )
    outcome = isolated.run(task(folder, text), **identity())
    assert outcome.error is None and outcome.exited["status"] == 0
    commands = [read(entry / "cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert not any(marker.encode() in command for command in commands)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_killed_isolated_worker_is_reported_and_the_next_one_runs(isolated: Engine, folder: Path) -> None:
    for _ in range(5):
        worker = isolated.fork(**identity())
        worker.peer.expect("started")
        worker.kill()
        assert isolated.exited(worker)["signal"] == signal.SIGKILL
    assert isolated.run(task(folder, "def model(): return {'a': [1]}"), **identity()).error is None


def test_a_worker_cannot_write_to_its_input(isolated: Engine, folder: Path, source: Table) -> None:
    text = (
        "import os\ndef model(t):\n    tried = 0\n    for fd in os.listdir('/proc/self/fd'):\n"
        "        try:\n            if 'memfd' not in os.readlink(f'/proc/self/fd/{fd}'): continue\n"
        "            tried += 1\n            os.pwrite(int(fd), b'broken', 0)\n        except OSError: pass\n"
        "    return {'tried': [tried]}"
    )
    before = [read_all(source.segments[number])[:4096] for number in source.ids]
    outcome = isolated.run(task(folder, text, {"name": "t", "input": 0}), [source], **identity())
    assert outcome.error is None, outcome.error
    assert [read_all(source.segments[number])[:4096] for number in source.ids] == before


def test_a_zygote_that_may_not_isolate_reports_every_fork_as_failed(folder: Path) -> None:
    wrapper = ["setpriv", "--bounding-set=-sys_admin"] if os.geteuid() == 0 else []
    engine = Engine(shown=folder, wrapper=wrapper, modules="").wait_ready()
    for name in ("a", "b"):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine, theirs:
            message = {"op": "fork", "worker": name, "cpus": 1}
            engine.control.send(message, (theirs.fileno(), theirs.fileno()))
            failed, _ = engine.control.expect("fork-failed")
            assert failed["worker"] == name and failed["errno"] == errno.EPERM and "namespace" in failed["message"]
    assert engine.close() == ""

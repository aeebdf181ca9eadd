"""Whether files are read as pyarrow reads them, or refused by their names: the real planner, then the real scan.

Each scan runs in a process of its own, as a worker's does, with the worker's own way of saying what ended it. Its table
is passed on as a model's is, and compared with what pyarrow reads of the file, twice.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HOME / "python"), str(HOME / "tests" / "sipc")]

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from abi import Engine  # noqa: E402
from zerrow.plan.source_files import shown  # noqa: E402
from zerrow.worker.abi import WorkerLibrary  # noqa: E402
from zerrow.worker.channel import encoded  # noqa: E402
from zerrow.worker.failures import WorkerFailure  # noqa: E402
from zerrow.worker.scan import scan  # noqa: E402

LIBRARY = os.environ.get("ZERROW_WORKER_LIBRARY", str(HOME / ".build/release/libzerrow_worker.so"))
PROCESSOR_SECONDS_MAX = 60
MEMORY_BYTES_MAX = 4 << 30


@dataclass
class Verdict:
    """The verdict on a file: `equal`, `refused` or `other`; and the message about it, or the fault."""

    kind: str
    why: str


def judge(files: list[str]) -> dict[str, Verdict]:
    """The verdict on each file."""
    verdicts, tasks = plan(files)
    for file, task in tasks.items():
        verdicts[file] = run(file, task)
    return verdicts


def plan(files: list[str]) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Files that the planner refuses, or has no right answer for; and the tasks of the scans of all others."""
    verdicts: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory() as folder:
        names = {f"s{number}": file for number, file in enumerate(files)}
        while names:
            answer = _answer(Path(folder), names)
            if isinstance(answer, str):
                return {file: Verdict("other", answer) for file in files}, {}
            for error in answer.get("errors", ()):
                name = re.match(r"the source '(s\d+)'", error["message"])
                if name is None or name[1] not in names:
                    return {file: Verdict("other", error["message"]) for file in files}, {}
                file = names.pop(name[1])
                named = shown(file) in error["message"] or shown(os.path.realpath(file)) in error["message"]
                verdicts[file] = Verdict("refused" if named else "other", error["message"])
            if "models" in answer:
                tasks = {model["name"]: model["task"] for model in answer["models"] if model["kind"] == "scan"}
                return verdicts, {names[name]: task for name, task in tasks.items()}
    return verdicts, {}


def _answer(folder: Path, names: dict[str, str]) -> Any:
    sources = {name: {"path": os.path.abspath(file), "hive": False} for name, file in names.items()}
    (folder / "zerrow_project.yml").write_text(json.dumps({"project": {"name": "corpus"}, "sources": sources}))
    models = (f"@zerrow.model()\ndef m{name}(t=zerrow.Model({name!r})):\n    return t\n" for name in names)
    (folder / "m.py").write_text("import zerrow\n" + "".join(models))
    command = [sys.executable, "-m", "zerrow.plan", "--project", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(HOME / "python")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
        return f"the planner ended with {done.returncode}: {done.stderr[-500:]}"
    return json.loads(done.stdout)


def run(file: str, task: dict[str, Any]) -> Verdict:
    """The verdict on a file that was planned."""
    stages, ending = _in_child(file, task, True)
    if stages[-1:] == ["pyarrow"]:
        # pyarrow itself doesn't come back: whatever names the file will do.
        stages, ending = _in_child(file, task, False)
        if stages and isinstance(stages[-1], dict) and stages[-1]["kind"] == "equal":
            return Verdict("equal", "pyarrow alone does not come back")
    last = stages[-1] if stages else "nothing"
    if isinstance(last, dict) and "op" in last:
        message = last["error"]["message"]
        return Verdict("refused" if file in message else "other", message)
    if isinstance(last, dict):
        return Verdict(last["kind"], last["why"])
    return Verdict("other", f"the process ended ({ending}) in {last}")


def _in_child(file: str, task: dict[str, Any], compares: bool) -> tuple[list[Any], str]:
    """What a process of its own says, and how it ended."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS_MAX, PROCESSOR_SECONDS_MAX))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            _child(file, task, compares, theirs)
        finally:
            os._exit(0)
    theirs.close()
    stages = []
    while data := ours.recv(1 << 20):
        stages.append(json.loads(data))
    ours.close()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return stages, signal.Signals(-code).name if code < 0 else str(code)


def _child(file: str, task: dict[str, Any], compares: bool, channel: socket.socket) -> None:
    def say(what: Any) -> None:
        channel.send(json.dumps(what).encode())

    def blame(culprit: str | None) -> None:
        failure = {"error": {"message": f"{culprit} cannot be read: it ends the reader"}}
        library.last_words(channel.fileno(), encoded("failed", failure) if culprit else b"")

    library = WorkerLibrary(LIBRARY)
    expected = None
    if compares:
        say("pyarrow")
        try:
            expected = pq.read_table(file, partitioning=None)
            again = pq.read_table(file, partitioning=None)
        except Exception as error:
            expected = error
    say("scan")
    try:
        table = scan(task, 2, None, library.guard, blame)
    except WorkerFailure as error:
        is_named = file in error.message and error.kind in ("input", "memory")
        say({"kind": "refused" if is_named else "other", "why": f"{error.kind}: {error.message}"})
        return
    except BaseException as error:
        say({"kind": "other", "why": f"{type(error).__name__}: {error}"})
        return
    say("passing it on")
    try:
        passed = _passed_on(table)
    except Exception as error:
        say({"kind": "refused" if "column" in str(error) else "other", "why": f"passing it on: {error}"})
        return
    say("comparing")
    if not compares:
        say({"kind": "equal", "why": ""})
    elif isinstance(expected, Exception):
        say({"kind": "other", "why": f"pyarrow refuses it: {expected}"})
    elif difference := different(passed, expected) and different(passed, again):
        say({"kind": "other", "why": difference})
    else:
        say({"kind": "equal", "why": ""})


def _passed_on(table: pa.Table) -> pa.Table:
    engine = Engine()
    stream = table if table.num_columns else table.to_reader()
    descriptor, _ = engine.publish(stream, bytes_max=(table.nbytes * 2 + (64 << 20)) & ~4095)
    return engine.open(descriptor)


def different(ours: pa.Table, expected: pa.Table) -> str:
    """How a table is another one than pyarrow's; nothing where it isn't. Strings may be plain where it has views."""
    if ours.column_names != expected.column_names:
        return f"the columns are {ours.column_names[:9]}, and not {expected.column_names[:9]}"
    if ours.num_rows != expected.num_rows:
        return f"it has {ours.num_rows} rows, and not {expected.num_rows}"
    for name, a, b in zip(ours.column_names, ours.columns, expected.columns, strict=True):
        if a.type != b.type:
            if str(a.type) != str(b.type).replace("_view", ""):
                return f"the column {name!r} is {a.type}, and not {b.type}"
            b = b.cast(a.type)
        if not a.equals(b) and repr(_values(a)) != repr(_values(b)):
            return f"the column {name!r} has other values"
        if ours.schema.field(name).nullable != expected.schema.field(name).nullable:
            return f"the column {name!r} may be null in one of them"
    return ""


def _values(column: pa.ChunkedArray) -> list[Any]:
    return column.to_pylist()  # NaN is like itself as text

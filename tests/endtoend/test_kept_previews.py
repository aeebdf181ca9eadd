"""An engine that serves keeps what it has shown of a kept result: shown again it needs no worker.

A run without an engine that serves, which makes each preview anew, is the judge.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Project, Server
from processes import descendants

SQL = "select a, a * 1000 as b, 'a text of some length' as c, a % 7 as d from numbers"


def shown(project: Project, *words: str, columns: int | None = None, **env: str) -> str:
    """What a run shows of its last table, on a terminal so wide, or on none."""
    call = [*project.caller.words, "run", "-p", str(project.folder), *words]
    environment = {**project.environment(), **env}
    if columns is None:
        done = subprocess.run(call, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout[done.stdout.index("\nlast\n") :] if "\nlast\n" in done.stdout else ""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:
            break
        text += piece
    os.close(ours)
    assert process.wait(300) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.decode()).replace("\r", "")
    return plain[plain.index("\nlast\n") :]


@pytest.fixture
def served(project: Project, serve) -> tuple[Project, Server]:
    project.write("last.sql", SQL)
    server = serve(project.caller)
    assert shown(project, **server.environment)
    return project, server


def workers(server: Server) -> set[str]:
    """The workers that an engine's zygotes have ended so far, by the page faults that the kernel counts for these."""
    counts = set()
    for pid in descendants(server.process.pid):
        status = Path(f"/proc/{pid}/stat").read_text()
        if b"zerrow.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes():
            counts.add(f"{pid} {status[status.rindex(')') + 2 :].split()[8]}")
    return counts


def test_a_kept_result_is_shown_again_without_a_worker(served):
    project, server = served
    once = shown(project, **server.environment)
    before = workers(server)
    assert before
    assert [shown(project, **server.environment) for _ in range(3)] == [once] * 3 == [shown(project)] * 3
    assert workers(server) == before
    shown(project, "--rows", "4", **server.environment)
    assert workers(server) != before


@pytest.mark.parametrize(
    "words", [("--rows", "3"), ("--preview", "tail"), ("--preview", "tail", "--rows", "2"), ("--preview", "off")]
)
def test_other_rows_are_other_rows(served, words: tuple[str, ...]):
    project, server = served
    usual = shown(project)
    for _ in range(2):
        assert shown(project, *words, **server.environment) == shown(project, *words) != usual
        assert shown(project, **server.environment) == usual


def test_a_terminal_of_another_width_shows_another_text(served):
    project, server = served
    texts = []
    for columns in (90, 20, 90, 20):
        texts.append(shown(project, columns=columns, **server.environment))
        assert texts[-1] == shown(project, columns=columns)
    assert texts[0] == texts[2] != texts[1] == texts[3]


def test_json_has_no_rows_and_takes_none_away(served):
    project, server = served
    usual = shown(project)
    result = project.run(env=server.environment)
    assert result.code == 0 and result.report["models"][-1]["status"] == "cached"
    assert shown(project, **server.environment) == usual


def test_changed_code_data_and_parameters_show_the_new_rows(served):
    project, server = served
    usual = shown(project, **server.environment)
    project.write("last.sql", SQL.replace("1000", "2000"))
    changed = shown(project, **server.environment)
    assert changed == shown(project) != usual
    project.write("last.sql", SQL)
    assert shown(project, **server.environment) == usual
    # Data of the same size and the same time of change: only the time of the last change of status differs.
    file = project.folder / "data" / "numbers.parquet"
    status = file.stat()
    table = pq.read_table(file)
    place = table.column_names.index("a")
    other = table.set_column(place, "a", pa.chunked_array([pa.array(table["a"].to_pylist()[::-1], table["a"].type)]))
    pq.write_table(other, file.with_name("other.parquet"))
    content = file.with_name("other.parquet").read_bytes()
    file.with_name("other.parquet").unlink()
    with file.open("r+b") as old:
        old.write(content)
        old.truncate(len(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert shown(project, **server.environment) == shown(project) != usual


def test_an_emptied_cache_keeps_no_preview(served):
    project, server = served
    usual = shown(project, **server.environment)
    before = workers(server)
    server.process.send_signal(10)
    assert shown(project, **server.environment) == usual
    assert workers(server) != before


def test_without_the_cache_a_preview_is_made_anew(served):
    project, server = served
    usual = shown(project, **server.environment)
    before = workers(server)
    assert shown(project, "--no-cache", **server.environment) == usual
    assert workers(server) != before

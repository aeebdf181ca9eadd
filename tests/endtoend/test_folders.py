"""Folders that outlive a run: what others could have put there is not used, and what is damaged is made anew."""

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pytest
from command import IS_ROOT, NOBODY, Project, Result, open_to_others

MODEL = """
    import zerrow

    @zerrow.model()
    def total(numbers=zerrow.Model("numbers")):
        return {"total": [sum(numbers["a"].to_pylist())]}
"""
TRUTH = [{"total": 499500}]


def filled(project: Project, cache: Path) -> Path:
    """Run once with a cache folder of the caller's own; the file of the one result."""
    project.write("models.py", MODEL)
    time.sleep(2.1)  # what was changed a moment ago is not kept
    cache.mkdir(mode=0o700)
    os.chown(cache, project.caller.uid, -1)
    assert project.run("--cache-dir", str(cache)).code == 0
    (file,) = cache.iterdir()
    return file


def answer(project: Project, tmp_path: Path, *options: str) -> tuple[Result, list[dict]]:
    """A run, and what its model gave."""
    out = tmp_path / "out"
    if not out.exists():
        out.mkdir()
        out.chmod(0o777)
    result = project.run(*options, "--format", "arrow", "--export", str(out), timeout=120)
    assert result.code == 0, result.err
    return result, pa.ipc.open_stream((out / "total.arrows").read_bytes()).read_all().to_pylist()


def planted(file: Path, number: int) -> None:
    """A standard Arrow file with an answer of somebody's own."""
    table = pa.table({"total": [number]})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def with_rows_beyond_measure(file: Path) -> None:
    seeds = Path(__file__).resolve().parents[2] / "fuzz" / "seeds" / "arrow-file"
    file.write_bytes((seeds / "rows-beyond-64-bits.arrow").read_bytes())


def as_a_socket(file: Path) -> None:
    place = socket.socket(socket.AF_UNIX)
    folder = os.open(file.parent, os.O_PATH)
    place.bind(f"/proc/self/fd/{folder}/{file.name}")
    os.close(folder)


def as_a_second_name(file: Path) -> None:
    (file.parent / "other").write_bytes(b"precious")
    os.link(file.parent / "other", file)


def with_a_hole(file: Path) -> None:
    file.touch()
    os.truncate(file, 1 << 40)


PLANTS = {
    "a FIFO": os.mkfifo,
    "a link to nowhere": lambda file: file.symlink_to("nowhere"),
    "a link to a file": lambda file: file.symlink_to("/etc/passwd"),
    "a socket": as_a_socket,
    "a second name": as_a_second_name,
    "a hole": with_a_hole,
    "nothing in it": lambda file: file.touch(),
    "garbage": lambda file: file.write_bytes(b"garbage" * 1000),
    "another answer": lambda file: planted(file, 31337),
    "rows beyond measure": with_rows_beyond_measure,
}


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_result_is_made_anew_and_said(any_project: Project, tmp_path: Path, kind: str):
    project, cache = any_project, tmp_path / "cache"
    file = filled(project, cache)
    file.unlink()
    PLANTS[kind](file)
    os.chown(file, project.caller.uid, -1, follow_symlinks=False)
    result, rows = answer(project, tmp_path, "--cache-dir", str(cache))
    assert rows == TRUTH
    assert result.model("total")["status"] == "success"
    assert "is made anew" in result.err and file.name in result.err, result.err
    assert file.lstat().st_nlink == 1 and stat.S_ISREG(file.lstat().st_mode)
    result, rows = answer(project, tmp_path, "--cache-dir", str(cache))
    assert rows == TRUTH and result.model("total")["status"] == "cached"
    assert not (cache / "other").exists() or (cache / "other").read_bytes() == b"precious"


def test_a_result_cut_anywhere_is_made_anew(project: Project, tmp_path: Path):
    file = filled(project, tmp_path / "cache")
    whole = file.read_bytes()
    for count in (1, 8, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:count])
        result, rows = answer(project, tmp_path, "--cache-dir", str(tmp_path / "cache"))
        assert rows == TRUTH and result.model("total")["status"] == "success", count


def test_a_result_under_another_ones_name_is_not_that_one(project: Project, tmp_path: Path):
    cache = tmp_path / "cache"
    first = filled(project, cache)
    old = first.read_bytes()
    project.write("models.py", MODEL.replace("sum(", "len("))
    time.sleep(2.1)
    assert project.run("--cache-dir", str(cache)).code == 0
    (second,) = set(cache.iterdir()) - {first}
    second.write_bytes(old)
    result, rows = answer(project, tmp_path, "--cache-dir", str(cache))
    assert rows == [{"total": 1000}] and result.model("total")["status"] == "success"


def test_a_folder_in_a_results_place_stays_and_is_said(project: Project, tmp_path: Path):
    file = filled(project, tmp_path / "cache")
    file.unlink()
    (file / "work").mkdir(parents=True)
    for _ in range(2):
        result, rows = answer(project, tmp_path, "--cache-dir", str(tmp_path / "cache"))
        assert rows == TRUTH and "it is a folder" in result.err
    assert (file / "work").is_dir()


@pytest.mark.skipif(not IS_ROOT, reason="only root makes files of others")
@pytest.mark.parametrize("change", ["owner", "mode"])
def test_a_result_that_others_can_change_is_made_anew(project: Project, tmp_path: Path, change: str):
    file = filled(project, tmp_path / "cache")
    if change == "owner":
        os.chown(file, NOBODY, NOBODY)
    else:
        file.chmod(0o666)
    result, rows = answer(project, tmp_path, "--cache-dir", str(tmp_path / "cache"))
    assert rows == TRUTH and result.model("total")["status"] == "success"
    assert file.stat().st_uid == os.geteuid() and stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o1777, 0o775, 0o707])
@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_cache_folder_that_others_can_write_to_is_refused_with_a_way_out(
    project: Project, tmp_path: Path, mode: int, command: str
):
    project.write("models.py", MODEL)
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    words = [*project.caller.words, command, "--cache-dir", str(cache)]
    words += ["-p", str(project.folder)] if command == "run" else ["--socket", str(tmp_path / "s")]
    done = subprocess.run(words, capture_output=True, text=True, env=project.environment(), timeout=60)
    assert done.returncode == 1
    for text in (f"error: --cache-dir {cache}: others may write to it", "chmod go-w", "name a folder of your own"):
        assert text in done.stderr, done.stderr
    assert not list(cache.iterdir())
    cache.chmod(0o755)
    assert project.run("--cache-dir", str(cache)).code == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root makes folders of others")
def test_a_cache_folder_of_another_user_is_refused(project: Project, tmp_path: Path):
    project.write("models.py", MODEL)
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    os.chown(cache, NOBODY, NOBODY)
    result = project.run("--cache-dir", str(cache))
    assert result.code == 1 and f"it belongs to user {NOBODY}" in result.err


def test_files_of_others_in_a_cache_folder_are_never_pruned(project: Project, tmp_path: Path):
    cache = tmp_path / "cache"
    filled(project, cache)
    planted(cache / "sales.arrow", 1)
    assert project.run("--cache-dir", str(cache)).code == 0
    assert (cache / "sales.arrow").exists()


# -- export


def test_an_export_replaces_what_has_its_name_and_follows_no_link(project: Project, tmp_path: Path):
    project.write("models.py", MODEL)
    out, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_text("precious")
    out.mkdir()
    out.chmod(0o777)
    for place in (lambda path: path.symlink_to(precious), os.mkfifo, lambda path: os.link(precious, path)):
        place(out / "total.arrows")
        _, rows = answer(project, tmp_path)
        assert rows == TRUTH and not (out / "total.arrows").is_symlink()
        assert precious.read_text() == "precious" and os.listdir(out) == ["total.arrows"]
        (out / "total.arrows").unlink()


def test_an_export_that_finds_a_folder_in_its_place_fails_and_names_it(project: Project, tmp_path: Path):
    project.write("models.py", MODEL)
    (tmp_path / "out" / "total.arrows").mkdir(parents=True)
    result = project.run("--format", "arrow", "--export", str(tmp_path / "out"))
    assert result.code == 1 and result.report["status"] == "failed"
    assert str(tmp_path / "out" / "total.arrows") in result.report["error"]["message"]
    assert "error: model 'total': its table could not be written to" in result.err, result.err
    assert os.listdir(tmp_path / "out") == ["total.arrows"]


@pytest.mark.skipif(not IS_ROOT, reason="a mount takes root")
@pytest.mark.parametrize("is_there", [False, True])
def test_an_export_to_a_full_disk_fails_names_the_file_and_leaves_no_half(
    project: Project, tmp_path: Path, is_there: bool
):
    project.write("models.py", MODEL.replace('[sum(numbers["a"].to_pylist())]', "list(range(100_000))"))
    out = tmp_path / "disk"
    out.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(out)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted: {done.stderr.strip()}")
    try:
        if is_there:
            (out / "total.arrows").write_text("the last one")
        result = project.run("--format", "arrow", "--export", str(out))
        assert result.code == 1 and result.report["status"] == "failed"
        message = result.report["error"]["message"]
        assert f"{out}/total.arrows" in message and "No space left" in message and "that disk" in message, message
        assert os.listdir(out) == (["total.arrows"] if is_there else [])
        if is_there:
            assert (out / "total.arrows").read_text() == "the last one"
    finally:
        subprocess.run(["umount", str(out)], check=True)


# -- history


def history_as_a_foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table customers (name)")


HISTORIES = {
    "a FIFO": os.mkfifo,
    "a FIFO beside it": lambda path: (sqlite3.connect(path).close(), path.touch(), os.mkfifo(f"{path}-journal")),
    "a link": lambda path: path.symlink_to("elsewhere.sqlite"),
    "a folder": lambda path: path.mkdir(),
    "garbage": lambda path: path.write_bytes(b"garbage" * 1000),
    "a hole": with_a_hole,
    "a foreign database": history_as_a_foreign_database,
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_a_history_that_is_none_neither_stops_nor_delays_a_run(project: Project, tmp_path: Path, kind: str):
    project.write("models.py", MODEL)
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    path = folder / "history.sqlite"
    HISTORIES[kind](path)
    env = {"ZERROW_HISTORY": str(path)}
    result = project.run(env=env, timeout=120)
    assert result.code == 0, result.err
    if kind == "a foreign database":
        assert "a database of something else" in result.err
        assert sqlite3.connect(path).execute("select name from sqlite_master").fetchall() == [("customers",)]
        return
    assert "remembered anew" in result.err, result.err
    assert not (folder / "elsewhere.sqlite").exists()
    rows = sqlite3.connect(path).execute("select count(*) from needs").fetchone()
    assert rows[0] >= 1
    assert "remember" not in project.run(env=env).err


def test_a_history_in_a_folder_of_everybodys_is_not_used_and_a_way_out_is_said(project: Project, tmp_path: Path):
    project.write("models.py", MODEL)
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o1777)
    result = project.run(env={"ZERROW_HISTORY": str(folder / "history.sqlite")})
    assert result.code == 0
    assert "others may write to it" in result.err and "ZERROW_HISTORY" in result.err
    assert not list(folder.iterdir())


# -- the socket of an engine that serves


@pytest.mark.parametrize("name", ["engine.sock.lock", "engine.sock"])
@pytest.mark.parametrize("kind", ["a FIFO", "a link to nowhere"])
def test_what_is_in_the_place_of_a_socket_or_its_lock_keeps_nobody_waiting(
    project: Project, tmp_path: Path, name: str, kind: str
):
    project.write("models.py", MODEL)
    folder = tmp_path / "serve"
    folder.mkdir(mode=0o700)
    PLANTS[kind](folder / name)
    env = {"ZERROW_SOCKET": str(folder / "engine.sock")}
    assert project.run(env=env, timeout=120).code == 0
    process = subprocess.Popen(
        [*project.caller.words, "serve"], stderr=subprocess.PIPE, text=True, env=project.environment(env)
    )
    try:
        said = process.stderr.readline()
        assert ("serving at" in said) == (name == "engine.sock"), said
        assert name in said, said
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert not (folder / "nowhere").exists()


def test_an_engine_that_is_stopped_keeps_no_new_client_waiting_to_connect(project: Project, tmp_path: Path):
    """As many wait for a socket as may: the next client does the work itself."""
    project.write("models.py", MODEL)
    folder = tmp_path / "serve"
    folder.mkdir(mode=0o700)
    path = folder / "engine.sock"
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    deaf.bind(str(path))
    deaf.listen(0)
    waiting = []
    try:
        while True:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.setblocking(False)
            waiting.append(client)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        assert project.run(env={"ZERROW_SOCKET": str(path)}, timeout=120).code == 0
    finally:
        for client in [*waiting, deaf]:
            client.close()


@pytest.mark.skipif(not IS_ROOT, reason="only root makes files of others")
def test_another_users_socket_is_not_asked(project: Project, ordinary, tmp_path: Path):
    """A socket that another user listens at, moved into a folder of one's own."""
    project.write("models.py", MODEL)
    open_to_others(tmp_path)
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    mine.mkdir(mode=0o700)
    text = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]);"
        "s.listen(1); print('listening', flush=True); time.sleep(600)"
    )
    words = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        shutil.which("python3") or "python3",
    ]
    if os.path.realpath(words[-1]).startswith("/root"):
        words[-1] = "/usr/bin/python3"
    other = subprocess.Popen([*words, "-c", text, str(theirs / "s")], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "listening\n"
        (theirs / "s").rename(mine / "engine.sock")
        assert project.run(env={"ZERROW_SOCKET": str(mine / "engine.sock")}, timeout=120).code == 0
    finally:
        other.kill()
        other.communicate()

"""Memory that is short: limits hold, models wait, tables give way, and no result is another one for it."""

import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pytest
from command import IS_ROOT, ZERROW, Project, Result

MIB = 1 << 20

# Four tables of 96 MiB that are all read at the end, and once before; each says in its rows what it must hold.
TABLES = 4
PRESSURE = """
    import numpy as np
    import pyarrow as pa
    import zerrow

    ROWS = 12 << 20

    def table(first):
        return pa.table({"n": np.arange(first, first + ROWS, dtype=np.int64)})

    def check(table, first):
        n = table["n"].to_numpy()
        assert len(n) == ROWS and n[0] == first and n[-1] == first + ROWS - 1 and (n[1:] > n[:-1]).all()
        return int(n.sum())
"""


def pressure(is_certain: bool = False) -> str:
    """Models make0…3, and sum0…3 that read one after the other by a chain, so that the tables wait long.

    Whether all are there at once depends on who is faster; if it is to be certain, no sum begins before all are made.
    """
    models = PRESSURE
    for number in range(TABLES):
        models += f"""
    @zerrow.model()
    def make{number}(numbers=zerrow.Model("numbers")):
        return table({number})
"""
        if is_certain:
            models += f"""
    @zerrow.model()
    def seen{number}(made=zerrow.Model("make{number}")):
        return {{"sum": [0]}}
"""
    if is_certain:
        seen = ", ".join(f'seen{number}=zerrow.Model("seen{number}")' for number in range(TABLES))
        models += f"""
    @zerrow.model()
    def all_seen({seen}):
        return {{"sum": [0]}}
"""
    for number in range(TABLES):
        before = f'before=zerrow.Model("sum{number - 1}"), ' if number else ""
        if is_certain and number == 0:
            before = 'before=zerrow.Model("all_seen"), '
        models += f"""
    @zerrow.model()
    def sum{number}({before}made=zerrow.Model("make{number}")):
        return {{"sum": [check(made, {number}){" + before['sum'][0].as_py()" if number else ""}]}}
"""
    return models


def exported(project: Project, folder: Path, name: str) -> pa.Table:
    """A final table that a run has written."""
    with pa.OSFile(str(folder / f"{name}.arrows")) as file:
        return pa.ipc.open_stream(file).read_all()


def executions(result: Result) -> dict[str, int]:
    """The models that were run more than once, or not at all."""
    return {model["name"]: model["executions"] for model in result.report["models"] if model["executions"] != 1}


@pytest.mark.parametrize(
    ("way", "figure"), [("drop", "dropped"), ("spill", "spilled"), ("adaptive", None), ("none", None)]
)
def test_a_run_with_little_memory_has_the_same_result(
    any_project: Project, tmp_path: Path, way: str, figure: str | None
):
    any_project.write("models.py", pressure(is_certain=figure is not None))
    folder = tmp_path / "out"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    memory = "400MiB" if way != "none" else "1GiB"
    result = any_project.run("--memory", memory, "--evict", way, "--format", "arrow", "--export", str(folder))
    assert result.code == 0, result.err
    rows = 12 << 20
    expected = sum(rows * number + rows * (rows - 1) // 2 for number in range(TABLES))
    assert exported(any_project, folder, f"sum{TABLES - 1}")["sum"].to_pylist() == [expected]
    evictions = result.report["memory"]["evictions"]
    if figure:
        assert evictions[figure]["tables"] > 0, evictions
        assert evictions[figure]["bytes"] > 90 * MIB, evictions
    else:
        assert way != "none" or not any(way["tables"] for way in evictions.values()), evictions
    if any_project.caller.uid == 0:
        assert 100 * MIB < result.report["memory"]["run_bytes_max"] <= result.report["memory"]["limit_bytes"]
    if way == "drop":
        assert sum(executions(result).values()) >= 2
    assert result.report["memory"]["segments_bytes_end"] == 0


@pytest.fixture
def swap(tmp_path: Path):
    """A gigabyte of swap on the disk, gone after the test."""
    file = tmp_path / "swap"
    with file.open("wb") as content:
        os.posix_fallocate(content.fileno(), 0, 1 << 30)
    file.chmod(0o600)
    subprocess.run(["mkswap", "-q", str(file)], check=True, capture_output=True)
    done = subprocess.run(["swapon", str(file)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no swap can be made here: {done.stderr.strip()}")
    yield file
    subprocess.run(["swapoff", str(file)], check=True)


@pytest.mark.skipif(not IS_ROOT or not shutil.which("mkswap"), reason="swap takes root and mkswap")
@pytest.mark.parametrize(("way", "figure"), [("swap", "swapped"), ("limit", "limited")])
def test_tables_are_pushed_out_to_swap_where_there_is_one(project: Project, swap: Path, way: str, figure: str):
    project.write("models.py", pressure(is_certain=True))
    result = project.run("--memory", "400MiB", "--evict", way)
    assert result.code == 0, result.err
    evictions = result.report["memory"]["evictions"]
    assert evictions[figure]["tables"] > 0, evictions
    assert evictions[figure]["bytes"] > 30 * MIB, evictions
    assert evictions["spilled"]["tables"] == evictions["dropped"]["tables"] == 0


def test_a_dropped_table_is_made_again_with_all_it_needs(any_project: Project):
    """The middle of a chain is dropped when what it was made of is gone already: both are made again."""
    any_project.write(
        "models.py",
        PRESSURE
        + """
    @zerrow.model()
    def first(numbers=zerrow.Model("numbers")):
        return table(5)

    @zerrow.model()
    def middle(first=zerrow.Model("first")):
        return pa.table({"n": first["n"].to_numpy() + 1})

    @zerrow.model()
    def large(numbers=zerrow.Model("numbers"), middle=zerrow.Model("middle", columns=["n"], filter="n < 0")):
        kept = np.ones(25 << 20)
        return {"sum": [float(kept.sum())]}

    @zerrow.model()
    def last(large=zerrow.Model("large"), middle=zerrow.Model("middle")):
        return {"sum": [check(middle, 6)], "large": large["sum"].to_pylist()}
    """,
    )
    result = any_project.run("--jobs", "1", "--memory", "450MiB", "--evict", "drop")
    assert result.code == 0, result.err


def test_what_a_model_needed_is_known_the_next_time(project: Project, tmp_path: Path):
    """Two models that don't fit together meet in the first run, and wait for each other in the second."""
    project.write(
        "models.py",
        """
    import time
    import numpy as np
    import zerrow

    def use():
        kept = [np.ones(1 << 20) for _ in range(25)]
        time.sleep(1)
        kept += [np.ones(1 << 20) for _ in range(15)]
        return {"n": [float(sum(part[0] for part in kept))]}

    @zerrow.model()
    def one(numbers=zerrow.Model("numbers", columns=["a"])):
        return use()

    @zerrow.model()
    def two(numbers=zerrow.Model("numbers", columns=["b"])):
        return use()
    """,
    )
    history = {"ZERROW_HISTORY": str(tmp_path / "history" / "needs.sqlite")}
    options = ("--jobs", "2", "--memory", "512MiB")
    first = project.run(*options, env=history)
    assert first.code == 0, first.err
    second = project.run(*options, env=history)
    assert second.code == 0, second.err
    assert executions(second) == {}
    times = {}
    for name in ("one", "two"):
        timing = second.model(name)["timing"]
        times[name] = (timing["send_at_ms"], timing["exited_at_ms"])
    assert times["one"][1] <= times["two"][0] or times["two"][1] <= times["one"][0], times


@pytest.mark.skipif(not IS_ROOT, reason="control groups are made by root")
def test_a_model_that_is_killed_for_memory_is_run_once_more_and_then_fails(project: Project):
    project.write(
        "models.py",
        """
    import zerrow

    @zerrow.model()
    def greedy(numbers=zerrow.Model("numbers")):
        kept = [bytearray(b"x" * (1 << 20)) for _ in range(2000)]
        return {"n": [len(kept)]}
    """,
    )
    result = project.run("--memory", "512MiB")
    assert result.code == 1
    assert executions(result) == {"greedy": 2}
    message = result.report["error"]["message"]
    assert "512 MiB" in message and "memory" in message, message
    peak = result.model("greedy")["memory_bytes_max"]
    assert 400 * MIB < peak <= 513 * MIB, peak
    assert f"{peak // MIB} MiB" in message, message


@pytest.mark.skipif(not IS_ROOT, reason="control groups are made by root")
def test_a_models_own_limit_holds(project: Project):
    project.write(
        "models.py",
        """
    import zerrow

    @zerrow.model(memory="256M")
    def greedy(numbers=zerrow.Model("numbers")):
        kept = [bytearray(b"x" * (1 << 20)) for _ in range(2000)]
        return {"n": [len(kept)]}

    @zerrow.model()
    def modest(numbers=zerrow.Model("numbers")):
        return {"n": [1]}
    """,
    )
    result = project.run("--keep-going")
    assert result.code == 1
    assert result.model("modest")["status"] == "success"
    assert result.model("greedy")["memory_bytes_max"] <= 257 * MIB
    assert "its own limit is 256 MiB" in result.report["error"]["message"]


def test_a_table_that_is_larger_than_the_limit_is_refused_with_its_size(any_project: Project):
    any_project.write(
        "models.py",
        PRESSURE
        + """
    @zerrow.model()
    def large(numbers=zerrow.Model("numbers")):
        return table(0)

    @zerrow.model()
    def reader(large=zerrow.Model("large")):
        return {"n": [check(large, 0)]}
    """,
    )
    # It has 96 MiB. Root's workers read a spilled table from the disk: only one that can't be made is too large;
    # others must have it in memory.
    is_root = any_project.caller.uid == 0
    result = any_project.run("--memory", "80MiB" if is_root else "100MiB")
    assert result.code == 1
    message = result.report["error"]["message"]
    assert "--memory" in message and ("80 MiB" if is_root else "96 MiB") in message, message
    assert result.report["memory"]["segments_bytes_end"] == 0


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 64 MiB, gone after the test."""
    if not IS_ROOT or not shutil.which("mkfs.ext4"):
        pytest.skip("a small disk takes root and mkfs.ext4")
    image = tmp_path / "disk.img"
    folder = tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing(project: Project, small_disk: Path):
    """What can't be spilled is dropped, and made again."""
    project.write("models.py", pressure(is_certain=True))
    result = project.run("--memory", "400MiB", "--spill-dir", str(small_disk))
    assert result.code == 0, result.err
    assert result.report["memory"]["evictions"]["spilled"]["tables"] == 0
    assert result.report["memory"]["evictions"]["dropped"]["tables"] > 0
    assert os.listdir(small_disk) == ["lost+found"]


def test_a_result_that_finds_no_room_to_be_saved_is_told_also_after_the_run(project: Project, small_disk: Path):
    project.write(
        "models.py",
        PRESSURE
        + """
    @zerrow.model()
    def large(numbers=zerrow.Model("numbers")):
        return table(0)
    """,
    )
    time.sleep(2.1)  # what was changed a moment ago is not saved
    result = project.run("--cache-dir", str(small_disk / "results"))
    assert result.code == 0, result.err
    assert "results are not saved" in result.err and str(small_disk) in result.err, result.err
    assert os.listdir(small_disk / "results") == []


def test_a_folder_that_is_no_disk_is_refused_by_name(project: Project):
    project.write("models.py", pressure())
    result = project.run("--spill-dir", "/dev/shm")
    assert result.code == 1
    assert "/dev/shm is in memory" in result.err
    result = project.run("--spill-dir", "/nonexistent/folder")
    assert result.code == 1
    assert "/nonexistent/folder" in result.err


def test_nothing_is_left_in_the_spill_folder_when_the_engine_is_killed(project: Project, tmp_path: Path):
    project.write("models.py", pressure())
    folder = tmp_path / "spill"
    folder.mkdir()
    run = project.start("--memory", "400MiB", "--evict", "spill", "--spill-dir", str(folder))
    for line in run.stderr:
        if "sum0" in line or "sum1" in line:
            break
    run.kill()
    run.wait()
    run.stderr.close()
    run.stdout.close()
    assert os.listdir(folder) == []


def test_a_history_that_another_process_has_locked_holds_up_no_run(project: Project, tmp_path: Path):
    project.write("models.py", "import zerrow\n\n@zerrow.model()\ndef m(n=zerrow.Model('numbers')):\n    return n\n")
    path = tmp_path / "history" / "needs.sqlite"
    history = {"ZERROW_HISTORY": str(path)}
    assert project.run(env=history).code == 0
    other = sqlite3.connect(path, isolation_level=None)
    before = other.execute("select count(*) from needs").fetchone()[0]
    assert before > 0
    other.execute("delete from needs")
    other.execute("begin exclusive")
    result = project.run(env=history)
    assert result.code == 0, result.err
    assert "is not remembered: another process has the history locked" in result.err
    other.execute("commit")
    assert other.execute("select count(*) from needs").fetchone()[0] == 0
    again = project.run(env=history)
    assert again.code == 0 and "not remembered" not in again.err
    assert other.execute("select count(*) from needs").fetchone()[0] == before
    other.close()


def test_the_doctor_changes_nothing(tmp_path: Path):
    home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run([ZERROW, "doctor"], capture_output=True, text=True, env={**os.environ, **home})
    assert "is remembered in" in done.stdout + done.stderr
    assert list(tmp_path.rglob("*")) == []

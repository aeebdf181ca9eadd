"""What was made once is not made again: results under `serve` and in a folder, scans by column and row group."""

import json
import os
import py_compile
import random
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import HOME, Project, Result, open_to_others, wait_for_line

CHAIN = """
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"]), factor=2):
        return numbers

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return {"rows": [len(first)], "last": [first["a"][len(first) - 1].as_py()]}
"""


def statuses(result: Result) -> dict[str, str]:
    """Each model's status."""
    return {model["name"]: model["status"] for model in result.report["models"]}


def age(folder: Path) -> None:
    """Make a project's files old: what was changed a moment ago is never kept."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (time.time() - 100, time.time() - 100))
    grow_old()


def grow_old() -> None:
    """Let what was changed a moment ago become old enough to be kept; the time of a status change can't be set."""
    time.sleep(0.1)


@pytest.fixture
def chain(any_project: Project) -> Project:
    """A project of a scan and two models, settled long ago."""
    any_project.write("models.py", CHAIN)
    age(any_project.folder)
    return any_project


def test_an_unchanged_model_is_not_run_again(chain: Project, serve):
    server = serve(chain.caller)
    first = chain.run(env=server.environment)
    assert first.code == 0, first.err
    assert statuses(first) == {"numbers": "success", "first": "success", "second": "success"}
    again = chain.run(env=server.environment)
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "unneeded", "first": "cached", "second": "cached"}
    assert again.model("second")["output"]["rows"] == 1
    assert again.model("second")["executions"] == 0


def test_no_cache_runs_everything(chain: Project, serve):
    server = serve(chain.caller)
    chain.run(env=server.environment)
    again = chain.run("--no-cache", env=server.environment)
    assert set(statuses(again).values()) == {"success"}


def test_an_engine_of_ones_own_keeps_nothing(chain: Project):
    assert chain.run().code == 0
    assert set(statuses(chain.run()).values()) == {"success"}


def test_a_changed_model_and_what_reads_it_is_run_again(chain: Project, serve):
    server = serve(chain.caller)
    chain.run(env=server.environment)
    chain.write("models.py", CHAIN.replace("return numbers", "return numbers.slice(1)"))
    grow_old()
    again = chain.run(env=server.environment)
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "success", "first": "success", "second": "success"}
    chain.write(
        "models.py", CHAIN.replace("return {", "return {'more': [1], ").replace("numbers\n", "numbers.slice(1)\n")
    )
    grow_old()
    third = chain.run(env=server.environment)
    assert third.code == 0, third.err
    assert statuses(third)["second"] == "success"


def test_a_changed_source_is_never_served_stale(chain: Project, serve):
    path = chain.folder / "data" / "numbers.parquet"
    table = pq.read_table(path)
    plain = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, path, **plain)
    age(chain.folder)
    server = serve(chain.caller)
    chain.run(env=server.environment)
    before = path.stat()
    rows = len(table)
    changed = table.set_column(0, "a", pa.array([value + 1 for value in table["a"].to_pylist()], pa.int64()))
    pq.write_table(changed, path, **plain)
    # As sly as it gets: the same size and the same times.
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    folder = chain.folder / "out"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    again = chain.run("--export", str(folder), env=server.environment)
    assert again.code == 0, again.err
    with pa.OSFile(str(folder / "second.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all().to_pylist() == [{"rows": rows, "last": rows}]


def test_a_model_that_says_none_is_always_run(any_project: Project, serve):
    any_project.write(
        "models.py",
        CHAIN.replace("@zerrow.model()\n    def second", '@zerrow.model(cache_strategy="NONE")\n    def second'),
    )
    age(any_project.folder)
    server = serve(any_project.caller)
    any_project.run(env=server.environment)
    again = any_project.run(env=server.environment)
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "unneeded", "first": "cached", "second": "success"}


def test_a_parameter_is_part_of_a_result(any_project: Project, serve):
    any_project.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        parameters:
          shift: {type: int, default: 1}
        sources:
          numbers: data/numbers.parquet
        """,
    )
    any_project.write("models.py", CHAIN.replace("factor=2", 'factor=zerrow.Parameter("shift")'))
    age(any_project.folder)
    server = serve(any_project.caller)
    first = any_project.run(env=server.environment)
    assert first.code == 0, first.err
    other = any_project.run("--param", "shift=5", env=server.environment)
    assert statuses(other)["first"] == "success"
    again = any_project.run("--param", "shift=5", env=server.environment)
    assert statuses(again)["first"] == "cached"


def test_results_give_way_when_memory_is_short(any_project: Project, serve):
    any_project.write(
        "models.py",
        """
    import numpy as np
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def wide(numbers=zerrow.Model("numbers"), first=zerrow.Parameter("first")):
        return pa.table({"n": np.arange(first, first + (16 << 20))})
    """,
    )
    any_project.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        parameters:
          first: {type: int, default: 0}
        sources:
          numbers: data/numbers.parquet
        """,
    )
    age(any_project.folder)
    server = serve(any_project.caller, "--memory", "512MiB", "--evict", "drop")
    for number in range(6):
        result = any_project.run("--param", f"first={number}", env=server.environment)
        assert result.code == 0, result.err
        assert statuses(result)["wide"] == "success"
    # The last one is still there, the first one is not.
    assert statuses(any_project.run("--param", "first=5", env=server.environment))["wide"] == "cached"
    assert statuses(any_project.run("--param", "first=0", env=server.environment))["wide"] == "success"


def test_a_folder_keeps_results_from_engine_to_engine(chain: Project, tmp_path: Path):
    folder = own_folder(chain, tmp_path / "cache")
    first = chain.run("--cache-dir", str(folder))
    assert first.code == 0, first.err
    assert statuses(first) == {"numbers": "success", "first": "success", "second": "success"}
    kept = sorted(folder.iterdir())
    assert len(kept) == 2
    # They are standard Arrow files.
    rows = []
    for path in kept:
        with pa.OSFile(str(path)) as file:
            reader = pa.ipc.open_file(file)
            assert list(reader.metadata) == [b"zerrow:checksum"]
            rows.append(reader.read_all().num_rows)
    assert sorted(rows) == [1, 1000]
    out = tmp_path / "out"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    again = chain.run("--cache-dir", str(folder), "--export", str(out))
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "unneeded", "first": "cached", "second": "cached"}
    with pa.OSFile(str(out / "second.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all().to_pylist() == [{"rows": 1000, "last": 999}]


def test_another_build_of_the_engine_does_not_use_kept_results(chain: Project, tmp_path: Path):
    folder = own_folder(chain, tmp_path / "cache")
    assert chain.run("--cache-dir", str(folder)).code == 0
    assert statuses(chain.run("--cache-dir", str(folder)))["second"] == "cached"
    # The same programs, but for one digit of what the linker calls a library's build.
    other = tmp_path / "other"
    other.mkdir()
    for name in ("zerrow", "libzerrow_worker.so", "libzerrow_arena.so"):
        shutil.copy(HOME / ".build" / "release" / name, other)
    open_to_others(other)
    library = other / "libzerrow_worker.so"
    content = bytearray(library.read_bytes())
    content[content.index(b"\x03\0\0\0GNU\0") + 8] ^= 1
    library.write_bytes(content)
    home = {"ZERROW_HOME": str(HOME), "ZERROW_PYTHON": str(HOME / ".zerrow/env/bin/python"), **chain.caller.environment}
    chain = replace(chain, caller=replace(chain.caller, words=[*chain.caller.words[:-1], str(other / "zerrow")]))
    again = chain.run("--cache-dir", str(folder), env=home)
    assert again.code == 0, again.err
    assert set(statuses(again).values()) == {"success"}
    assert statuses(chain.run("--cache-dir", str(folder), env=home))["second"] == "cached"


def test_a_damaged_kept_result_is_made_again(chain: Project, tmp_path: Path):
    folder = own_folder(chain, tmp_path / "cache")
    chain.run("--cache-dir", str(folder))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    again = chain.run("--cache-dir", str(folder))
    assert again.code == 0, again.err
    assert set(statuses(again).values()) == {"success"}
    assert set(statuses(chain.run("--cache-dir", str(folder))).values()) == {"cached", "unneeded"}


def test_a_flipped_bit_of_a_kept_result_is_found_wherever_it_is(project: Project, tmp_path: Path):
    # Texts, nulls and a dictionary: buffers of all sizes, with padding between them; and one that is read in pieces.
    project.write(
        "models.py",
        """
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def small(numbers=zerrow.Model("numbers")):
        texts = [None if row % 7 == 0 else f"row {row}" for row in range(len(numbers))]
        table = numbers.append_column("text", pa.array(texts))
        return table.append_column("kind", table["text"].dictionary_encode())

    @zerrow.model()
    def large(numbers=zerrow.Model("numbers")):
        return pa.table({"x": pa.array(range(300_000), pa.int64())})
    """,
    )
    project.table("numbers", pa.table({"a": list(range(333))}))
    open_to_others(project.folder)
    grow_old()
    cache, out = own_folder(project, tmp_path / "cache"), open_folder(tmp_path / "out")
    options = ("--cache-dir", str(cache), "--export", str(out), "--rows", "0")

    def exported() -> dict[str, pa.Table]:
        return {path.stem: pa.ipc.open_stream(path.read_bytes()).read_all() for path in out.glob("*.arrows")}

    assert project.run(*options).code == 0
    expected = exported()
    assert sorted(expected) == ["large", "small"]
    assert set(statuses(project.run(*options)).values()) == {"cached", "unneeded"}
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for number in range(8):
        files = {path: path.read_bytes() for path in cache.iterdir()}
        assert len(files) == 2
        harmed = sorted(files)[number % 2]
        content = bytearray(files[harmed])
        # Any place; then the file's first bytes, its footer, the checksum, and what ends the file.
        size = len(content)
        first, last = [(0, size), (0, size), (0, 600), (size - 400, size), (size - 50, size - 10), (size - 10, size)][
            number % 6
        ]
        content[chance.randrange(first, last)] ^= 1 << chance.randrange(8)
        harmed.write_bytes(content)
        again = project.run(*options)
        assert again.code == 0, again.err
        assert exported() == expected
        found = statuses(again)
        assert sorted([found["small"], found["large"]]) == ["cached", "success"], (number, found)
        # What was made again is right, and as it was.
        assert {path: path.read_bytes() for path in cache.iterdir()} == files
        assert set(statuses(project.run(*options)).values()) == {"cached", "unneeded"}


def test_a_server_makes_a_damaged_kept_result_again(chain: Project, serve, tmp_path: Path):
    folder = own_folder(chain, tmp_path / "cache")
    assert chain.run("--cache-dir", str(folder)).code == 0
    # The last result is the smaller one; what it is made of is kept, and whole.
    harmed = min(folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(harmed.read_bytes())
    content[len(content) // 2] ^= 4
    harmed.write_bytes(content)
    server = serve(chain.caller, "--cache-dir", str(folder))
    for expected in ("success", "cached"):
        assert statuses(chain.run(env=server.environment)) == {
            "numbers": "unneeded",
            "first": "cached",
            "second": expected,
        }


def test_a_model_reads_a_kept_result(chain: Project, tmp_path: Path):
    """Also where the file has to be read into memory first, as workers could write to it."""
    folder = own_folder(chain, tmp_path / "cache")
    chain.run("--cache-dir", str(folder))
    chain.write("models.py", CHAIN.replace("return {", "return {'sum': [sum(first['a'].to_pylist())], "))
    grow_old()
    again = chain.run("--cache-dir", str(folder))
    assert again.code == 0, again.err
    assert statuses(again)["second"] == "success"


SCANS = """
    import zerrow

    @zerrow.model()
    def one(wide=zerrow.Model("wide", columns=["a", "b"])):
        assert wide["a"][7].as_py() == 7 and len(wide) == 30000, wide
        return {"sum": [sum(wide["b"].to_pylist())]}

    @zerrow.model()
    def two(wide=zerrow.Model("wide", columns=["b", "c"], filter="b >= 100")):
        assert wide["b"][0].as_py() == 100
        return {"sum": [sum(wide["c"].to_pylist())]}
"""


@pytest.fixture
def scans(any_project: Project) -> Project:
    """A project whose models read overlapping columns of one source of ten row groups."""
    values = pa.array(range(30000), pa.int64())
    any_project.table("wide", pa.table({"a": values, "b": values, "c": values, "d": values}), row_group_size=3000)
    any_project.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        sources:
          wide: data/wide.parquet
        """,
    )
    any_project.write("models.py", SCANS)
    age(any_project.folder)
    return any_project


def units(result: Result, kind: str) -> int:
    """Columns of row groups, over all scans."""
    return sum(model["decache"][f"{kind}_units"] for model in result.report["models"] if model["decache"])


def test_overlapping_scans_of_one_run_decode_each_column_once(scans: Project):
    result = scans.run()
    assert result.code == 0, result.err
    assert units(result, "wanted") == 40
    assert units(result, "decoded") == 30
    assert units(result, "reused") == 10
    assert result.report["memory"]["segments_bytes_end"] == 0
    alone = scans.run("--no-decache")
    assert alone.code == 0, alone.err
    assert all(model["decache"] is None for model in alone.report["models"])


def test_runs_of_one_server_decode_what_is_missing(scans: Project, serve):
    server = serve(scans.caller)
    first = scans.run("--no-cache", env=server.environment)
    assert first.code == 0, first.err
    again = scans.run("--no-cache", env=server.environment)
    assert again.code == 0, again.err
    assert units(again, "decoded") == 0
    assert units(again, "reused") == 40
    scans.write("models.py", SCANS.replace('["a", "b"]', '["a", "b", "d"]'))
    more = scans.run("--no-cache", env=server.environment)
    assert more.code == 0, more.err
    assert units(more, "decoded") == 10


def test_runs_at_the_same_time_decode_each_column_once(scans: Project, serve):
    server = serve(scans.caller, "--jobs", "2")
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda: results.append(scans.run("--no-cache", env=server.environment)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.code for result in results] == [0] * 4, [result.err for result in results]
    assert sum(units(result, "decoded") for result in results) == 30
    assert sum(units(result, "wanted") for result in results) == 160


PAUSED = """
    import time
    import zerrow

    @zerrow.model()
    def paused(wide=zerrow.Model("wide", columns=["a", "b"]), seconds=zerrow.Parameter("seconds")):
        print("paused is running", flush=True)
        time.sleep(seconds)
        return {"rows": [len(wide)]}
"""


@pytest.fixture
def paused(scans: Project) -> Project:
    """A project whose model keeps what it reads for as long as it is told."""
    scans.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        parameters:
          seconds: {type: int, default: 0}
        sources:
          wide: data/wide.parquet
        """,
    )
    scans.write("models.py", PAUSED)
    age(scans.folder)
    return scans


def test_a_whole_scan_that_another_run_holds_needs_no_process(paused: Project, serve):
    server = serve(paused.caller)
    holder = paused.start("--param", "seconds=300", "--no-cache", env=server.environment)
    wait_for_line(holder, "paused is running")
    result = paused.run("--no-cache", env=server.environment)
    assert result.code == 0, result.err
    assert statuses(result) == {"wide": "cached", "paused": "success"}
    assert result.model("wide")["executions"] == 0
    assert units(result, "reused") == units(result, "wanted") == 20
    assert result.model("wide")["output"]["rows"] == 30000
    # Whoever made it may go.
    holder.send_signal(signal.SIGINT)
    holder.communicate()
    alone = paused.run("--no-cache", env=server.environment)
    assert statuses(alone) == {"wide": "success", "paused": "success"}
    assert units(alone, "reused") == 20
    assert set(statuses(paused.run("--no-cache", "--no-decache", env=server.environment)).values()) == {"success"}


def test_a_source_that_is_broken_fails_each_run_that_waits_for_it(paused: Project, serve):
    path = paused.folder / "data" / "wide.parquet"
    content = bytearray(path.read_bytes())
    # The footer stays: the plan is made, and what the scan reads is rubbish.
    content[4 : len(content) // 2] = b"?" * (len(content) // 2 - 4)
    path.write_bytes(content)
    age(paused.folder)
    server = serve(paused.caller, "--jobs", "2")
    runs = [paused.start("--no-cache", env=server.environment) for _ in range(4)]
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [1] * 4, said
    assert all("wide.parquet" in words for words in said), said


def test_a_changed_source_is_decoded_anew(scans: Project, serve):
    server = serve(scans.caller)
    scans.run("--no-cache", env=server.environment)
    values = pa.array(range(30000), pa.int64())
    scans.table(
        "wide", pa.table({"a": values, "b": values, "c": pa.array([1] * 30000), "d": values}), row_group_size=3000
    )
    out = scans.folder / "out"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    result = scans.run("--no-cache", "--export", str(out), env=server.environment)
    assert result.code == 0, result.err
    assert units(result, "reused") == 0 or units(result, "decoded") == 30
    with pa.OSFile(str(out / "two.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all().to_pylist() == [{"sum": 29900}]


def test_what_was_decoded_gives_way_when_memory_is_short(scans: Project, serve):
    rows = 8 << 20
    values = pa.array(range(rows), pa.int64())
    scans.table("wide", pa.table({name: values for name in "abcd"}), row_group_size=1 << 20)
    scans.write(
        "models.py",
        """
    import zerrow

    @zerrow.model()
    def sum_of(wide=zerrow.Model("wide", columns=["a", "b"])):
        return {"rows": [len(wide)]}

    @zerrow.model()
    def other(wide=zerrow.Model("wide", columns=["c", "d"]), sum_of=zerrow.Model("sum_of")):
        return {"rows": [len(wide)]}
    """,
    )
    age(scans.folder)
    server = serve(scans.caller, "--memory", "600MiB")
    for _ in range(3):
        result = scans.run("--no-cache", env=server.environment)
        assert result.code == 0, result.err


def test_what_a_run_writes_into_the_project_changes_no_key(chain: Project, tmp_path: Path):
    open_folder(chain.folder / "out")
    own_folder(chain, chain.folder / "cache")
    options = ("--export", str(chain.folder / "out"), "--cache-dir", str(chain.folder / "cache"))
    assert chain.run(*options).code == 0
    assert statuses(chain.run(*options))["second"] == "cached"


def test_several_models_read_one_kept_result_at_the_same_time(chain: Project, tmp_path: Path):
    folder = own_folder(chain, tmp_path / "cache")
    chain.run("--cache-dir", str(folder))
    readers = "".join(
        f"""
    @zerrow.model()
    def reader{number}(first=zerrow.Model("first")):
        return {{"sum": [sum(first["a"].to_pylist()) + {number}]}}
"""
        for number in range(4)
    )
    chain.write("models.py", CHAIN + readers)
    grow_old()
    again = chain.run("--cache-dir", str(folder), "--jobs", "4")
    assert again.code == 0, again.err
    assert statuses(again)["first"] == "cached"


WORLD = {
    "clock": "time.time_ns()",
    "clock_by_another_name": "tick()",
    "clock_of_a_helper": "stamp()",
    "day": "datetime.now().isoformat()",
    "numpy_now": "str(np.datetime64('now', 'us')) + str(pd.Timestamp('now'))",
    "looked_up": "getattr(importlib.import_module('ti' + 'me'), 'time_ns')()",
    "identifier": "uuid.uuid4().hex",
    "chance": "random.random()",
    "chance_looked_up": "getattr(random, 'rand' + 'om')()",
    "numpy_chance": "np.random.default_rng().random()",
    "sample": "pd.Series(range(10**6)).sample(1).item()",
    "entropy": "secrets.token_hex()",
    "query": "duckdb.sql('select random() as x').fetchall()[0][0]",
}
SAME = {
    "seeded": "np.random.default_rng(7).random()",
    "constant": "'now' + ' datetime.now()'",
    "data": "open('rates.csv').read()",
}


def values(folder: Path) -> dict[str, str]:
    """What the models exported, each in its one row."""
    found = {}
    for path in folder.glob("*.arrows"):
        with pa.OSFile(str(path)) as file:
            found[path.stem] = str(pa.ipc.open_stream(file).read_all()["x"][0].as_py())
    return found


def own_folder(project: Project, folder: Path) -> Path:
    """Make a folder that only the user who runs a project may write to."""
    folder.mkdir(mode=0o755)
    os.chown(folder, project.caller.uid, -1)
    return folder


def open_folder(folder: Path) -> Path:
    """Make a folder that every user may write to."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    return folder


def test_what_asks_the_world_is_made_anew_and_the_rest_is_kept(project: Project, tmp_path: Path):
    head = """
    import datetime as dt, importlib, random, secrets, time, uuid
    from datetime import datetime
    from time import time_ns as tick
    import duckdb, numpy as np, pandas as pd
    import zerrow
    from helping import stamp
"""
    models = "".join(
        f"""
    @zerrow.model()
    def {name}(numbers=zerrow.Model("numbers", columns=["a"])):
        return {{"x": [{code}]}}
"""
        for name, code in {**WORLD, **SAME}.items()
    )
    project.write("models.py", head + models)
    project.write("helping.py", "import time\ndef stamp():\n    return time.time_ns()\n")
    project.write("rates.csv", "1\n")
    project.write("queried.sql", "select uuid() as x from numbers limit 1")
    open_to_others(project.folder)
    options = ("--cache-dir", str(own_folder(project, tmp_path / "cache")), "--export")
    runs = [project.run(*options, str(open_folder(tmp_path / f"out{number}"))) for number in (1, 2)]
    assert [run.code for run in runs] == [0, 0], runs[0].err
    first, second = values(tmp_path / "out1"), values(tmp_path / "out2")
    asking = {*WORLD, "queried"}
    assert {name for name in first if first[name] == second[name]} == set(SAME)
    for number, run in enumerate(runs):
        reports = {model["name"]: model for model in run.report["models"]}
        assert {name: model["because"] for name, model in reports.items() if not model["cached"]}.keys() == asking
        assert {name for name in SAME if reports[name]["status"] != ("success", "cached")[number]} == set()
        assert all((model["because"] is None) == model["cached"] for model in reports.values())
        assert reports["clock"]["because"].startswith("time.time_ns at models.py:")
        assert reports["looked_up"]["because"].startswith("time.time_ns at models.py:")
        assert reports["queried"]["because"] == "uuid() at queried.sql:1"


def test_what_is_made_of_what_asks_the_world_is_made_anew_too(project: Project, tmp_path: Path):
    project.write(
        "models.py",
        """
    import importlib
    import time
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"])):
        return {"x": [getattr(importlib.import_module("ti" + "me"), "time_ns")()]}

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return first

    @zerrow.model(cache_strategy="DEFAULT")
    def kept(numbers=zerrow.Model("numbers", columns=["a"])):
        return {"x": [time.time_ns()]}
    """,
    )
    options = ("--cache-dir", str(own_folder(project, tmp_path / "cache")), "--export")
    runs = [project.run(*options, str(open_folder(tmp_path / f"out{number}"))) for number in (1, 2)]
    first, second = values(tmp_path / "out1"), values(tmp_path / "out2")
    assert first["second"] != second["second"] and first["kept"] == second["kept"]
    for run in runs:
        assert run.model("second")["because"] == "its input first isn't kept"
        assert run.model("kept")["cached"] is True


def test_a_run_says_what_it_does_not_keep_and_why(chain: Project):
    report = chain.run()
    assert all(model["cached"] and model["because"] is None for model in report.report["models"])
    report = chain.run("--no-cache")
    assert {model["because"] for model in report.report["models"]} == {"the run says --no-cache"}
    chain.write("models.py", CHAIN.replace("return {", "1 / 0; return {"))
    report = chain.run()
    assert report.code == 1
    assert report.model("second")["cached"] is False and report.model("second")["because"] is None


def test_a_compiled_file_of_another_text_is_neither_run_nor_kept(chain: Project, tmp_path: Path):
    path = chain.folder / "models.py"
    text = path.read_text()
    chain.write("models.py", CHAIN.replace("[len(first)]", "[-666]"))
    py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    path.write_text(text)
    open_to_others(chain.folder / "__pycache__")
    out = open_folder(tmp_path / "out")
    assert chain.run("--cache-dir", str(own_folder(chain, tmp_path / "cache")), "--export", str(out)).code == 0
    with pa.OSFile(str(out / "second.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all()["rows"].to_pylist() == [1000]


def test_a_file_saved_during_a_run_is_of_the_next_run(project: Project, tmp_path: Path):
    text = """
    import time
    import zerrow
    import rate

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"])):
        print("first is running", flush=True)
        time.sleep(2)
        return {"x": [rate.RATE]}

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        from rate import RATE
        return {"x": [f"{first['x'][0]} {RATE} {'text 1'}"]}
    """
    project.write("models.py", text)
    rate = project.write("rate.py", "RATE = 1\n")
    cache, out = own_folder(project, tmp_path / "cache"), open_folder(tmp_path / "out")
    run = project.start("--cache-dir", str(cache), "--export", str(out), "--rows", "0")
    wait_for_line(run, "first is running")
    project.write("models.py", text.replace("text 1", "text 2"))
    rate.unlink()
    project.write("rate.py", "RATE = 2\n")
    assert run.wait(60) == 0, run.stderr.read()
    assert values(out) == {"second": "1 1 text 1"}
    # And it is kept for when that text comes back.
    assert project.run("--cache-dir", str(cache), "--export", str(out)).model("second")["status"] == "success"
    assert values(out) == {"second": "2 2 text 2"}


def test_what_was_written_a_moment_ago_is_kept(project: Project, tmp_path: Path):
    project.write("models.py", CHAIN)
    folder = own_folder(project, tmp_path / "cache")
    project.table("numbers", pa.table({"a": [1, 2]}))
    assert project.run("--cache-dir", str(folder)).code == 0
    assert statuses(project.run("--cache-dir", str(folder))) == {
        "numbers": "unneeded",
        "first": "cached",
        "second": "cached",
    }


def test_a_data_file_changed_during_a_run_keeps_nothing_of_it(project: Project, tmp_path: Path):
    project.write(
        "models.py",
        """
    import time
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"])):
        print("first is running", flush=True)
        time.sleep(1)
        return {"x": [open("rates.csv").read()]}
    """,
    )
    project.write("rates.csv", "1\n")
    options = ("--cache-dir", str(own_folder(project, tmp_path / "cache")), "--rows", "0", "--output", "json")
    run = project.start(*options)
    wait_for_line(run, "first is running")
    project.write("rates.csv", "2\n")
    said, notes = run.communicate(timeout=60)
    assert run.returncode == 0, notes
    report = json.loads(said)["models"][-1]
    assert report["cached"] is False and report["because"] == "rates.csv was changed while the run went on"
    assert "rates.csv was changed while the run went on" in notes

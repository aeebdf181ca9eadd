"""A result that was made once is not made again, under `serve` and in a folder."""

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from caching import CHAIN, age, grow_old, open_folder, own_folder, statuses
from command import HOME, Project, open_to_others


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
    again = chain.run("--format", "arrow", "--export", str(folder), env=server.environment)
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
    again = chain.run("--cache-dir", str(folder), "--format", "arrow", "--export", str(out))
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
    options = ("--cache-dir", str(cache), "--format", "arrow", "--export", str(out), "--rows", "0")

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


def test_what_a_run_writes_into_the_project_changes_no_key(chain: Project, tmp_path: Path):
    open_folder(chain.folder / "out")
    own_folder(chain, chain.folder / "cache")
    options = ("--format", "arrow", "--export", str(chain.folder / "out"), "--cache-dir", str(chain.folder / "cache"))
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

"""Streams of rows: inputs that come batch by batch, and results that do, larger than the memory of the run."""

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import IS_ROOT, Project

MIB = 1 << 20
MODELS = """
    import pyarrow as pa
    import pyarrow.compute as pc
    import zerrow

    @zerrow.model()
    def doubled(numbers=zerrow.Model("numbers", columns=["k", "v"], filter="v >= 3", stream=True)):
        schema = pa.schema([*numbers.schema, ("w", pa.int64()), ("s", pa.string())])

        def batches():
            for batch in numbers:
                texts = pa.array(["a text like others"] * batch.num_rows)
                new = [pc.multiply(batch.column("v"), 2), texts]
                yield pa.RecordBatch.from_arrays([*batch.columns, *new], schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    @zerrow.model()
    def even(doubled=zerrow.Model("doubled", filter="k % 2 = 0", stream=True)):
        return doubled

    @zerrow.model()
    def total(even=zerrow.Model("even", columns=["k", "w"], stream=True)):
        rows = sum_k = sum_w = 0
        for batch in even:
            rows += batch.num_rows
            sum_k += pc.sum(batch.column("k")).as_py()
            sum_w += pc.sum(batch.column("w")).as_py()
        return {"rows": [rows], "k": [sum_k], "w": [sum_w]}
"""


def numbers(project: Project, groups: int, rows: int = 1 << 20) -> None:
    """A source of that many row groups, written one after the other."""
    project.write("zerrow_project.yml", "project: {name: rows}\nsources: {numbers: data/numbers.parquet}\n")
    (project.folder / "data").mkdir(exist_ok=True)
    schema = pa.schema([("k", pa.int64()), ("v", pa.int64()), ("x", pa.float64())])
    with pq.ParquetWriter(project.folder / "data" / "numbers.parquet", schema, compression="none") as file:
        for group in range(groups):
            k = np.arange(group * rows, (group + 1) * rows)
            file.write_table(pa.table([k, k % 1000, k * 0.5], schema=schema))


def exported(project: Project, model: str) -> pa.Table:
    with pa.ipc.open_stream(project.folder / "out" / f"{model}.arrows") as reader:
        return reader.read_all()


def expected_total(groups: int, rows: int = 1 << 20) -> dict[str, int]:
    k = np.arange(groups * rows)
    k = k[(k % 1000 >= 3) & (k % 2 == 0)]
    return {"rows": len(k), "k": int(k.sum()), "w": int((k % 1000 * 2).sum())}


def test_a_stream_gives_what_a_table_gives(project: Project) -> None:
    numbers(project, 3, 100_000)
    project.write("models.py", MODELS)
    streamed = project.run("--format", "arrow", "--export", str(project.folder / "out"))
    assert streamed.code == 0, streamed.err
    assert exported(project, "total").to_pylist() == [expected_total(3, 100_000)]
    assert streamed.model("doubled")["streamed"][0]["table"] == "numbers"
    project.write(
        "models.py",
        MODELS.replace(", stream=True", "")
        .replace("in numbers:", "in numbers.to_batches():")
        .replace("in even:", "in even.to_batches():"),
    )
    tables = project.run("--format", "arrow", "--export", str(project.folder / "out"), "--no-cache")
    assert tables.code == 0, tables.err
    assert exported(project, "total").to_pylist() == [expected_total(3, 100_000)]
    assert tables.model("numbers")["status"] == "success"


@pytest.mark.skipif(not IS_ROOT, reason="limits of memory need control groups")
def test_a_pipeline_larger_than_memory_runs_through(project: Project) -> None:
    # doubled has 42 bytes and an offset in each row: 1.8 GiB.
    groups = 40
    numbers(project, groups)
    project.write("models.py", MODELS)
    spill = project.folder.parent / "spill"
    spill.mkdir()
    out = str(project.folder / "out")
    result = project.run(
        "--memory", "512MiB", "--spill-dir", str(spill), "--format", "arrow", "--export", out, timeout=900
    )
    assert result.code == 0, result.err
    assert exported(project, "total").to_pylist() == [expected_total(groups)]
    assert result.model("doubled")["output"]["bytes"] > 3 * 512 * MIB
    assert result.report["memory"]["run_bytes_max"] <= 512 * MIB
    # Nothing of it was ever a table in memory.
    assert result.report["memory"]["segments_bytes_max"] < 300 * MIB
    assert list(spill.iterdir()) == []


def test_a_large_result_is_a_table_like_any_other(any_project: Project) -> None:
    numbers(any_project, 8)
    any_project.write("models.py", MODELS)
    any_project.write("by_sql.sql", "select count(*) as n, max(s) as s, sum(w) as w from doubled")
    spill = any_project.folder.parent / "spill"
    for folder in (spill, any_project.folder / "out"):
        folder.mkdir()
        os.chown(folder, any_project.caller.uid, -1)
    options = (
        "--memory",
        "900MiB",
        "--spill-dir",
        str(spill),
        "--format",
        "arrow",
        "--export",
        str(any_project.folder / "out"),
    )
    result = any_project.run(*options, timeout=600)
    assert result.code == 0, result.err
    k = np.arange(8 << 20)
    k = k[k % 1000 >= 3]
    (row,) = exported(any_project, "by_sql").to_pylist()
    assert row == {"n": len(k), "s": "a text like others", "w": int((k % 1000 * 2).sum())}
    assert list(spill.iterdir()) == []


def test_an_error_in_the_middle_is_the_models_own(project: Project) -> None:
    numbers(project, 8)
    failing = MODELS.replace(
        "yield pa.Rec",
        "if batch.column('k')[0].as_py() > 4_000_000: raise ValueError('in the middle')\n                yield pa.Rec",
    )
    project.write("models.py", failing)
    result = project.run("--memory", "600MiB")
    assert result.code != 0
    assert result.model("doubled")["status"] == "failed"
    assert "in the middle" in result.err and "models.py:13" in result.err


def test_a_damaged_file_is_named_and_is_no_fault_of_the_model(project: Project) -> None:
    numbers(project, 4)
    project.write("models.py", MODELS)
    path = project.folder / "data" / "numbers.parquet"
    group = pq.read_metadata(path).row_group(3).column(0)
    with path.open("r+b") as file:
        file.seek(group.data_page_offset)
        file.write(b"\xff" * 60)
    result = project.run()
    assert result.code != 0
    assert "numbers.parquet cannot be read" in result.err and "Traceback" not in result.err


def test_a_killed_run_leaves_nothing(project: Project) -> None:
    numbers(project, 8)
    slow = MODELS.replace("import zerrow", "import time\n    import zerrow").replace(
        "yield pa.Rec", "time.sleep(0.1)\n                yield pa.Rec"
    )
    project.write("models.py", slow)
    spill = project.folder.parent / "spill"
    spill.mkdir()
    run = project.start("--memory", "600MiB", "--spill-dir", str(spill))

    def is_spilling() -> bool:
        try:
            opened = [os.readlink(each) for each in Path(f"/proc/{run.pid}/fd").iterdir()]
        except OSError:
            return False
        return any(str(spill) in each and "(deleted)" in each for each in opened)

    deadline = time.monotonic() + 120
    while not is_spilling():
        assert time.monotonic() < deadline and run.poll() is None, run.communicate()
        time.sleep(0.02)
    run.kill()
    run.communicate()
    assert list(spill.iterdir()) == []


def test_a_result_that_fills_its_disk_is_refused_with_its_folder(project: Project) -> None:
    numbers(project, 8)
    project.write("models.py", MODELS)
    result = project.run("--memory", "600MiB", "--spill-dir", "/dev/shm")
    assert result.code != 0 and "/dev/shm" in result.err


def test_a_plan_says_what_is_streamed(project: Project) -> None:
    import subprocess

    numbers(project, 1, 10)
    project.write("models.py", MODELS)
    command = [*project.caller.words, "plan", "-p", str(project.folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=project.environment())
    assert "streams numbers" in shown.stdout and "scan" not in shown.stdout
    project.write("models.py", MODELS.replace("stream=True", "stream=1", 1))
    refused = subprocess.run(command, capture_output=True, text=True, env=project.environment())
    assert refused.returncode != 0 and "stream=1 should be True or False" in refused.stderr

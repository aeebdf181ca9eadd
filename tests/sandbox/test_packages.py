"""What data packages do works in a worker: threads, pools, subprocesses, and the packages themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def packages(library):
    """A sandbox of the tests' own environment, with the packages loaded in the zygote; of this process's user."""
    from host import Sandbox

    folders = sorted({str(Path(sys.base_prefix).resolve()), str(Path(sys.prefix).resolve())})
    sandbox = Sandbox(
        library, (sys.executable, folders), os.geteuid(), modules=["pyarrow", "numpy"],
        environment=["ARROW_DEFAULT_MEMORY_POOL=system", "OPENBLAS_NUM_THREADS=1"], tmp_bytes_max=256 << 20,
    )  # fmt: skip
    yield sandbox
    sandbox.close()


def test_arrow_libraries_compute(packages):
    def compute():
        import datafusion
        import duckdb
        import pandas
        import polars
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet

        table = pyarrow.table({"a": list(range(100_000)), "b": [str(i % 7) for i in range(100_000)]})
        pyarrow.parquet.write_table(table, "/tmp/t.parquet")
        again = pyarrow.parquet.read_table("/tmp/t.parquet")
        context = datafusion.SessionContext()
        context.register_record_batches("t", [table.to_batches()])
        return {
            "pyarrow": pyarrow.compute.sum(again["a"]).as_py(),
            "pandas": int(again.to_pandas().groupby("b")["a"].sum().sum()),
            "polars": int(polars.from_arrow(table).group_by("b").agg(polars.col("a").sum())["a"].sum()),
            "duckdb": int(duckdb.sql("select sum(a) from again").fetchall()[0][0]),
            "datafusion": context.sql("select sum(a) as s from t").to_arrow_table()["s"][0].as_py(),
            "rows": len(pandas.DataFrame({"x": [1]})),
        }

    total = sum(range(100_000))
    expected = dict.fromkeys(["pyarrow", "pandas", "polars", "duckdb", "datafusion"], total) | {"rows": 1}
    assert packages.run(compute) == expected


def test_numpy_computes_in_threads(packages):
    def compute():
        from concurrent.futures import ThreadPoolExecutor

        import numpy

        with ThreadPoolExecutor(8) as pool:
            return int(sum(pool.map(lambda n: numpy.arange(n).sum(), [1000] * 32)))

    assert packages.run(compute) == 32 * 499_500


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_work(sandbox, method):
    def compute(method):
        import multiprocessing
        import operator

        with multiprocessing.get_context(method).Pool(2) as pool:
            return pool.map(operator.neg, range(10))

    assert sandbox.run(compute, method) == [-n for n in range(10)]


def test_shared_memory_of_multiprocessing_works(sandbox):
    def share():
        from multiprocessing import shared_memory

        memory = shared_memory.SharedMemory(create=True, size=1 << 20)
        memory.buf[:5] = b"hello"
        again = shared_memory.SharedMemory(memory.name)
        value = bytes(again.buf[:5]).decode()
        again.close()
        memory.close()
        memory.unlink()
        return value

    assert sandbox.run(share) == "hello"


def test_subprocesses_work(sandbox):
    def run():
        import subprocess

        return subprocess.run("echo hello | cat; id -u", shell=True, capture_output=True, text=True).stdout.split()[0]

    assert sandbox.run(run) == "hello"


def test_event_loops_work(sandbox):
    def run():
        import asyncio

        async def echo():
            process = await asyncio.create_subprocess_exec("/bin/echo", "hello", stdout=asyncio.subprocess.PIPE)
            return (await process.communicate())[0].decode().strip()

        return asyncio.run(echo())

    assert sandbox.run(run) == "hello"


def test_temporary_files_and_random_numbers_work(sandbox):
    def run():
        import os
        import secrets
        import tempfile

        with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "x"), "w") as file:
            file.write(secrets.token_hex())
        return os.path.exists(folder)

    assert sandbox.run(run) is False

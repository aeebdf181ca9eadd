"""Each supported library does real work in a worker: what the list of system calls was measured with."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from host import Sandbox

ENVIRONMENT = ["ARROW_DEFAULT_MEMORY_POOL=system", "OPENBLAS_NUM_THREADS=1"]


def needs(*modules: str) -> None:
    """Skip where one of these isn't installed: the tests' environment has not all that is supported."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


@pytest.fixture(scope="session")
def make_environment(library: Path) -> Iterator[Callable[[bool], Sandbox]]:
    """The sandbox of this Python with its packages, with or without network, as this process's user."""
    folders = sorted({str(Path(sys.base_prefix).resolve()), str(Path(sys.prefix).resolve())})
    made: dict[bool, Sandbox] = {}

    def make(network: bool) -> Sandbox:
        if network not in made:
            made[network] = Sandbox(
                library, (sys.executable, folders), os.geteuid(), modules=["pyarrow"], environment=ENVIRONMENT,
                tmp_bytes_max=256 << 20, network=network,
            )  # fmt: skip
        return made[network]

    yield make
    for sandbox in made.values():
        sandbox.close()


@pytest.fixture
def run(make_environment: Callable[[bool], Sandbox]) -> Callable[..., Any]:
    """Runs a function in a worker without network."""
    return make_environment(False).run


def test_pyarrow_reads_and_writes_files_in_threads(run):
    def work():
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.csv
        import pyarrow.dataset
        import pyarrow.parquet as pq

        table = pa.table({"a": list(range(200_000)), "b": [str(i % 7) for i in range(200_000)]})
        pq.write_to_dataset(table, "/tmp/set", partition_cols=["b"])
        pyarrow.csv.write_csv(table, "/tmp/t.csv")
        with pa.OSFile("/tmp/m", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        mapped = pa.ipc.open_file(pa.memory_map("/tmp/m")).read_all()
        again = pyarrow.dataset.dataset("/tmp/set", partitioning="hive").to_table()
        return [pc.sum(t["a"]).as_py() for t in (again, pyarrow.csv.read_csv("/tmp/t.csv"), mapped)]

    assert run(work) == [sum(range(200_000))] * 3


def test_pandas_and_numpy_compute(run):
    def work():
        import numpy as np
        import pandas as pd

        frame = pd.DataFrame({"k": np.arange(100_000) % 10, "v": np.random.default_rng(1).normal(size=100_000)})
        frame.to_parquet("/tmp/f.parquet")
        merged = pd.read_parquet("/tmp/f.parquet").merge(frame.groupby("k").agg(m=("v", "mean")), on="k")
        square = np.ones((300, 300))
        return [len(merged), float((square @ square)[0, 0]), float(np.linalg.svd(square, compute_uv=False)[0].round(3))]

    assert run(work) == [100_000, 300.0, 300.0]


def test_polars_computes_lazily_and_in_streams(run):
    def work():
        import polars as pl

        frame = pl.DataFrame({"k": [i % 10 for i in range(100_000)], "v": list(range(100_000))})
        frame.write_parquet("/tmp/p.parquet")
        lazy = pl.scan_parquet("/tmp/p.parquet").group_by("k").agg(pl.col("v").sum()).sort("k")
        return [lazy.collect()["v"].sum(), lazy.collect(engine="streaming")["v"].sum()]

    assert run(work) == [sum(range(100_000))] * 2


def test_duckdb_keeps_a_database_and_spills(run):
    def work():
        import duckdb

        database = duckdb.connect("/tmp/d.db")
        database.execute("pragma memory_limit='60MB'; pragma temp_directory='/tmp/spill'; pragma threads=4")
        database.execute("create table t as select range as a, md5(range::varchar) as b from range(300000)")
        rows = database.execute("select count(*), sum(a) from (select * from t order by b)").fetchall()
        database.execute("copy t to '/tmp/d.parquet'")
        database.close()
        return list(rows[0]), duckdb.connect("/tmp/d.db", read_only=True).execute("select count(*) from t").fetchone()[
            0
        ]

    assert run(work) == [[300_000, sum(range(300_000))], 300_000]


def test_datafusion_runs_sql(run):
    def work():
        import datafusion
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"a": list(range(100_000))}), "/tmp/x.parquet")
        context = datafusion.SessionContext()
        context.register_parquet("x", "/tmp/x.parquet")
        return context.sql("select sum(a) as s from x where a % 2 = 0").to_arrow_table()["s"][0].as_py()

    assert run(work) == sum(range(0, 100_000, 2))


def test_scikit_learn_fits_in_processes(run):
    needs("sklearn")

    def work():
        import numpy as np
        from sklearn.datasets import make_classification
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_score

        x, y = make_classification(400, 10, random_state=1)
        scores = cross_val_score(LogisticRegression(), x, y, cv=3, n_jobs=2)
        forest = RandomForestClassifier(20, n_jobs=2, random_state=1).fit(x, y)
        return [len(scores), bool(np.mean(scores) > 0.6), bool(forest.score(x, y) > 0.9)]

    assert run(work) == [3, True, True]


def test_pytorch_trains_and_loads_data_in_processes(run):
    needs("torch")

    def work():
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        torch.manual_seed(1)
        x = torch.randn(256, 8)
        loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=32, num_workers=2)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        losses = []
        for _ in range(3):
            for inputs, wanted in loader:
                loss = torch.nn.functional.mse_loss(model(inputs), wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        torch.save(model.state_dict(), "/tmp/model.pt")
        return losses[-1] < losses[0] and len(torch.load("/tmp/model.pt")) == 4

    assert run(work) is True


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_has_pools_queues_and_managers(run, method):
    def work(method):
        import multiprocessing
        import operator

        context = multiprocessing.get_context(method)
        queue, lock, value = context.Queue(), context.Lock(), context.Value("i", 3)
        with context.Pool(2) as pool:
            squares = pool.map(operator.neg, range(10))
        with context.Manager() as manager:
            shared = manager.dict(a=1)
            shared["b"] = 2
            names = sorted(shared.keys())
        queue.put("x")
        with lock:
            return [sum(squares), names, queue.get(), value.value]

    assert run(work, method) == [-45, ["a", "b"], "x", 3]


def test_the_standard_library_starts_programs_threads_and_loops(run):
    def work():
        import asyncio
        import concurrent.futures
        import fcntl
        import os
        import signal
        import sqlite3
        import subprocess
        import tempfile

        async def echo():
            async def serve(reader, writer):
                writer.write(await reader.readline())
                await writer.drain()
                writer.close()

            server = await asyncio.start_unix_server(serve, "/tmp/echo")
            reader, writer = await asyncio.open_unix_connection("/tmp/echo")
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            server.close()
            process = await asyncio.create_subprocess_exec("/bin/echo", "there", stdout=asyncio.subprocess.PIPE)
            return [line.decode().strip(), (await process.communicate())[0].decode().strip()]

        said = asyncio.run(echo())
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            said.append(sum(pool.map(len, ["a"] * 100)))
        database = sqlite3.connect("/tmp/s.db")
        database.execute("pragma journal_mode=wal")
        with database:
            database.execute("create table t(a)")
            database.executemany("insert into t values (?)", [(n,) for n in range(100)])
        said.append(sqlite3.connect("/tmp/s.db").execute("select sum(a) from t").fetchone()[0])
        with tempfile.NamedTemporaryFile() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.mkfifo(file.name + "-fifo")
        said.append(subprocess.run("ls / | wc -l; kill -0 $$", shell=True, capture_output=True).returncode)
        signal.setitimer(signal.ITIMER_REAL, 10)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return said

    assert run(work) == ["hello", "there", 100, 4950, 0]


def test_psutil_sees_the_worker_and_the_machine(run):
    needs("psutil")

    def work():
        import psutil

        own = psutil.Process()
        counts = [psutil.cpu_count(), len(psutil.pids()), own.num_threads(), own.memory_info().rss]
        return [*counts, psutil.virtual_memory().total, psutil.boot_time(), len(own.memory_maps())]

    assert all(run(work))


def test_requests_reach_a_server_with_network(make_environment):
    needs("requests")
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        peer = server.accept()[0]
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        peer.close()

    threading.Thread(target=answer, daemon=True).start()

    def work(port):
        import requests

        return requests.get(f"http://127.0.0.1:{port}/", timeout=20).text

    assert make_environment(True).run(work, server.getsockname()[1]) == "hello"
    server.close()

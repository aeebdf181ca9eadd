"""What a zygote's forks do and don't do, and what its memory is like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from small_engine import ROOT, Engine, built, open_table
from test_zygote import wait_for

LIBRARIES = Path(__file__).parent / "libraries"
FORKS = 12


@pytest.fixture(scope="module")
def with_handlers() -> Iterator[Engine]:
    paths = f"{LIBRARIES}{os.pathsep}{ROOT / 'python'}"
    engine = Engine(modules="fork_handlers_of_others,numpy", wrapper=["env", f"PYTHONPATH={paths}"]).wait_ready()
    yield engine
    assert engine.close() == ""


def rows_of(engine: Engine, task: dict[str, Any]) -> list[dict[str, Any]]:
    outcome = engine.run(task)
    assert outcome.error is None, outcome.error
    return open_table(outcome.table).to_pylist()


def test_handlers_of_other_modules_run_at_each_fork_of_the_zygote(with_handlers: Engine, project) -> None:
    assert "fork_handlers_of_others" in with_handlers.ready["modules"]
    task = project("import fork_handlers_of_others as f\ndef model(): return {'seen': f.seen}")
    first, second = ([row["seen"] for row in rows_of(with_handlers, task)] for _ in range(2))
    assert first == ["before", "in the child"]
    assert second == ["before", "in the parent", "before", "in the child"]


def test_locks_threads_and_forks_work_in_a_worker(with_handlers: Engine, project) -> None:
    text = """
        import concurrent.futures, logging, os, threading
        import fork_handlers_of_others as f

        def model():
            before = len(f.seen)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                pool.map(logging.getLogger("x").debug, ["a", "b"])
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                alone = threading.active_count() == 1 and threading.current_thread() is threading.main_thread()
                os.write(write, b"y" if alone and f.seen[before:] == ["before", "in the child"] else b"n")
                os._exit(0)
            os.waitpid(pid, 0)
            main = threading.main_thread()
            return {"a": [os.read(read, 1).decode(), str(main is threading.current_thread() and main.is_alive())]}
    """
    assert [row["a"] for row in rows_of(with_handlers, project(textwrap.dedent(text)))] == ["y", "True"]


def test_numpys_numbers_are_unlike_in_each_worker_and_its_own_where_they_are_seeded(engine: Engine, project) -> None:
    text = """
        import numpy
        def model():
            own = numpy.random.random(700).tolist()
            numpy.random.seed(7)
            return {"own": own, "seeded": numpy.random.normal(size=700).tolist()}
    """
    first, second = (rows_of(engine, project(textwrap.dedent(text))) for _ in range(2))
    numbers = [row["own"] for row in (*first, *second)]
    assert len(set(numbers)) == len(numbers) and all(0 <= number < 1 for number in numbers)
    assert 0.4 < sum(numbers) / len(numbers) < 0.6
    numpy.random.seed(7)
    assert [row["seeded"] for row in first] == numpy.random.normal(size=700).tolist()


def run_python(text: str, *arguments: str) -> Any:
    """What a Python of its own prints as JSON."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-c", textwrap.dedent(text), built("libzerrow_worker.so"), *arguments]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


ALLOCATING = """
    import gc, json, os, resource, sys
    from zerrow.worker import warm_memory
    warm_memory.gather(sys.argv[1])
    import pandas
    from zerrow.worker.abi import WorkerLibrary
    library = WorkerLibrary(sys.argv[1])
    gc.collect()
    gc.freeze()
    if sys.argv[2] == "filled":
        library.fill_memory()
    read, write = os.pipe()
    if os.fork() == 0:
        gc.disable()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        kept = [[float(i), str(i), {i: i}] for i in range(300)]
        os.write(write, str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before).encode())
        os._exit(0)
    print(os.read(read, 20).decode())
"""


def test_what_a_worker_allocates_costs_it_fewer_pages_once_the_zygotes_gaps_are_filled() -> None:
    assert run_python(ALLOCATING, "filled") < run_python(ALLOCATING, "as it was")


JOINING = """
    import json, os, sys
    from zerrow.worker import warm_memory
    warm_memory.gather(sys.argv[1])
    import pandas
    from zerrow.worker.abi import WorkerLibrary
    library = WorkerLibrary(sys.argv[1])
    library.fill_memory()
    def huge():
        with open("/proc/self/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("AnonHugePages"))
    before = huge()
    made = library.join_memory(2), library.join_memory(1000), library.join_memory(1000)
    print(json.dumps({"made": made, "grown_kib": huge() - before}))
"""


def test_memory_is_joined_by_and_by_into_huge_pages() -> None:
    found = run_python(JOINING)
    first, rest, none = found["made"]
    if first == 0:
        pytest.skip("this kernel joins no memory into huge pages")
    assert first == 2 and rest > 2 and none == 0
    assert found["grown_kib"] >= 2048 * (first + rest) - 2048


def huge_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


def test_a_zygote_that_forks_much_joins_its_memory(project) -> None:
    if run_python(JOINING)["made"][0] == 0:
        pytest.skip("this kernel joins no memory into huge pages")
    engine = Engine(modules="pyarrow,pandas").wait_ready()
    first = engine.fork()
    before = huge_kib(engine.process.pid)
    workers = [first, *(engine.fork() for _ in range(FORKS))]
    wait_for(lambda: huge_kib(engine.process.pid) > before + 3 * 2048)
    for worker in workers:
        worker.kill()
        engine.exited(worker)
    assert rows_of(engine, project("def model(): return {'a': [1]}")) == [{"a": 1}]
    assert engine.close() == ""


def test_a_worker_starts_with_fewer_page_faults_than_the_empty_child_of_os_fork_and_its_handlers() -> None:
    text = """
        import ctypes, gc, json, os, sys
        import logging, random, threading, concurrent.futures.thread, pandas
        from zerrow.worker.abi import WorkerLibrary
        library = WorkerLibrary(sys.argv[1])
        gc.collect()
        gc.freeze()
        library.fill_memory()
        def faults(fork):
            null = os.open("/dev/null", os.O_RDWR)
            pid = fork(null)
            if pid == 0:
                os._exit(0)
            return os.wait4(pid, 0)[2].ru_minflt
        ours = [faults(lambda null: library.fork(None, null, null)[0]) for _ in range(5)]
        theirs = [faults(lambda null: os.fork()) for _ in range(5)]
        print(json.dumps([max(ours), min(theirs)]))
    """
    ours, theirs = run_python(text)
    assert ours < theirs

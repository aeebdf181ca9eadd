"""The baselines zerrow's pipelines are measured against: the plan's own tasks, run by the very functions a worker runs,
without an engine and without a sandbox.

    python bench/in_process.py in-process examples/tpch --rounds 5     one process that passes pointers
    python bench/in_process.py ipc-files examples/tpch --rounds 5      a process per model, tables as files in /dev/shm
    python bench/in_process.py in-process examples/tpch --check        also compares with the project's answers.py

Modules are imported before the clock starts, as in a warm zygote, and models run side by side as the graph and the
processors allow. Without --rounds it runs once for each line on its standard input and prints a JSON object for each.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import queue
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

import pyarrow as pa
from zerrow.errors import PlanError
from zerrow.plan import plan_project
from zerrow.worker.tasks import execute, prepare_arguments

Model = dict[str, Any]


class Pipeline:
    """Runs a plan's models in the order of its graph; how a model runs and where tables are is for the subclass."""

    def __init__(self, plan: dict[str, Any], jobs: int, cpus: int) -> None:
        self.models: list[Model] = plan["models"]
        self.jobs = jobs
        self.cpus = cpus
        self.milliseconds: dict[str, float] = {}

    def choose(self, ready: list[Model]) -> Model:
        """Which of the models that could start does: the first of the plan."""
        return ready[0]

    def start(self, model: Model) -> None:
        """Starts a model whose inputs are there."""
        raise NotImplementedError

    def wait(self) -> str:
        """Waits until a model has finished and gives its name."""
        raise NotImplementedError

    def release(self, name: str) -> None:
        """Lets go of a table that nobody will read any more."""
        raise NotImplementedError

    def round(self) -> dict[str, float]:
        """One run of everything: wall and processor time in ms."""
        readers: dict[str, int] = {}
        for model in self.models:
            for name in set(model["inputs"]):
                readers[name] = readers.get(name, 0) + 1
        pending, done, running = list(self.models), set(), 0
        inputs = {model["name"]: set(model["inputs"]) for model in self.models}
        processor, start = _cpu_seconds(), time.perf_counter()
        began: dict[str, float] = {}
        while len(done) < len(self.models):
            while running < self.jobs and (ready := [model for model in pending if inputs[model["name"]] <= done]):
                model = self.choose(ready)
                pending.remove(model)
                began[model["name"]] = time.perf_counter()
                self.start(model)
                running += 1
            name = self.wait()
            running -= 1
            done.add(name)
            self.milliseconds[name] = (time.perf_counter() - began[name]) * 1000
            for read in inputs[name]:
                readers[read] -= 1
                if readers[read] == 0:
                    self.release(read)
        wall = time.perf_counter() - start
        return {"wall_ms": wall * 1000, "cpu_ms": (_cpu_seconds() - processor) * 1000}


class InProcess(Pipeline):
    """Every model in a thread of this process. `tables` holds what is still needed, in the end what nobody reads."""

    def __init__(self, plan: dict[str, Any], jobs: int, cpus: int) -> None:
        super().__init__(plan, jobs, cpus)
        self.tables: dict[str, pa.Table] = {}
        self.rows: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self._finished: queue.SimpleQueue[tuple[str, pa.Table | None]] = queue.SimpleQueue()

    def start(self, model: Model) -> None:
        """Starts the model's thread."""
        inputs = [self.tables[name] for name in model["inputs"]]
        threading.Thread(target=self._run, args=(model, inputs), daemon=True).start()

    def _run(self, model: Model, inputs: list[pa.Table]) -> None:
        try:
            arguments = prepare_arguments(model["task"], inputs)
            table = execute(model["task"], arguments, inputs, self.cpus)
        except Exception:
            traceback.print_exc()
            table = None
        self._finished.put((model["name"], table))

    def wait(self) -> str:
        """Waits for a thread. Exits if its model failed."""
        name, table = self._finished.get()
        if table is None:
            sys.exit(f"the model {name} failed")
        self.tables[name], self.rows[name], self.bytes[name] = table, table.num_rows, table.nbytes
        return name

    def release(self, name: str) -> None:
        """Forgets the table."""
        del self.tables[name]


class IpcFiles(Pipeline):
    """Every model in a process forked from this one, which maps its inputs' files and writes its table to another.

    With a control group every model enters it first: its memory and the files it writes are charged to that group.
    """

    def __init__(
        self, plan: dict[str, Any], jobs: int, cpus: int, group: Path | None = None, folder: Path = Path("/dev/shm")
    ) -> None:
        super().__init__(plan, jobs, cpus)
        self._group = group
        self._parent = folder
        self._running: dict[int, str] = {}

    def round(self) -> dict[str, float]:
        """One run, in a folder of its own that is gone afterwards."""
        self._folder = Path(tempfile.mkdtemp(prefix="zerrow-bench-", dir=self._parent))
        try:
            return super().round()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, model: Model) -> None:
        """Forks the model's process. This process has run no model itself, so it has no threads to lose."""
        pid = os.fork()
        if pid:
            self._running[pid] = model["name"]
            return
        try:
            self._run(model)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _run(self, model: Model) -> None:
        if self._group:
            (self._group / "cgroup.procs").write_text(str(os.getpid()))
        inputs = [pa.ipc.open_file(pa.memory_map(str(self._file(name)))).read_all() for name in model["inputs"]]
        table = execute(model["task"], prepare_arguments(model["task"], inputs), inputs, self.cpus)
        with pa.OSFile(str(self._file(model["name"])), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    def wait(self) -> str:
        """Waits for a process. Exits if its model failed."""
        pid, status = os.wait()
        name = self._running.pop(pid)
        if status != 0:
            sys.exit(f"the model {name} failed")
        return name

    def release(self, name: str) -> None:
        """Removes the table's file."""
        self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.arrow"


def _cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def wrong_answers(folder: Path, tables: dict[str, pa.Table]) -> list[str]:
    """What differs from the answers of the project's own answers.py."""
    sys.path.insert(0, str(folder))
    answers = importlib.import_module("answers")
    found = []
    for model in answers.ANSWERS:
        found += [f"{model}: {text}" for text in answers.differences(tables[model], answers.expected(model))]
    return found


def read_plan(project: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    """The plan of a project whose sources are there, its modules imported. Exits with what is wrong."""
    try:
        plan = plan_project(project, parameters)
    except PlanError as error:
        sys.exit(str(error))
    if plan["prepare"] is not None:
        sys.exit(f"sources are missing: run {' '.join(plan['prepare']['command'])} in {project}")
    for module in plan["environments"][0]["modules"]:
        importlib.import_module(module)
    return plan


def report(pipeline: Pipeline, rounds: list[dict[str, float]]) -> None:
    """Prints the last round's models and the median of all rounds."""
    for name, milliseconds in sorted(pipeline.milliseconds.items(), key=lambda item: -item[1]):
        size = ""
        if isinstance(pipeline, InProcess):
            size = f"{pipeline.rows[name]:>10,} rows {pipeline.bytes[name] / 1e6:>8.1f} MB"
        print(f"{name:24} {milliseconds:>9.1f} ms {size}")
    wall, processor = (statistics.median(round_[key] for round_ in rounds) for key in ("wall_ms", "cpu_ms"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all':24} {wall:>9.1f} ms, {processor:.1f} ms of processor, peak memory of this process {peak:.0f} MiB")


def main() -> int:
    """Exit code 0; 1 when a model fails or, with --check, an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("in-process", "ipc-files"))
    parser.add_argument("project")
    parser.add_argument("--rounds", type=int, help="how often to run, instead of once per line of standard input")
    parser.add_argument("--jobs", type=int, default=0, help="models at a time (default: one per processor)")
    parser.add_argument("--check", action="store_true", help="run once in process and compare with answers.py")
    options = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    kind = InProcess if options.way == "in-process" or options.check else IpcFiles
    pipeline = kind(read_plan(options.project), options.jobs or cpus, cpus)
    if options.rounds or options.check:
        report(pipeline, [pipeline.round() for _ in range(options.rounds or 1)])
    else:
        for _ in sys.stdin:
            print(json.dumps(pipeline.round()), flush=True)
    wrong = []
    if options.check and isinstance(pipeline, InProcess):
        wrong = wrong_answers(Path(options.project).resolve(), pipeline.tables)
    for text in wrong:
        print(f"wrong answer: {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

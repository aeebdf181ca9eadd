"""The chain as ops of Dagster under its multiprocess executor: a process per op, tables as pickles in files.

Processes are forked from a server that has imported this module: Dagster's fastest start. They import it by its name,
so that its folder has to be in PYTHONPATH, and what are arguments of the other scripts are variables here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys

import steps
from dagster import DagsterInstance, FilesystemIOManager, execute_job, job, multiprocess_executor, op, reconstructable

COUNT = int(os.environ["ZERROW_BENCH_COUNT"])
SIZE = int(os.environ["ZERROW_BENCH_BYTES"])
# Dagster's own files, and the tables.
FOLDER = os.environ["ZERROW_BENCH_FOLDER"]
EXECUTOR = multiprocess_executor.configured(
    {
        "max_concurrent": len(os.sched_getaffinity(0)),
        "start_method": {"forkserver": {"preload_modules": ["dagster_ops", "dagster", "pyarrow", "numpy"]}},
    }
)


@op(name="m0")
def first():
    """The chain's first model."""
    return steps.first(steps.rows_of(SIZE))


def step(number: int):
    """The op of a model."""

    @op(name=f"m{number}")
    def one(table):
        return steps.step(table)

    return one


@job(executor_def=EXECUTOR, resource_defs={"io_manager": FilesystemIOManager(base_dir=FOLDER)})
def chain():
    """All of it."""
    table = first()
    for number in range(1, COUNT):
        table = step(number)(table)


def main() -> None:
    # Under the name by which the ops' processes import it.
    import dagster_ops

    with DagsterInstance.local_temp(FOLDER, overrides={"telemetry": {"enabled": False}}) as instance:
        for _ in sys.stdin:
            with execute_job(reconstructable(dagster_ops.chain), instance=instance) as result:
                assert result.success
                table = result.output_for_node(f"m{COUNT - 1}")
                answer = steps.answer(table, COUNT)
                shutil.rmtree(os.path.join(FOLDER, result.run_id), ignore_errors=True)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

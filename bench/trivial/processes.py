"""The chain as a multiprocessing.Process per model, tables pickled both ways. Arguments: count, bytes.

Processes are forked from a server that has imported pyarrow: the fastest start that is safe beside threads, and the
default on Linux from Python 3.14 on.
"""

from __future__ import annotations

import json
import multiprocessing
import sys

import pyarrow.compute  # noqa: F401
from steps import answer, first, rows_of, step


def model(function, argument, results) -> None:
    """The model's process."""
    results.send(function(argument))


def main() -> None:
    count, size = map(int, sys.argv[1:])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["steps", "numpy"])

    def run(function, argument):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=model, args=(function, argument, theirs))
        process.start()
        theirs.close()
        result = ours.recv()
        process.join()
        return result

    for _ in sys.stdin:
        table = run(first, rows_of(size))
        for _ in range(count - 1):
            table = run(step, table)
        print(json.dumps(answer(table, count)), flush=True)


if __name__ == "__main__":
    main()

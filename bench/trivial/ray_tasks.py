"""The chain as Ray tasks in workers that are warm and used again, so isolated from nothing that ran before.

Arguments: count, bytes.
"""

from __future__ import annotations

import json
import os
import sys

import ray
import steps


def main() -> None:
    count, size = map(int, sys.argv[1:])
    ray.init(
        num_cpus=len(os.sched_getaffinity(0)),
        object_store_memory=max(256 << 20, 10 * size),
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
    )
    first, step = ray.remote(steps.first), ray.remote(steps.step)
    for _ in sys.stdin:
        table = first.remote(steps.rows_of(size))
        for _ in range(count - 1):
            table = step.remote(table)
        print(json.dumps(steps.answer(ray.get(table), count)), flush=True)


if __name__ == "__main__":
    main()

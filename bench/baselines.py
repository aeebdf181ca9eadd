"""The other ways to hand a table from one process to the next, each measured as its users would use it.

Every function runs in two fresh processes, a producer and a consumer (in_process: in one), and returns publish_ms,
open_ms, first_pass_ms and second_pass_ms. The producer's table is in memory, and has been touched, before the clock
starts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time


def produce(size: int):
    """The same table as bench/handoff/models.py."""
    import numpy
    import pyarrow as pa

    rows = size // 80
    return pa.table({f"c{i}": pa.array(numpy.arange(7 + i, 7 + i + rows)) for i in range(10)})


def passes(table) -> dict:
    """Two passes over all columns."""
    import pyarrow.compute as pc

    taken = []
    for _ in range(2):
        began = time.monotonic_ns()
        total = sum(pc.sum(column).as_py() for column in table.columns)
        taken.append((time.monotonic_ns() - began) / 1e6)
    return {"first_pass_ms": taken[0], "second_pass_ms": taken[1], "total": total}


def ipc_write(size: int, path: str, ready) -> None:
    """Producer: an Arrow IPC file in /dev/shm."""
    import pyarrow as pa

    table = produce(size)
    began = time.monotonic_ns()
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    ready.send((time.monotonic_ns() - began) / 1e6)
    ready.recv()


def ipc(size: int, is_mapped: bool) -> dict:
    """Write an Arrow IPC file to /dev/shm; the consumer maps it or reads it."""
    import pyarrow as pa

    path = f"/dev/shm/zerrow-bench-{os.getpid()}.arrow"
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    producer = multiprocessing.get_context("spawn").Process(target=ipc_write, args=(size, path, theirs))
    producer.start()
    try:
        publish_ms = ours.recv()
        began = time.monotonic_ns()
        source = pa.memory_map(path) if is_mapped else pa.OSFile(path)
        table = pa.ipc.open_file(source).read_all()
        open_ms = (time.monotonic_ns() - began) / 1e6
        result = {"publish_ms": publish_ms, "open_ms": open_ms, **passes(table)}
        ours.send(None)
        producer.join()
        return result
    finally:
        producer.kill()
        if os.path.exists(path):
            os.unlink(path)


def in_process(size: int) -> dict:
    """No hand-over at all: the consumer's code in the producer's process. What a first pass costs this machine."""
    return {"publish_ms": 0.0, "open_ms": 0.0, **passes(produce(size))}


def ray_store(sizes: list[int]) -> None:
    """Ray's object store, warm: one cluster for all rounds, as its first put of a size is much slower.

    Reads a size per line, answers with a JSON line.
    """
    import ray

    ray.init(
        num_cpus=2,
        object_store_memory=int(sum(sorted(sizes)[-1:]) * 1.3) + (256 << 20),
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
    )

    @ray.remote
    class Producer:
        def prepare(self, size):
            self.table = produce(size)

        def publish(self):
            began = time.monotonic_ns()
            reference = ray.put(self.table)
            return [reference], (time.monotonic_ns() - began) / 1e6

    @ray.remote
    class Consumer:
        def consume(self, references):
            began = time.monotonic_ns()
            table = ray.get(references[0])
            open_ms = (time.monotonic_ns() - began) / 1e6
            return {"open_ms": open_ms, **passes(table)}

    for line in sys.stdin:
        size = int(line)
        producer, consumer = Producer.remote(), Consumer.remote()
        ray.get(producer.prepare.remote(size))
        references, publish_ms = ray.get(producer.publish.remote())
        print(json.dumps({"publish_ms": publish_ms, **ray.get(consumer.consume.remote(references))}), flush=True)
        del references
        ray.kill(producer)
        ray.kill(consumer)
        time.sleep(1)


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "ray":
        ray_store([int(size) for size in arguments])
    elif kind == "in-process":
        print(json.dumps(in_process(int(arguments[0]))))
    else:
        print(json.dumps(ipc(int(arguments[0]), is_mapped=kind == "ipc-mapped")))

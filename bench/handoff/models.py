"""A producer whose table is in memory already when it is published, and a consumer that reads all of it twice."""

import time

import pyarrow as pa
import pyarrow.compute as pc
import zerrow


@zerrow.model()
def produced(seed=zerrow.Model("seed"), size=zerrow.Parameter("bytes")):
    """Ten int64 columns of together `bytes` bytes."""
    import numpy

    rows = size // 80
    start = seed["seed"][0].as_py()
    return pa.table({f"c{i}": pa.array(numpy.arange(start + i, start + i + rows)) for i in range(10)})


@zerrow.model()
def consumed(produced=zerrow.Model("produced")):
    """How long the first and the second pass over the data took, in milliseconds, and the sum as a check."""
    passes = []
    for _ in range(2):
        began = time.monotonic_ns()
        total = sum(pc.sum(column).as_py() for column in produced.columns)
        passes.append((time.monotonic_ns() - began) / 1e6)
    print(f"first_pass_ms={passes[0]:.3f} second_pass_ms={passes[1]:.3f} total={total}")
    return {"total": [total]}

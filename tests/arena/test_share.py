"""Every large output byte of every library is born in the file, also in a worker forked from a warm process."""

import pytest
import workloads
from conftest import Run

ROWS = 600_000
POOLS = ("system", "mimalloc", "jemalloc")
CASES = [("pyarrow", pool) for pool in POOLS] + [(library, "system") for library in workloads.LIBRARIES[1:]]

SAME_PROCESS = """
import arena_client, workloads
fd = arena_client.attach()
table = workloads.make({library!r}, {rows})
total, shared = arena_client.share(table, fd)
print(total, shared)
"""

# polars and DataFusion keep threads that a fork does not carry over, so their zygote imports and does not compute.
FORKED = """
import os, arena_client, workloads
import pyarrow, pyarrow.compute, pandas, polars, duckdb, datafusion
if {library!r} not in ("polars", "datafusion"):
    workloads.make({library!r}, 100_000)
pid = os.fork()
if pid == 0:
    fd = arena_client.attach()
    table = workloads.make({library!r}, {rows})
    print(*arena_client.share(table, fd), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("source", [SAME_PROCESS, FORKED], ids=["same-process", "forked"])
@pytest.mark.parametrize(("name", "pool"), CASES)
def test_all_large_buffers_are_in_the_file(script: Run, name: str, pool: str, source: str) -> None:
    """The share of bytes in buffers of 64 KiB and more is 100 %, and the file holds the same content."""
    done = script(source.format(library=name, rows=ROWS), ARROW_DEFAULT_MEMORY_POOL=pool)
    total, shared = map(int, done.stdout.split())
    assert total > ROWS * 8
    assert shared == total


def test_nothing_is_located_before_an_arena_is_attached(script: Run) -> None:
    """Without an arena the library passes everything on: the same tables come out, in nobody's file."""
    done = script("""
import arena_client, numpy as np
array = np.arange(1_000_000)
assert array.sum() == 499999500000
assert arena_client.locate(array.ctypes.data, array.nbytes) is None
assert arena_client.take(100)[0] != 0
assert arena_client.freeze() != 0
""")
    assert done.stderr == ""

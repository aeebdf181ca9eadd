"""Forks, pools and subprocesses inside a worker, and programs that know nothing of the arena."""

import shutil
import sys

import pytest
from conftest import Run


def test_a_multiprocessing_pool_inside_a_worker(script: Run) -> None:
    """A fork pool reads the worker's arrays and returns its own; the worker's later arrays are in the file."""
    script("""
import arena_client, multiprocessing, numpy as np
fd = arena_client.attach()
data = np.arange(2_000_000)
def part(i):
    data[i] = -1
    return data[i::4] * 2
with multiprocessing.get_context("fork").Pool(4) as pool:
    parts = pool.map(part, range(4))
assert data[:4].tolist() == [0, 1, 2, 3], "a child's write reached the parent"
for i in range(4):
    expected = data[i::4] * 2
    expected[0] = -2
    assert (parts[i] == expected).all()
result = np.concatenate(parts)
assert arena_client.locate(result.ctypes.data, result.nbytes) is not None
offset = arena_client.locate(data.ctypes.data, data.nbytes)
assert offset is not None
assert arena_client.view(fd)[offset:offset + data.nbytes] == data.tobytes()
""")


def test_tables_built_after_a_fork_are_born_shared(script: Run) -> None:
    """With the system pool, what is built after a fork is in the file; what was written over since is not located."""
    script(
        """
import arena_client, os, workloads, pyarrow as pa, numpy as np
fd = arena_client.attach()
before = np.arange(1_000_000)
for i in range(3):
    pid = os.fork()
    if pid == 0:
        before[:] = 9
        assert workloads.make("pandas", 50_000).num_rows > 0
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    before[i] = -1
    assert arena_client.locate(before.ctypes.data, before.nbytes) is None
    total, shared = arena_client.share(workloads.make("pyarrow", 300_000), fd)
    assert shared == total > 0
assert before[5] == 5
""",
        ARROW_DEFAULT_MEMORY_POOL="system",
    )


@pytest.mark.parametrize("options", ["", "preexec_fn=lambda: None,"], ids=["vfork", "fork"])
def test_subprocesses_run_and_leave_the_worker_alone(script: Run, options: str) -> None:
    """subprocess by vfork and by fork."""
    script(f"""
import arena_client, numpy as np, subprocess, sys
fd = arena_client.attach()
data = np.arange(1_000_000)
for i in range(5):
    done = subprocess.run([sys.executable, "-c", "print(sum(range(10)))"], {options} capture_output=True, check=True)
    assert done.stdout == b"45\\n"
after = np.arange(1_000_000)
assert (data == after).all()
assert arena_client.locate(after.ctypes.data, after.nbytes) is not None
assert arena_client.locate(data.ctypes.data, data.nbytes) is not None
""")


def test_closing_every_descriptor_does_no_harm(script: Run) -> None:
    """A program that closes all it does not know leaves the arena working, and forks still work."""
    script("""
import arena_client, numpy as np, os
arena_client.attach()
data = np.arange(1_000_000)
os.closerange(3, 4096)
for fd in range(3, 4096):
    try:
        os.close(fd)
    except OSError:
        pass
more = np.arange(3_000_000)
assert arena_client.locate(more.ctypes.data, more.nbytes) is not None
del more
zeros = np.zeros(3_000_000)
assert not zeros.any()
pid = os.fork()
if pid == 0:
    assert data.sum() == 499999500000
    data[:] = 1
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert data.sum() == 499999500000
""")


PROGRAMS = [
    ("bash", "-c", "for i in 1 2 3; do (echo $i | cat) ; done; echo $(seq 3 | sort -r | tr -d '\\n')"),
    ("git", "--version"),
    (sys.executable, "-c", "import pyarrow, pandas, polars, duckdb, datafusion, numpy, json, ctypes, multiprocessing"),
    ("sh", "-c", "ls / | sort | head -1000 | wc -l"),
]


@pytest.mark.parametrize("command", PROGRAMS, ids=lambda command: command[0].rsplit("/", 1)[-1])
def test_programs_run_under_the_preload(preloaded: Run, command: tuple[str, ...]) -> None:
    """Common programs behave the same, and say nothing they did not say before."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    assert preloaded(*command).stderr == ""


def test_a_child_allocates_where_the_parent_has_its_arena(script: Run) -> None:
    """In a child the kernel may place libc's memory between what it inherited of the arena: it is freed as libc's."""
    script("""
import arena_client, os, numpy as np
arena_client.attach(file_bytes=1 << 30)
sizes = (70_000, 1_100_000, 3 << 20, 17 << 20, 130 << 20)
inherited = [np.full(size, 5, dtype=np.uint8) for size in sizes + sizes]
if os.fork() == 0:
    for round in range(3):
        own = [np.full((i % 40 + 1) * 150_000, 7, dtype=np.uint8) for i in range(300)]
        assert all(array[-1] == 7 for array in own)
        del own
        inherited.pop()
    assert all(array[0] == array[-1] == 5 for array in inherited)
    os._exit(0)
assert os.wait()[1] == 0
inherited.clear()
own = [np.full((i % 40 + 1) * 150_000, 7, dtype=np.uint8) for i in range(100)]
assert all(array[-1] == 7 for array in own)
""")

"""Memory goes when the last reader is done with it, whoever runs the engine."""

import os
import re
import subprocess

import pytest
from command import Project

MIB = 1 << 20
COLUMN = 8 * MIB

# Each table has ten columns of 8 MiB. The command says how much shared memory all segments took at most.
WIDE = """
    import numpy as np
    import pyarrow as pa
    import zerrow

    def ten_columns(first):
        return pa.table({{f"c{{i}}": np.arange(first, first + {rows}, dtype=np.int64) for i in range(10)}})

    @zerrow.model()
    def wide(numbers=zerrow.Model("numbers")):
        return ten_columns(0)
"""


def wide() -> str:
    return WIDE.format(rows=COLUMN // 8)


def test_nine_columns_go_when_only_the_tenth_is_referenced(any_project: Project):
    any_project.write(
        "models.py",
        wide()
        + """
    @zerrow.model()
    def narrow0(wide=zerrow.Model("wide")):
        return wide.select(["c9"])

    @zerrow.model()
    def wide1(narrow0=zerrow.Model("narrow0")):
        return ten_columns(1)

    @zerrow.model()
    def narrow1(wide1=zerrow.Model("wide1")):
        return wide1.select(["c8"])

    @zerrow.model()
    def wide2(narrow1=zerrow.Model("narrow1")):
        return ten_columns(2)

    @zerrow.model()
    def last(a=zerrow.Model("narrow0"), b=zerrow.Model("narrow1"), c=zerrow.Model("wide2")):
        assert a["c9"].to_numpy()[5] == 5 and b["c8"].to_numpy()[5] == 6 and c["c0"].to_numpy()[5] == 7
        assert a["c9"].to_numpy()[-1] == len(a) - 1 and b["c8"].to_numpy()[-1] == len(b)
        return {"rows": [len(a) + len(b) + len(c)]}
    """,
    )
    result = any_project.run("--jobs", "1")
    assert result.code == 0, result.err
    memory = result.report["memory"]
    assert result.model("narrow0")["output"]["reshared_bytes"] == COLUMN
    # One whole table, two single columns, and what is being copied or about to be recycled; never two whole tables.
    assert memory["segments_bytes_max"] < 10 * COLUMN + 6 * COLUMN, memory
    assert memory["segments_bytes_end"] == 0
    # Sealed memory can't be given back in part: a column moves. Where it can, nothing is copied.
    is_sealed = any_project.caller.uid != 0
    assert memory["compacted_bytes"] == (2 * COLUMN if is_sealed else 0), memory


@pytest.mark.parametrize("length", [8])
def test_a_long_chain_holds_two_tables_at_a_time(any_project: Project, length: int):
    models = wide()
    for number in range(length):
        before = f"step{number - 1}" if number else "wide"
        models += f"""
    @zerrow.model()
    def step{number}(before=zerrow.Model("{before}")):
        return pa.table({{name: np.add(before[name].to_numpy(), 1) for name in before.column_names}})
"""
    models += f"""
    @zerrow.model()
    def last(before=zerrow.Model("step{length - 1}")):
        return {{"sum": [int(before["c0"].to_numpy()[0])]}}
"""
    any_project.write("models.py", models)
    result = any_project.run("--jobs", "1")
    assert result.code == 0, result.err
    memory = result.report["memory"]
    assert result.model(f"step{length - 1}")["output"]["bytes"] == 10 * COLUMN
    assert memory["segments_bytes_max"] < 3.5 * 10 * COLUMN, memory
    assert memory["segments_bytes_end"] == 0


def test_a_failed_run_gives_everything_back(any_project: Project):
    any_project.write(
        "models.py",
        wide()
        + """
    @zerrow.model()
    def broken(wide=zerrow.Model("wide")):
        kept = ten_columns(5)
        raise ValueError("no")
    """,
    )
    result = any_project.run()
    assert result.code == 1
    assert result.report["memory"]["segments_bytes_end"] == 0


def test_a_models_memory_is_its_own(any_project: Project):
    """Neither what the zygote had imported nor, with control groups, what it reads counts."""
    any_project.write(
        "models.py",
        wide()
        + """
    @zerrow.model()
    def small(numbers=zerrow.Model("numbers")):
        return {"x": [1]}

    @zerrow.model()
    def large(numbers=zerrow.Model("numbers")):
        kept = np.ones(200 << 17)
        return {"x": [float(kept[-1])]}
    """,
    )
    result = any_project.run()
    assert result.code == 0, result.err
    assert 0 < result.model("small")["memory_bytes_max"] < 100 * MIB
    assert result.model("large")["memory_bytes_max"] > 200 * MIB
    assert 10 * COLUMN <= result.model("wide")["memory_bytes_max"] < 10 * COLUMN + 150 * MIB


def test_what_is_held_shows_while_a_run_lasts(project: Project):
    project.write(
        "models.py",
        """
        import time
        import numpy as np
        import pyarrow as pa
        import zerrow

        @zerrow.model()
        def large(numbers=zerrow.Model("numbers")):
            values = pa.array(np.ones(32 << 20))
            time.sleep(2)
            return pa.table({"values": values})
        """,
    )
    master, slave = os.openpty()
    environment = {**project.environment(), "TERM": "xterm", "COLUMNS": "120"}
    command = project.command()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env=environment) as run:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
        assert run.wait(60) == 0
    os.close(master)
    # The model's 256 MiB, and next to nothing else: of 4 MiB of sources and the worker's own pages there is little.
    figures = [float(figure) for figure in re.findall(rb"memory (\d+(?:\.\d+)?) MiB", shown)]
    assert figures, shown[-2000:]
    assert any(256 <= figure < 400 for figure in figures), figures

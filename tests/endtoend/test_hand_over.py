"""Small tables are there before their workers have ended, and nothing that such a worker does then reaches a reader."""

import pytest
from command import Project

SLOW_END = """
    import pyarrow as pa
    import zerrow

    kept = []


    def touch():
        # So much memory takes a while to be given back.
        kept.append(bytearray(200 << 20))
        for place in range(0, 200 << 20, 4096):
            kept[0][place] = 1


    @zerrow.model()
    def written(numbers=zerrow.Model("numbers")):
        touch()
        return {result}


    @zerrow.model()
    def reader(written=zerrow.Model("written")):
        return written
"""


def timing(project: Project) -> dict:
    """The moments of the model `written`."""
    result = project.run("--no-cache")
    assert result.code == 0, result.err
    return result.model("written")["timing"]


@pytest.mark.parametrize(
    "result", ["pa.table({'x': [1, 2, 3]})", "numbers", "numbers.append_column('y', numbers['a'])"]
)
def test_a_small_table_is_there_before_its_worker_has_ended(any_project: Project, result: str):
    any_project.write("models.py", SLOW_END.format(result=result))
    moments = timing(any_project)
    assert moments["ready_at_ms"] < moments["exited_at_ms"]


def test_a_table_of_memory_that_its_worker_can_write_to_waits_for_the_end(any_project: Project):
    any_project.write("models.py", SLOW_END.format(result="pa.table({'x': range(1_000_000)})"))
    moments = timing(any_project)
    assert moments["ready_at_ms"] > moments["exited_at_ms"]


HOSTILE = """
    import ctypes
    import os
    import threading
    import time

    import pyarrow as pa
    import pyarrow.compute as pc
    import zerrow


    def mappings():
        with open("/proc/self/maps") as maps:
            for line in maps:
                words = line.split()
                if "memfd" in line and words[1].startswith("rw-s"):
                    start, end = (int(each, 16) for each in words[0].split("-"))
                    yield start, end - start


    def scribble():
        value = 0
        while True:
            value = value % 100 + 1
            for start, size in list(mappings()):
                ctypes.memset(start, value, min(size, 1 << 20))


    @zerrow.model()
    def hostile(numbers=zerrow.Model("numbers")):
        for _ in range(4):
            threading.Thread(target=scribble, daemon=True).start()
        if os.fork() == 0:
            scribble()
        time.sleep(0.05)
        return pa.table({"x": pa.array([7] * 500, pa.int8())})


    @zerrow.model()
    def looks(hostile=zerrow.Model("hostile")):
        seen = {bytes(hostile["x"].chunk(0).buffers()[1]) for _ in range(300) if time.sleep(0.001) is None}
        assert len(seen) == 1, "it changes"
        return pa.table({"content": list(seen)})


    @zerrow.model()
    def looks_again(hostile=zerrow.Model("hostile"), before=zerrow.Model("looks")):
        assert bytes(hostile["x"].chunk(0).buffers()[1]) == before["content"][0].as_py(), "it has changed"
        return before
"""


def test_what_a_worker_writes_after_its_result_reaches_no_reader(any_project: Project):
    any_project.write("models.py", HOSTILE)
    for _ in range(3):
        result = any_project.run("--no-cache")
        # It may as well have spoiled its own description of the result.
        assert result.code == 0 or result.report["error"]["model"] == "hostile", result.err


def test_a_worker_that_fails_after_its_table_was_read_takes_nothing_back(any_project: Project):
    any_project.write(
        "models.py",
        SLOW_END.format(result="pa.table({'x': [1]})").replace(
            "def touch():", "def touch():\n        import threading, os, time\n"
            "        threading.Thread(target=lambda: (time.sleep(0.3), os.kill(os.getpid(), 9)), daemon=True).start()",
        ),
    )  # fmt: skip
    result = any_project.run("--no-cache")
    status = {name: result.model(name)["status"] for name in ("written", "reader")}
    assert status in ({"written": "success", "reader": "success"}, {"written": "failed", "reader": "skipped"})

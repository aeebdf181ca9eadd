"""What was decoded once is not decoded again: scans by column and row group."""

import signal
import threading

import pyarrow as pa
import pytest
from caching import age, statuses
from command import Project, Result, wait_for_line

SCANS = """
    import zerrow

    @zerrow.model()
    def one(wide=zerrow.Model("wide", columns=["a", "b"])):
        assert wide["a"][7].as_py() == 7 and len(wide) == 30000, wide
        return {"sum": [sum(wide["b"].to_pylist())]}

    @zerrow.model()
    def two(wide=zerrow.Model("wide", columns=["b", "c"], filter="b >= 100")):
        assert wide["b"][0].as_py() == 100
        return {"sum": [sum(wide["c"].to_pylist())]}
"""


@pytest.fixture
def scans(any_project: Project) -> Project:
    """A project whose models read overlapping columns of one source of ten row groups."""
    values = pa.array(range(30000), pa.int64())
    any_project.table("wide", pa.table({"a": values, "b": values, "c": values, "d": values}), row_group_size=3000)
    any_project.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        sources:
          wide: data/wide.parquet
        """,
    )
    any_project.write("models.py", SCANS)
    age(any_project.folder)
    return any_project


def units(result: Result, kind: str) -> int:
    """Columns of row groups, over all scans."""
    return sum(model["decache"][f"{kind}_units"] for model in result.report["models"] if model["decache"])


def test_overlapping_scans_of_one_run_decode_each_column_once(scans: Project):
    result = scans.run()
    assert result.code == 0, result.err
    assert units(result, "wanted") == 40
    assert units(result, "decoded") == 30
    assert units(result, "reused") == 10
    assert result.report["memory"]["segments_bytes_end"] == 0
    alone = scans.run("--no-decache")
    assert alone.code == 0, alone.err
    assert all(model["decache"] is None for model in alone.report["models"])


def test_runs_of_one_server_decode_what_is_missing(scans: Project, serve):
    server = serve(scans.caller)
    first = scans.run("--no-cache", env=server.environment)
    assert first.code == 0, first.err
    again = scans.run("--no-cache", env=server.environment)
    assert again.code == 0, again.err
    assert units(again, "decoded") == 0
    assert units(again, "reused") == 40
    scans.write("models.py", SCANS.replace('["a", "b"]', '["a", "b", "d"]'))
    more = scans.run("--no-cache", env=server.environment)
    assert more.code == 0, more.err
    assert units(more, "decoded") == 10


def test_runs_at_the_same_time_decode_each_column_once(scans: Project, serve):
    server = serve(scans.caller, "--jobs", "2")
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda: results.append(scans.run("--no-cache", env=server.environment)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.code for result in results] == [0] * 4, [result.err for result in results]
    assert sum(units(result, "decoded") for result in results) == 30
    assert sum(units(result, "wanted") for result in results) == 160


PAUSED = """
    import time
    import zerrow

    @zerrow.model()
    def paused(wide=zerrow.Model("wide", columns=["a", "b"]), seconds=zerrow.Parameter("seconds")):
        print("paused is running", flush=True)
        time.sleep(seconds)
        return {"rows": [len(wide)]}
"""


@pytest.fixture
def paused(scans: Project) -> Project:
    """A project whose model keeps what it reads for as long as it is told."""
    scans.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        parameters:
          seconds: {type: int, default: 0}
        sources:
          wide: data/wide.parquet
        """,
    )
    scans.write("models.py", PAUSED)
    age(scans.folder)
    return scans


def test_a_whole_scan_that_another_run_holds_needs_no_process(paused: Project, serve):
    server = serve(paused.caller)
    holder = paused.start("--param", "seconds=300", "--no-cache", env=server.environment)
    wait_for_line(holder, "paused is running")
    result = paused.run("--no-cache", env=server.environment)
    assert result.code == 0, result.err
    assert statuses(result) == {"wide": "cached", "paused": "success"}
    assert result.model("wide")["executions"] == 0
    assert units(result, "reused") == units(result, "wanted") == 20
    assert result.model("wide")["output"]["rows"] == 30000
    # Whoever made it may go.
    holder.send_signal(signal.SIGINT)
    holder.communicate()
    alone = paused.run("--no-cache", env=server.environment)
    assert statuses(alone) == {"wide": "success", "paused": "success"}
    assert units(alone, "reused") == 20
    assert set(statuses(paused.run("--no-cache", "--no-decache", env=server.environment)).values()) == {"success"}


def test_a_source_that_is_broken_fails_each_run_that_waits_for_it(paused: Project, serve):
    path = paused.folder / "data" / "wide.parquet"
    content = bytearray(path.read_bytes())
    # The footer stays: the plan is made, and what the scan reads is rubbish.
    content[4 : len(content) // 2] = b"?" * (len(content) // 2 - 4)
    path.write_bytes(content)
    age(paused.folder)
    server = serve(paused.caller, "--jobs", "2")
    runs = [paused.start("--no-cache", env=server.environment) for _ in range(4)]
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [1] * 4, said
    assert all("wide.parquet" in words for words in said), said


def test_a_changed_source_is_decoded_anew(scans: Project, serve):
    server = serve(scans.caller)
    scans.run("--no-cache", env=server.environment)
    values = pa.array(range(30000), pa.int64())
    scans.table(
        "wide", pa.table({"a": values, "b": values, "c": pa.array([1] * 30000), "d": values}), row_group_size=3000
    )
    out = scans.folder / "out"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    result = scans.run("--no-cache", "--format", "arrow", "--export", str(out), env=server.environment)
    assert result.code == 0, result.err
    assert units(result, "reused") == 0 or units(result, "decoded") == 30
    with pa.OSFile(str(out / "two.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all().to_pylist() == [{"sum": 29900}]


def test_what_was_decoded_gives_way_when_memory_is_short(scans: Project, serve):
    rows = 8 << 20
    values = pa.array(range(rows), pa.int64())
    scans.table("wide", pa.table({name: values for name in "abcd"}), row_group_size=1 << 20)
    scans.write(
        "models.py",
        """
    import zerrow

    @zerrow.model()
    def sum_of(wide=zerrow.Model("wide", columns=["a", "b"])):
        return {"rows": [len(wide)]}

    @zerrow.model()
    def other(wide=zerrow.Model("wide", columns=["c", "d"]), sum_of=zerrow.Model("sum_of")):
        return {"rows": [len(wide)]}
    """,
    )
    age(scans.folder)
    server = serve(scans.caller, "--memory", "600MiB")
    for _ in range(3):
        result = scans.run("--no-cache", env=server.environment)
        assert result.code == 0, result.err

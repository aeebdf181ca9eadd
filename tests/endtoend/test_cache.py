"""What was made once is not made again: results under `serve` and in a folder, scans by column and row group."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Project, Result

CHAIN = """
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"]), factor=2):
        return numbers

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return {"rows": [len(first)], "last": [first["a"][len(first) - 1].as_py()]}
"""


def statuses(result: Result) -> dict[str, str]:
    """Each model's status."""
    return {model["name"]: model["status"] for model in result.report["models"]}


def age(folder: Path) -> None:
    """Make a project's files old: what was changed a moment ago is never kept."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (time.time() - 100, time.time() - 100))
    # The time of a file's last status change can't be set.
    time.sleep(2.1)


@pytest.fixture
def chain(any_project: Project) -> Project:
    """A project of a scan and two models, settled long ago."""
    any_project.write("models.py", CHAIN)
    age(any_project.folder)
    return any_project


def test_an_unchanged_model_is_not_run_again(chain: Project, serve):
    server = serve(chain.caller)
    first = chain.run(env=server.environment)
    assert first.code == 0, first.err
    assert statuses(first) == {"numbers": "success", "first": "success", "second": "success"}
    again = chain.run(env=server.environment)
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "unneeded", "first": "cached", "second": "cached"}
    assert again.model("second")["output"]["rows"] == 1
    assert again.model("second")["executions"] == 0


def test_no_cache_runs_everything(chain: Project, serve):
    server = serve(chain.caller)
    chain.run(env=server.environment)
    again = chain.run("--no-cache", env=server.environment)
    assert set(statuses(again).values()) == {"success"}


def test_an_engine_of_ones_own_keeps_nothing(chain: Project):
    assert chain.run().code == 0
    assert set(statuses(chain.run()).values()) == {"success"}


def test_a_changed_model_and_what_reads_it_is_run_again(chain: Project, serve):
    server = serve(chain.caller)
    chain.run(env=server.environment)
    chain.write("models.py", CHAIN.replace("return numbers", "return numbers.slice(1)"))
    age(chain.folder)
    again = chain.run(env=server.environment)
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "success", "first": "success", "second": "success"}
    chain.write(
        "models.py", CHAIN.replace("return {", "return {'more': [1], ").replace("numbers\n", "numbers.slice(1)\n")
    )
    age(chain.folder)
    third = chain.run(env=server.environment)
    assert third.code == 0, third.err
    assert statuses(third)["second"] == "success"


def test_a_changed_source_is_never_served_stale(chain: Project, serve):
    path = chain.folder / "data" / "numbers.parquet"
    table = pq.read_table(path)
    plain = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, path, **plain)
    age(chain.folder)
    server = serve(chain.caller)
    chain.run(env=server.environment)
    before = path.stat()
    rows = len(table)
    changed = table.set_column(0, "a", pa.array([value + 1 for value in table["a"].to_pylist()], pa.int64()))
    pq.write_table(changed, path, **plain)
    # As sly as it gets: the same size and the same times.
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(2.1)
    folder = chain.folder / "out"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    again = chain.run("--export", str(folder), env=server.environment)
    assert again.code == 0, again.err
    with pa.OSFile(str(folder / "second.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all().to_pylist() == [{"rows": rows, "last": rows}]


def test_a_model_that_says_none_is_always_run(any_project: Project, serve):
    any_project.write(
        "models.py",
        CHAIN.replace("@zerrow.model()\n    def second", '@zerrow.model(cache_strategy="NONE")\n    def second'),
    )
    age(any_project.folder)
    server = serve(any_project.caller)
    any_project.run(env=server.environment)
    again = any_project.run(env=server.environment)
    assert again.code == 0, again.err
    assert statuses(again) == {"numbers": "unneeded", "first": "cached", "second": "success"}


def test_a_parameter_is_part_of_a_result(any_project: Project, serve):
    any_project.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        parameters:
          shift: {type: int, default: 1}
        sources:
          numbers: data/numbers.parquet
        """,
    )
    any_project.write("models.py", CHAIN.replace("factor=2", 'factor=zerrow.Parameter("shift")'))
    age(any_project.folder)
    server = serve(any_project.caller)
    first = any_project.run(env=server.environment)
    assert first.code == 0, first.err
    other = any_project.run("--param", "shift=5", env=server.environment)
    assert statuses(other)["first"] == "success"
    again = any_project.run("--param", "shift=5", env=server.environment)
    assert statuses(again)["first"] == "cached"


def test_results_give_way_when_memory_is_short(any_project: Project, serve):
    any_project.write(
        "models.py",
        """
    import numpy as np
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def wide(numbers=zerrow.Model("numbers"), first=zerrow.Parameter("first")):
        return pa.table({"n": np.arange(first, first + (16 << 20))})
    """,
    )
    any_project.write(
        "zerrow_project.yml",
        """
        project:
          name: test
        parameters:
          first: {type: int, default: 0}
        sources:
          numbers: data/numbers.parquet
        """,
    )
    age(any_project.folder)
    server = serve(any_project.caller, "--memory", "512MiB", "--evict", "drop")
    for number in range(6):
        result = any_project.run("--param", f"first={number}", env=server.environment)
        assert result.code == 0, result.err
        assert statuses(result)["wide"] == "success"
    # The last one is still there, the first one is not.
    assert statuses(any_project.run("--param", "first=5", env=server.environment))["wide"] == "cached"
    assert statuses(any_project.run("--param", "first=0", env=server.environment))["wide"] == "success"

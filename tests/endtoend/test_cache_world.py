"""What asks the world, or is changed meanwhile, is made anew; the rest is kept."""

import json
import py_compile
from pathlib import Path

import pyarrow as pa
from caching import CHAIN, open_folder, own_folder, statuses
from command import Project, open_to_others, wait_for_line

WORLD = {
    "clock": "time.time_ns()",
    "clock_by_another_name": "tick()",
    "clock_of_a_helper": "stamp()",
    "day": "datetime.now().isoformat()",
    "numpy_now": "str(np.datetime64('now', 'us')) + str(pd.Timestamp('now'))",
    "looked_up": "getattr(importlib.import_module('ti' + 'me'), 'time_ns')()",
    "identifier": "uuid.uuid4().hex",
    "chance": "random.random()",
    "chance_looked_up": "getattr(random, 'rand' + 'om')()",
    "numpy_chance": "np.random.default_rng().random()",
    "sample": "pd.Series(range(10**6)).sample(1).item()",
    "entropy": "secrets.token_hex()",
    "query": "duckdb.sql('select random() as x').fetchall()[0][0]",
}
SAME = {
    "seeded": "np.random.default_rng(7).random()",
    "constant": "'now' + ' datetime.now()'",
    "data": "open('rates.csv').read()",
}


def values(folder: Path) -> dict[str, str]:
    """What the models exported, each in its one row."""
    found = {}
    for path in folder.glob("*.arrows"):
        with pa.OSFile(str(path)) as file:
            found[path.stem] = str(pa.ipc.open_stream(file).read_all()["x"][0].as_py())
    return found


def test_what_asks_the_world_is_made_anew_and_the_rest_is_kept(project: Project, tmp_path: Path):
    head = """
    import datetime as dt, importlib, random, secrets, time, uuid
    from datetime import datetime
    from time import time_ns as tick
    import duckdb, numpy as np, pandas as pd
    import zerrow
    from helping import stamp
"""
    models = "".join(
        f"""
    @zerrow.model()
    def {name}(numbers=zerrow.Model("numbers", columns=["a"])):
        return {{"x": [{code}]}}
"""
        for name, code in {**WORLD, **SAME}.items()
    )
    project.write("models.py", head + models)
    project.write("helping.py", "import time\ndef stamp():\n    return time.time_ns()\n")
    project.write("rates.csv", "1\n")
    project.write("queried.sql", "select uuid() as x from numbers limit 1")
    open_to_others(project.folder)
    options = ("--cache-dir", str(own_folder(project, tmp_path / "cache")), "--format", "arrow", "--export")
    runs = [project.run(*options, str(open_folder(tmp_path / f"out{number}"))) for number in (1, 2)]
    assert [run.code for run in runs] == [0, 0], runs[0].err
    first, second = values(tmp_path / "out1"), values(tmp_path / "out2")
    asking = {*WORLD, "queried"}
    assert {name for name in first if first[name] == second[name]} == set(SAME)
    for number, run in enumerate(runs):
        reports = {model["name"]: model for model in run.report["models"]}
        assert {name: model["because"] for name, model in reports.items() if not model["cached"]}.keys() == asking
        assert {name for name in SAME if reports[name]["status"] != ("success", "cached")[number]} == set()
        assert all((model["because"] is None) == model["cached"] for model in reports.values())
        assert reports["clock"]["because"].startswith("time.time_ns at models.py:")
        assert reports["looked_up"]["because"].startswith("time.time_ns at models.py:")
        assert reports["queried"]["because"] == "uuid() at queried.sql:1"


def test_what_is_made_of_what_asks_the_world_is_made_anew_too(project: Project, tmp_path: Path):
    project.write(
        "models.py",
        """
    import importlib
    import time
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"])):
        return {"x": [getattr(importlib.import_module("ti" + "me"), "time_ns")()]}

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        return first

    @zerrow.model(cache_strategy="DEFAULT")
    def kept(numbers=zerrow.Model("numbers", columns=["a"])):
        return {"x": [time.time_ns()]}
    """,
    )
    options = ("--cache-dir", str(own_folder(project, tmp_path / "cache")), "--format", "arrow", "--export")
    runs = [project.run(*options, str(open_folder(tmp_path / f"out{number}"))) for number in (1, 2)]
    first, second = values(tmp_path / "out1"), values(tmp_path / "out2")
    assert first["second"] != second["second"] and first["kept"] == second["kept"]
    for run in runs:
        assert run.model("second")["because"] == "its input first isn't kept"
        assert run.model("kept")["cached"] is True


def test_a_run_says_what_it_does_not_keep_and_why(chain: Project):
    report = chain.run()
    assert all(model["cached"] and model["because"] is None for model in report.report["models"])
    report = chain.run("--no-cache")
    assert {model["because"] for model in report.report["models"]} == {"the run says --no-cache"}
    chain.write("models.py", CHAIN.replace("return {", "1 / 0; return {"))
    report = chain.run()
    assert report.code == 1
    assert report.model("second")["cached"] is False and report.model("second")["because"] is None


def test_a_compiled_file_of_another_text_is_neither_run_nor_kept(chain: Project, tmp_path: Path):
    path = chain.folder / "models.py"
    text = path.read_text()
    chain.write("models.py", CHAIN.replace("[len(first)]", "[-666]"))
    py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    path.write_text(text)
    open_to_others(chain.folder / "__pycache__")
    out = open_folder(tmp_path / "out")
    assert (
        chain.run(
            "--cache-dir", str(own_folder(chain, tmp_path / "cache")), "--format", "arrow", "--export", str(out)
        ).code
        == 0
    )
    with pa.OSFile(str(out / "second.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all()["rows"].to_pylist() == [1000]


def test_a_file_saved_during_a_run_is_of_the_next_run(project: Project, tmp_path: Path):
    text = """
    import time
    import zerrow
    import rate

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"])):
        print("first is running", flush=True)
        time.sleep(2)
        return {"x": [rate.RATE]}

    @zerrow.model()
    def second(first=zerrow.Model("first")):
        from rate import RATE
        return {"x": [f"{first['x'][0]} {RATE} {'text 1'}"]}
    """
    project.write("models.py", text)
    rate = project.write("rate.py", "RATE = 1\n")
    cache, out = own_folder(project, tmp_path / "cache"), open_folder(tmp_path / "out")
    run = project.start("--cache-dir", str(cache), "--format", "arrow", "--export", str(out), "--rows", "0")
    wait_for_line(run, "first is running")
    project.write("models.py", text.replace("text 1", "text 2"))
    rate.unlink()
    project.write("rate.py", "RATE = 2\n")
    assert run.wait(60) == 0, run.stderr.read()
    assert values(out) == {"second": "1 1 text 1"}
    # And it is kept for when that text comes back.
    assert (
        project.run("--cache-dir", str(cache), "--format", "arrow", "--export", str(out)).model("second")["status"]
        == "success"
    )
    assert values(out) == {"second": "2 2 text 2"}


def test_what_was_written_a_moment_ago_is_kept(project: Project, tmp_path: Path):
    project.write("models.py", CHAIN)
    folder = own_folder(project, tmp_path / "cache")
    project.table("numbers", pa.table({"a": [1, 2]}))
    assert project.run("--cache-dir", str(folder)).code == 0
    assert statuses(project.run("--cache-dir", str(folder))) == {
        "numbers": "unneeded",
        "first": "cached",
        "second": "cached",
    }


def test_a_data_file_changed_during_a_run_keeps_nothing_of_it(project: Project, tmp_path: Path):
    project.write(
        "models.py",
        """
    import time
    import zerrow

    @zerrow.model()
    def first(numbers=zerrow.Model("numbers", columns=["a"])):
        print("first is running", flush=True)
        time.sleep(1)
        return {"x": [open("rates.csv").read()]}
    """,
    )
    project.write("rates.csv", "1\n")
    options = ("--cache-dir", str(own_folder(project, tmp_path / "cache")), "--rows", "0", "--output", "json")
    run = project.start(*options)
    wait_for_line(run, "first is running")
    project.write("rates.csv", "2\n")
    said, notes = run.communicate(timeout=60)
    assert run.returncode == 0, notes
    report = json.loads(said)["models"][-1]
    assert report["cached"] is False and report["because"] == "rates.csv was changed while the run went on"
    assert "rates.csv was changed while the run went on" in notes

"""Scripts that use `bauplan.Client` in the styles that published ones have, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from command import HOME, ZERROW, Project, wait_until

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
SECRET = "hunter-22-hunter"


class Scripts:
    """Runs scripts that lie beside the projects they use."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.folder.parent

    def start(
        self, text: str, python: str = sys.executable, folder: Path | None = None, **variables: str
    ) -> subprocess.Popen:
        """Start a script, with no variables of the tests' own."""
        path = self.folder / "script.py"
        path.write_text(textwrap.dedent(text))
        environment = self.project.environment({"PYTHONPATH": str(HOME / "python"), "ZERROW_COMMAND": str(ZERROW)})
        environment |= {"ZERROW_JOBS": str(self.folder / "jobs"), "PYTHONDONTWRITEBYTECODE": "1", **variables}
        return subprocess.Popen(
            [python, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder or self.folder,
            env=environment,
        )

    def fails(self, text: str, **options) -> tuple[int, str, str]:
        """How a script ends."""
        process = self.start(text, **options)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def __call__(self, text: str, **options) -> object:
        """What a script that succeeds prints, as JSON."""
        code, out, err = self.fails(text, **options)
        assert code == 0, err
        return json.loads(out.strip().splitlines()[-1]) if out.strip() else None


@pytest.fixture
def script(project: Project) -> Scripts:
    project.write("bauplan_project.yml", "project: {id: 00000000-0000-4000-8000-00000000000b, name: shop}\n")
    project.write("zerrow_project.yml", "sources: {numbers: data/numbers.parquet, lake.rides: data/rides.parquet}\n")
    kinds = ["bus", "tram", None]
    rides = {"line": [kinds[i % 3] for i in range(90)], "fare": [i / 4 for i in range(90)], "began": range(90)}
    project.table("rides", pa.table(rides | {"began": pa.array(rides["began"], pa.timestamp("us", "UTC"))}))
    project.write(
        "models.py",
        """
        import bauplan

        @bauplan.model(materialization_strategy="REPLACE")
        def small(data=bauplan.Model("numbers", columns=["a"], filter="a < $most"), most=bauplan.Parameter("most")):
            print(f"most is {most!r}")
            return data

        @bauplan.model(columns=["a"])
        def twice(data=bauplan.Model("small")):
            return data.select(["a"]).append_column("c", data["a"])

        @bauplan.expectation()
        def is_small(data=bauplan.Model("small")):
            return data.num_rows < 500
        """,
    )
    project.write(
        "bauplan_project.yml",
        """
        project: {id: 00000000-0000-4000-8000-00000000000b, name: shop}
        parameters:
          most: {type: int, default: 100}
          rate: {type: float, default: 0.5}
          note: {type: str, default: x}
          flag: {type: bool, default: true}
          token: {type: secret}
        """,
    )
    return Scripts(project)


CI = """
import sys
import bauplan

def main() -> int:
    client = bauplan.Client(profile="ci", api_key="%s", client_timeout=30)
    state = client.run(project_dir="project", ref="main", cache="off", strict="on", dry_run=True, {arguments})
    if str(state.job_status).lower() != "success":
        print(f"{{state.job_id}} failed: {{state.job_status}} - {{state.error}}", file=sys.stderr)
        return 1
    print('"ok"')
    return 0

if __name__ == "__main__":
    sys.exit(main())
""".replace("%s", SECRET)


def test_a_script_of_ci_fails_with_its_run(script: Scripts):
    good = CI.format(arguments="parameters={'most': 10}").replace('strict="on"', 'strict="off"')
    assert script(good, python=SYSTEM_PYTHON) == "ok"
    code, out, err = script.fails(CI.format(arguments="parameters={'most': 10}"), python=SYSTEM_PYTHON)
    assert (code, out) == (1, "")
    assert "FAILED - model 'twice': " in err
    assert "the model declares the columns a, but the result has a, c" in err
    assert SECRET not in err


def test_a_state_says_how_the_run_went(script: Scripts):
    found = script(
        """
        import json, os, pathlib, time, bauplan
        before = time.time()
        state = bauplan.Client().run(pathlib.Path("project"), parameters={"most": 7}, strict=False, dry_run=True)
        after = time.time()
        times = [before, *(m.timestamp() for m in state.tasks_started.values()), after]
        ends = [before, *(m.timestamp() for m in state.tasks_stopped.values()), after]
        assert min(times) == min(ends) == before and max(times) == max(ends) == after
        assert state.tasks_started["small"] < state.tasks_stopped["small"] < state.tasks_stopped["twice"]
        assert state.duration == state.duration_ns / 1e9 > 0
        assert state.ended_at_ns - state.started_at_ns == state.duration_ns
        print(json.dumps({
            "id": bool(state.job_id), "status": state.job_status, "error": state.error,
            "tasks": sorted(state.tasks_stopped),
            "logs": [(event.message, str(event.stream)) for event in state.user_logs if event.model == "small"],
            "ctx": [state.ctx.dry_run, state.ctx.strict, state.ctx.cache, state.ctx.ref, state.ctx.project_dir],
            "same": [state.ctx.strict == "off", state.ctx.strict == False, bool(state.ctx.strict)],
            "snapshot": len(state.ctx.snapshot_id),
        }))
        """,
        python=SYSTEM_PYTHON,
    )
    assert found == {
        "id": True,
        "status": "SUCCESS",
        "error": None,
        "tasks": ["is_small", "numbers", "small", "twice"],
        "logs": [["most is 7", "STDOUT"]],
        "ctx": [True, "off", "", "main", "project"],
        "same": [True, True, False],
        "snapshot": 64,
    }


def test_a_failed_model_raises_nothing(script: Scripts):
    script.project.write(
        "bad.py", "import bauplan\n\n@bauplan.model()\ndef bad(t=bauplan.Model('twice')):\n    return t['no']\n"
    )
    found = script(
        """
        import json, bauplan
        state = bauplan.Client().run("project")
        print(json.dumps([state.job_status, state.error, sorted(state.tasks_started)]))
        """,
        python=SYSTEM_PYTHON,
    )
    assert found[0] == "FAILED"
    assert "bad" in found[1] and "KeyError" in found[1]
    # What was to be published may have been at work already.
    tasks = [name for name in found[2] if not name.startswith("publish ")]
    assert tasks == ["bad", "is_small", "numbers", "small", "twice"]


def test_values_of_parameters_arrive_as_what_they_are(script: Scripts):
    script.project.write(
        "models.py",
        """
        import bauplan

        @bauplan.model()
        def p(t=bauplan.Model("numbers", columns=["a"]), most=bauplan.Parameter("most"), rate=bauplan.Parameter("rate"),
              note=bauplan.Parameter("note"), flag=bauplan.Parameter("flag"), token=bauplan.Parameter("token")):
            print(repr((most, rate, note, flag, token[::-1])))
            return t
        """,
    )
    values = {"most": -5, "rate": 1e-7, "note": "a=b, 'c' \" \\ ü\n2", "flag": False, "token": SECRET}
    (line,) = script(
        f"""
        import json, bauplan
        state = bauplan.Client().run("project", parameters={values!r})
        assert state.job_status == "SUCCESS", state.error
        print(json.dumps([event.message for event in state.user_logs]))
        """,
        python=SYSTEM_PYTHON,
    )
    assert line == repr((*list(values.values())[:-1], SECRET[::-1]))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("parameters={'nope': 1}", "ValueError: zerrow_project.yml: the project has no parameter 'nope'"),
        ("parameters={'most': [1]}", "TypeError: the parameter 'most' is a text, a number or a bool, not list"),
        ("parameters={'rate': float('nan')}", "ValueError: the parameter 'rate' is no finite number"),
        ("cache='yes'", "ValueError: cache must be 'on' or 'off', not 'yes'"),
        ("strict='1'", "ValueError: strict must be 'on' or 'off', not '1'"),
        ("preview='all'", "ValueError: preview must be one of on, off, head, tail, not 'all'"),
        ("priority=11", "ValueError: priority must be between 1 and 10"),
        (
            "ref='dev'",
            "bauplan.exceptions.RefNotFoundError: there is no ref 'dev': zerrow has one branch, 'main', for now",
        ),
        ("ref='main@abc'", "bauplan.exceptions.RefNotFoundError: there is no ref 'main@abc'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(script: Scripts, arguments: str, error: str):
    code, _, err = script.fails(f"import bauplan\nbauplan.Client().run('project', {arguments})\n", python=SYSTEM_PYTHON)
    assert code == 1
    assert f"\n{error}" in err


def test_projects_that_cannot_be_read_raise_an_error_of_jobs(script: Scripts):
    (script.folder / "empty").mkdir()
    both = script.folder / "both"
    both.mkdir()
    (both / "bauplan_project.yml").write_text("project: {}\n")
    (both / "bauplan_project.yaml").write_text("project: {}\n")
    bad = script.folder / "bad"
    bad.mkdir()
    (bad / "bauplan_project.yml").write_text("project: {id: [\n")
    found = script(
        """
        import json, bauplan
        client, said = bauplan.Client(), []
        for name in ("nowhere", "empty", "both", "bad"):
            try:
                client.run(project_dir=name)
            except bauplan.exceptions.BauplanJobError as error:
                said.append(str(error))
        print(json.dumps(said))
        """,
        python=SYSTEM_PYTHON,
    )
    assert len(found) == 4
    assert "nowhere is not a folder" in found[0]
    assert "no bauplan_project.yml was found in empty" in found[1]
    assert "both bauplan_project.yml and bauplan_project.yaml are in both" in found[2]
    assert found[3].startswith("bauplan_project.yml:")


def test_no_list_of_processes_shows_parameters(script: Scripts):
    script.project.write(
        "models.py",
        """
        import time, bauplan

        @bauplan.model()
        def slow(t=bauplan.Model("numbers"), token=bauplan.Parameter("token")):
            print("slow begins")
            time.sleep(600)
        """,
    )
    process = script.start(
        """
        import bauplan, logging, os
        logging.basicConfig(level=logging.DEBUG)
        bauplan.Client().run("project", parameters={"token": os.environ["MY_TOKEN"]}, client_timeout=600)
        """,
        python=SYSTEM_PYTHON,
        MY_TOKEN=SECRET,
    )
    try:
        wait_until(lambda: children(process.pid), seconds=60, what="a run")
        deadline = time.monotonic() + 5
        seen: set[str] = set()
        while time.monotonic() < deadline:
            seen |= command_lines()
            time.sleep(0.05)
        assert any("project" in line for line in seen)
        assert not any(SECRET in line for line in seen)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert SECRET not in err


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(each) for each in task.read_text().split()]
    return found


def command_lines() -> set[str]:
    """The command lines of all processes."""
    lines = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


SLOW = """
import pathlib, time, bauplan

@bauplan.model(cache_strategy="NONE")
def slow(t=bauplan.Model("numbers")):
    print("slow begins", flush=True)
    time.sleep(600)
    return t
"""


@pytest.mark.parametrize("way", ["interrupt", "timeout"])
def test_what_ends_the_wait_stops_the_run(script: Scripts, way: str):
    script.project.write("models.py", SLOW)
    limit = "client_timeout=4" if way == "timeout" else ""
    process = script.start(
        f"""
        import logging, bauplan
        logging.basicConfig(level=logging.DEBUG)
        bauplan.Client().run("project", {limit})
        """,
        python=SYSTEM_PYTHON,
    )
    wait_until(lambda: children(process.pid), seconds=60, what="a run")
    (command,) = children(process.pid)
    if way == "interrupt":
        wait_until(lambda: zygotes(command), seconds=60, what="a worker")
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    message = "BauplanJobError: the run took longer than 4 s, and was stopped" if limit else "KeyboardInterrupt"
    assert message in err
    assert not os.path.exists(f"/proc/{command}")


def zygotes(pid: int) -> list[int]:
    return [grandchild for child in children(pid) for grandchild in children(child)]


DASHBOARD = """
import json, os, pathlib, bauplan

TABLE = "lake.rides"

def query_as_dataframe(client: bauplan.Client, sql: str):
    try:
        return client.query(query=sql, ref="main")
    except bauplan.exceptions.BauplanError as e:
        print(f"Query error: {e}")
        return None

client = bauplan.Client()
sql = f"SELECT line, count(*) AS n, avg(fare) AS mean FROM {TABLE} GROUP BY line ORDER BY 1"
table = query_as_dataframe(client, sql)
# The file that the rows came in is gone, and they are still there.
assert not [name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("zerrow-query-")]
assert query_as_dataframe(client, "SELECT nope FROM lake.rides") is None
print(json.dumps(table.to_pylist()))
"""


def rides(script: Scripts) -> str:
    return f"'{script.project.folder / 'data' / 'rides.parquet'}'"


@pytest.mark.parametrize("way", ["folder", "folder below", "variable"])
def test_a_dashboard_queries_the_project_it_lies_in(script: Scripts, way: str, tmp_path: Path):
    below = script.project.folder / "app"
    below.mkdir()
    (tmp_path / "tmp").mkdir()
    folder = {"folder": script.project.folder, "folder below": below}.get(way)
    more = {"ZERROW_PROJECT": str(script.project.folder)} if way == "variable" else {}
    found = script(DASHBOARD, folder=folder, TMPDIR=str(tmp_path / "tmp"), **more)
    sql = f"SELECT line, count(*) AS n, avg(fare) AS mean FROM {rides(script)} GROUP BY line ORDER BY 1"
    assert found == duckdb.sql(sql).to_arrow_table().to_pylist()


def test_a_query_without_a_project_says_what_to_do(script: Scripts):
    code, _, err = script.fails("import bauplan\nbauplan.Client().query('select 1 from numbers')\n")
    assert code == 1
    assert "bauplan.exceptions.BauplanError: whose tables are meant? Name a project's folder in ZERROW_PROJECT" in err


def test_queries_come_as_rows_and_as_files(script: Scripts):
    sql = "SELECT line, fare, began FROM rides WHERE fare >= 10 ORDER BY fare"
    script(
        f"""
        import itertools, json, pathlib, bauplan
        client = bauplan.Client()
        assert client.run("project", dry_run=True, parameters={{"most": 3}}).job_status == "SUCCESS"
        sql = {sql!r}
        options = dict(ref=client.get_branch("main"), namespace="lake", max_rows=7, cache="off")
        rows = list(client.query_to_generator(sql, **options))
        assert rows == client.query(sql, **options).to_pylist() and len(rows) == 7
        assert next(client.query_to_generator(sql, namespace="lake")) == rows[0]
        assert client.query(sql, namespace="lake", max_rows=0).num_rows == 0
        for path in (client.query_to_csv_file("out.csv", sql, **options),
                     client.query_to_json_file("out.json", sql, **options),
                     client.query_to_json_file(path="out.jsonl", query=sql, file_format="jsonl", **options),
                     client.query_to_parquet_file(pathlib.Path("out.parquet"), sql, **options)):
            assert isinstance(path, pathlib.Path) and path.exists()
        """
    )
    expected = duckdb.sql(f"{sql.replace('rides', rides(script))} LIMIT 7").to_arrow_table()
    folder = script.folder
    assert pq.read_table(folder / "out.parquet").to_pylist() == expected.to_pylist()
    plain = [{**row, "began": row["began"].isoformat()} for row in expected.to_pylist()]
    assert json.loads((folder / "out.json").read_text()) == plain
    assert [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()] == plain
    assert duckdb.sql(f"select line, fare from '{folder / 'out.csv'}'").fetchall() == [
        (row["line"], row["fare"]) for row in expected.to_pylist()
    ]


def test_files_have_what_their_formats_have_no_way_to_say(script: Scripts):
    import datetime
    import decimal

    table = pa.table(
        {
            "list": [[1, 2], None],
            "struct": [{"a": "ü", "b": None}, {"a": "x", "b": 1}],
            "decimal": [decimal.Decimal("1.50"), None],
            "day": [datetime.date(2024, 1, 2), None],
            "bytes": [b"\x00\xff", b""],
            "word": pa.array(["a", 'say "so", once'], pa.string()).dictionary_encode(),
            "nothing": [float("nan"), 1.5],
        }
    )
    script.project.table("odd", table)
    script.project.write("zerrow_project.yml", "sources: {odd: data/odd.parquet}\n")
    script.project.write("models.py", "")
    script(
        """
        import bauplan
        client = bauplan.Client()
        client.query_to_json_file("out.json", "select * from odd", "json")
        client.query_to_csv_file("out.csv", "select * from odd")
        client.query_to_json_file("none.json", "select * from odd where nothing = 7")
        client.query_to_csv_file("none.csv", "select word from odd where nothing = 7")
        """,
        folder=script.project.folder,
    )
    folder = script.project.folder
    assert json.loads((folder / "out.json").read_text()) == [
        {
            "list": [1, 2], "struct": {"a": "ü", "b": None}, "decimal": "1.50", "day": "2024-01-02", "bytes": "00ff",
            "word": "a", "nothing": None,
        },
        {
            "list": None, "struct": {"a": "x", "b": 1}, "decimal": None, "day": None, "bytes": "",
            "word": 'say "so", once', "nothing": 1.5,
        },
    ]  # fmt: skip
    read = pa.csv.read_csv(folder / "out.csv").to_pylist()
    assert json.loads(read[0]["struct"]) == {"a": "ü", "b": None} and read[1]["word"] == 'say "so", once'
    assert json.loads((folder / "none.json").read_text()) == []
    assert (folder / "none.csv").read_text().strip() == '"word"'


def test_scans_take_columns_rows_and_names_as_they_are(script: Scripts):
    names = ["a b", "Order", 'say "x"']
    script.project.table("odd", pa.table({name: [1, 2, 3] for name in names}))
    script.project.write("zerrow_project.yml", "sources: {odd: data/odd.parquet, lake.rides: data/rides.parquet}\n")
    script.project.write("models.py", "")
    found = script(
        f"""
        import json, bauplan
        client = bauplan.Client()
        odd = client.scan("odd", columns={names[:2]!r}, filters='"a b" > 1 -- not'.split(" --")[0], limit=1)
        whole = client.scan(table="odd", ref="main")
        condition = "line = 'bus' AND fare BETWEEN 1 AND 9"
        fares = client.scan(table="rides", namespace="lake", columns=["fare"], filters=condition)
        same = client.scan("lake.rides", "main", ["fare"], "line in ('bus', 'b)us') and (fare >= 1 and not fare > 9)")
        assert fares == same
        print(json.dumps([odd.to_pylist(), whole.column_names, sorted(fares["fare"].to_pylist())]))
        """,
        folder=script.project.folder,
    )
    expected = duckdb.sql(f"select fare from {rides(script)} where line = 'bus' and fare between 1 and 9 order by 1")
    # Without an order, any of the rows is the first.
    assert found[0] in ([{"a b": 2, "Order": 2}], [{"a b": 3, "Order": 3}])
    assert found[1:] == [names, [row[0] for row in expected.fetchall()]]


FILTERS = [
    "", " ", ";", "DROP TABLE rides", "1; DROP TABLE rides", "SELECT * FROM rides",
    "fare = 1 UNION SELECT * FROM rides",
    "(((((", "))))", "fare =", "= 1", "fare = 1 AND", "fare IN", "NOT", "1 = 1; SELECT 1", "\0", "fare = '", 'fare = "',
    "fare = 1) or (1 = 1", "fare = 1 --", "fare = 1 /* x",
]  # fmt: skip


def test_filters_that_are_no_conditions_are_errors_of_values(script: Scripts):
    found = script(
        f"""
        import json, bauplan
        client, passed = bauplan.Client(), []
        for text in {FILTERS!r}:
            try:
                client.scan("rides", namespace="lake", columns=["fare"], filters=text, limit=1)
                passed.append(text)
            except ValueError as error:
                assert isinstance(error, bauplan.exceptions.BauplanQueryError), error
        for wrong in (dict(columns=[]), dict(limit=-1), dict(limit="1"), dict(ref="dev")):
            try:
                client.scan("lake.rides", **wrong)
                passed.append(wrong)
            except (ValueError, bauplan.exceptions.RefNotFoundError):
                pass
        print(json.dumps(passed))
        """,
        folder=script.project.folder,
    )
    assert found == []


def test_a_query_that_takes_too_long_is_stopped(script: Scripts):
    script.project.write("models.py", SLOW)
    code, _, err = script.fails(
        "import bauplan\nbauplan.Client().query('select * from slow', client_timeout=4)\n", folder=script.project.folder
    )
    assert code == 1 and "BauplanQueryError: the query took longer than 4 s, and was stopped" in err


def test_threads_may_share_a_client(script: Scripts):
    found = script(
        """
        import json, bauplan
        from concurrent.futures import ThreadPoolExecutor
        client = bauplan.Client()
        def count(most):
            return client.query(f"select count(*) as n from numbers where a < {most}")["n"][0].as_py()
        with ThreadPoolExecutor(3) as pool:
            print(json.dumps(list(pool.map(count, [1, 20, 300]))))
        """,
        folder=script.project.folder,
    )
    assert found == [1, 20, 300]


JOBS = """
import datetime, json, time
import bauplan
from bauplan.schema import JobState

client = bauplan.Client()
begin = datetime.datetime.now(datetime.timezone.utc)
good = client.run("project", parameters={"most": 9}, strict="off")
bad = client.run("project", strict="on", cache="off")
job = client.get_job(good.job_id)
assert job.id == good.job_id and job.status == bauplan.JobState.COMPLETE == "complete", job
assert job.kind == bauplan.JobKind.RUN and job.kind_type == "Run" and job.human_readable_status == "Complete"
assert begin < job.created_at <= job.finished_at
assert client.get_job(bad.job_id).status_type is JobState.FAIL
assert [each.id for each in client.get_jobs(limit=2)] == [bad.job_id, good.job_id]
assert [each.id for each in client.get_jobs(filter_by_statuses=["fail"])] == [bad.job_id]
assert [each.id for each in client.get_jobs(filter_by_ids=job, filter_by_kinds=bauplan.JobKind.RUN)] == [job.id]
assert list(client.get_jobs(filter_by_kinds="query", all_users=True)) == []
assert list(client.get_jobs(filter_by_created_after=datetime.datetime.now(datetime.timezone.utc))) == []
assert len(list(client.get_jobs(filter_by_created_before=datetime.datetime.now(), filter_by_created_after=begin))) == 2
assert list(client.get_jobs(filter_by_users="nobody-else")) == []
assert [event.message for event in client.get_job_logs(job) if event.model == "small"] == ["most is 9"]
context = client.get_job_context(job, include_logs=True, include_snapshot=True)
assert (context.id, context.ref, context.project_name) == (job.id, "main", "shop")
assert {"models.py", "bauplan_project.yml"} <= context.snapshot_dict.keys() and len(context.logs) == 2
nodes, edges = context.dag_nodes, context.dag_edges
assert {node.name for node in nodes} >= {"small", "twice", "is_small"}
found = {(edge.source_model, edge.destination_model) for edge in edges}
assert {("small", "twice"), ("small", "is_small")} <= found, found
assert [each.id for each in client.get_job_contexts([good.job_id, bad.job_id])] == [good.job_id, bad.job_id]
for call in (client.get_job, client.get_job_logs, client.get_job_context, client.cancel_job):
    try:
        call("ffffffffffff")
        raise SystemExit("there is no such job")
    except bauplan.exceptions.BauplanError as error:
        assert "ffffffffffff" in str(error)
try:
    client.get_jobs(filter_by_statuses="done")
    raise SystemExit("no such status")
except ValueError:
    pass
print('"ok"')
"""


def test_a_script_looks_at_jobs(script: Scripts):
    assert script(JOBS, python=SYSTEM_PYTHON) == "ok"


def test_a_detached_run_goes_on_by_itself_and_is_stopped(script: Scripts):
    script.project.write("models.py", SLOW.replace("slow begins", "begun"))
    found = script(
        """
        import json, time, bauplan
        client = bauplan.Client()
        state = client.run("project", detach=True)
        assert state.job_status is None and state.ended_at_ns is None and state.duration is None and state.ctx.detach
        while not client.get_job_logs(state.job_id):
            time.sleep(0.2)
        said = [event.message for event in client.get_job_logs(state.job_id)]
        running = client.get_job(state.job_id).status
        client.cancel_job(state.job_id)
        client.cancel_job(state.job_id)
        print(json.dumps([said, str(running), str(client.get_job(state.job_id).status)]))
        """,
        python=SYSTEM_PYTHON,
    )
    assert found == [["begun"], "Running", "Abort"]


def test_who_calls_is_known(script: Scripts):
    import getpass

    found = script(
        """
        import json, bauplan
        info = bauplan.Client(api_key="k").info()
        print(json.dumps([info.user.username, info.organization, len(info.runners), info.client_version]))
        """,
        python=SYSTEM_PYTHON,
    )
    assert found[:3] == [getpass.getuser(), None, 1] and found[3]


WRITE_AUDIT_PUBLISH = """
import json
import bauplan
from bauplan.exceptions import BauplanError, BranchExistsError, CreateBranchForbiddenError, RefNotFoundError

client = bauplan.Client()
said = []

def refused(error, call, *args, **named):
    try:
        call(*args, **named)
    except error as raised:
        said.append(str(raised))
        return raised
    raise SystemExit(f"{call} was not refused")

branch = "me.audit"
assert not client.has_branch(branch) and client.has_branch("main")
assert [str(each.name) for each in client.get_branches(limit=5)] == ["main"]
main = client.get_branch("main")
assert main.type == bauplan.RefType.BRANCH and str(main) == f"{main.name}@{main.hash}"
assert client.has_branch(main) and client.create_branch("main", from_ref="main", if_not_exists=True) == main
assert client.delete_branch(branch, if_exists=True) is False
assert client.has_tag("v1") is False and list(client.get_tags()) == []
error = refused(CreateBranchForbiddenError, client.create_branch, branch, from_ref=main)
assert error.code == 403 and error.kind.branch_name == branch and isinstance(error, bauplan.exceptions.BauplanHTTPError)
refused(BranchExistsError, client.create_branch, "main", "main")
refused(BauplanError, client.merge_branch, source_ref=branch, into_branch="main")
refused(bauplan.exceptions.BranchNotFound, client.delete_branch, branch)
refused(BauplanError, client.rename_branch, "main", "other")
refused(BauplanError, client.create_tag, "v1", "main")
refused(bauplan.exceptions.TagNotFoundError, client.get_tag, "v1")
refused(BauplanError, client.delete_tag, "v1")
refused(BauplanError, client.get_commits, "main", limit=1)
refused(BauplanError, client.revert_table, table="t", source_ref="main", into_branch="main")
for call in (client.create_table, client.import_data, client.plan_table_creation):
    refused(BauplanError, call, table="t", search_uri="s3://bucket/*.parquet", branch="main", namespace="lake")
refused(BauplanError, client.apply_table_creation_plan, plan="x")
refused(BauplanError, client.create_external_table_from_parquet, table="t", search_patterns=["s3://b/*"], branch="main")
refused(BauplanError, client.create_external_table_from_metadata, "t", "s3://m.json", namespace="n", branch="main")
for call in (client.query, client.query_to_generator, client.run):
    refused(RefNotFoundError, call, "select 1 from numbers", ref=branch)
print(json.dumps(said))
"""


def test_what_needs_branches_says_so(script: Scripts):
    said = script(WRITE_AUDIT_PUBLISH, python=SYSTEM_PYTHON, folder=script.project.folder)
    needs = "zerrow has one branch, 'main', for now", "already", "history of tables", "catalog of files"
    assert all(any(each in text for each in needs) for text in said), said


def test_a_model_is_told_why_it_has_no_client(script: Scripts):
    script.project.write(
        "utils.py",
        """
        import bauplan

        def load(client: bauplan.Client | None = None) -> bauplan.Client:
            return client or bauplan.Client()
        """,
    )
    script.project.write(
        "models.py",
        """
        import bauplan
        from utils import load

        def other(client: bauplan.Client) -> bauplan.Client:
            return client

        @bauplan.model()
        def m(t=bauplan.Model("numbers")):
            import sys
            assert load(client=1) == other(1) == 1
            try:
                load()
            except bauplan.exceptions.BauplanError as error:
                print("refused", error)
            return t
        """,
    )
    result = script.project.run()
    assert result.code == 0, result.err
    assert "refused a model can't use bauplan.Client: it runs isolated" in result.err


@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_scripts_run_with_other_pythons(script: Scripts, version: str):
    python = next(iter(sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))), None)
    python = python or shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"there is no Python {version}")
    text = "import bauplan\nassert bauplan.Client().run('project').job_status == 'SUCCESS'\nprint(1)\n"
    assert script(text, python=str(python)) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/nonexistent/zerrow", "ZERROW_COMMAND names '/nonexistent/zerrow', which is no program"),
        ("/bin/false", "code 1"),
    ],
)
def test_a_command_that_is_not_there_is_said(script: Scripts, command: str, message: str):
    code, _, err = script.fails("import bauplan\nbauplan.Client().info()\n", ZERROW_COMMAND=command)
    assert code == 1 and "bauplan.exceptions.BauplanError" in err and message in err


TABLES = """
import json, os, bauplan
from bauplan.exceptions import NamespaceNotFoundError, NamespaceUnresolvedError, TableNotFoundError

client = bauplan.Client()
assert not client.has_table("small", "main") and client.has_table(table="rides", ref="main", namespace="lake")
state = client.run(".", parameters={"most": 30})
assert state.job_status == "SUCCESS", state.error
tables = {table.fqn: table for table in client.get_tables(ref="main")}
assert {"bauplan.small", "bauplan.numbers", "lake.rides"} <= tables.keys(), tables
assert [table.name for table in client.get_tables("main", filter_by_namespace="lake", limit=4)] == ["rides"]
assert [table.name for table in client.get_tables(filter_by_name="small")] == ["small"]
small = client.get_table("small", ref=client.get_branch("main"))
assert (small.records, small.is_managed(), small.is_external(), small.namespace) == (30, True, False, "bauplan")
assert [(field.name, field.type) for field in small.fields] == [("a", "long")], small.fields
assert small.size > 0 and small.last_updated_at is not None and small.id == client.get_table(small).id
rides = client.get_table("lake.rides", "main")
assert [(field.name, field.type) for field in rides.fields] == [
    ("line", "string"), ("fare", "double"), ("began", "timestamptz")
]
assert rides.is_external() and rides.records == 90
for error, call in (
    (TableNotFoundError, lambda: client.get_table("nothing", "main")),
    (TableNotFoundError, lambda: client.delete_table("nothing", "main")),
    (NamespaceNotFoundError, lambda: client.get_table("rides", "main", namespace="nowhere")),
    (NamespaceUnresolvedError, lambda: client.get_table("lake.rides", "main", namespace="bauplan")),
    (NamespaceNotFoundError, lambda: client.get_namespace("nowhere", "main")),
    (bauplan.exceptions.DeleteTableForbiddenError, lambda: client.delete_table("lake.rides", "main")),
    (bauplan.exceptions.BranchNotFoundError, lambda: client.delete_table("small", "dev")),
    (bauplan.exceptions.NamespaceExistsError, lambda: client.create_namespace("lake", "main")),
    (bauplan.exceptions.BauplanError, lambda: client.create_namespace("new", "main")),
    (bauplan.exceptions.BauplanError, lambda: client.delete_namespace("lake", "main")),
):
    try:
        call()
        raise SystemExit(f"no {error}")
    except error as raised:
        assert raised.code in (403, 404, 409) and raised.type.isupper() and raised.message
try:
    client.get_table("nothing", "main")
except bauplan.exceptions.TableNotFound as error:
    assert isinstance(error.kind, bauplan.exceptions.ApiErrorKind.TableNotFound)
    assert (error.kind.table_name, error.kind.catalog_ref.name) == ("nothing", "main")
assert {each.name for each in client.get_namespaces(ref="main")} == {"bauplan", "lake"}
assert client.has_namespace("lake", "main") and not client.has_namespace(namespace="nowhere", ref="main")
assert client.create_namespace("lake", "main", if_not_exists=True).name == "lake"
assert client.query("select count(*) as n from small", cache="off")["n"].to_pylist() == [30]
assert client.delete_table("small", "main").name == "main"
assert not client.has_table("small", "main")
assert client.delete_table("small", branch="main", if_exists=True).type == bauplan.RefType.BRANCH
print('"ok"')
"""


def test_a_script_looks_at_tables(script: Scripts):
    assert script(TABLES, folder=script.project.folder) == "ok"

"""Scripts that ask `bauplan.Client` for jobs and tables, or for what needs branches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from client_scripts import SLOW, SYSTEM_PYTHON, Scripts

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

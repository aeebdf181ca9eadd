"""Tables are published all together or not at all, whatever happens."""

from __future__ import annotations

import json
import os
import signal

import pyarrow as pa
import pytest
from catalog import call, data_files, details, listed, published, queried, state_files, warehouse
from command import Project, wait_for_line, wait_until
from materializing import MODEL, PARAMETERS, fail, succeed


def test_a_failed_run_publishes_nothing(project: Project):
    project.write(
        "models.py",
        """
        import time
        import zerrow

        @zerrow.model(materialization_strategy="REPLACE")
        def good(numbers=zerrow.Model("numbers")):
            return numbers

        @zerrow.model(materialization_strategy="REPLACE")
        def bad(good=zerrow.Model("good")):
            time.sleep(1)
            raise ValueError("no")
        """,
    )
    done = project.run()
    assert done.code == 1
    assert done.report["published"] == []
    assert listed(project) == []
    assert data_files(project) == set()


@pytest.mark.parametrize("strict", [True, False])
def test_a_strict_expectation_that_is_not_met_keeps_tables_back(project: Project, strict: bool):
    project.write(
        "models.py",
        """
        import bauplan

        @bauplan.model(materialization_strategy="REPLACE")
        def out(numbers=bauplan.Model("numbers")):
            return numbers

        @bauplan.expectation()
        def small(out=bauplan.Model("out")):
            return out.num_rows < 10
        """,
    )
    done = project.run(*(["--strict"] if strict else []))
    assert done.code == (1 if strict else 0)
    assert len(listed(project)) == (0 if strict else 1)


def test_a_dry_run_publishes_nothing(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    report = succeed(parametrised, "--dry-run")
    assert report["published"] == []
    assert [model["name"] for model in report["models"]] == ["numbers", "out"]
    assert not warehouse(parametrised).exists()


def test_without_a_transaction_tables_are_published_although_others_fail_later(project: Project):
    project.write(
        "models.py",
        """
        import time
        import zerrow

        @zerrow.model(materialization_strategy="REPLACE")
        def good(numbers=zerrow.Model("numbers")):
            return numbers

        @zerrow.model(materialization_strategy="REPLACE")
        def doubtful(numbers=zerrow.Model("numbers")):
            return numbers

        @zerrow.expectation()
        def never(doubtful=zerrow.Model("doubtful")):
            return False

        @zerrow.model()
        def bad(good=zerrow.Model("good")):
            time.sleep(2)
            raise ValueError("no")
        """,
    )
    done = project.run("--no-transaction", "--keep-going")
    assert done.code == 1
    assert [each["table"] for each in done.report["published"]] == ["bauplan.good"]
    assert [each["name"] for each in listed(project)] == ["good"]


def test_tables_are_removed_by_name(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    succeed(parametrised)
    done = call(parametrised, "table", "rm", "nothing", "-p", str(parametrised.folder))
    assert done.returncode == 1
    assert "there is no table 'bauplan.nothing'" in done.stderr
    done = call(parametrised, "table", "rm", "numbers", "-p", str(parametrised.folder))
    assert done.returncode == 1
    assert "is a source of the project" in done.stderr
    done = call(parametrised, "table", "rm", "out", "-p", str(parametrised.folder))
    assert (done.returncode, done.stdout) == (0, "removed bauplan.out\n")
    assert listed(parametrised) == []
    assert data_files(parametrised) == set()


def test_unknown_tables_are_answered_with_those_that_there_are(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    succeed(parametrised, "-n", "shop")
    done = call(parametrised, "query", "-p", str(parametrised.folder), "select * from shop.oud")
    assert done.returncode == 1
    assert "no table of the catalog" in done.stderr
    assert "shop.out" in done.stderr


@pytest.mark.parametrize(
    ("decorator", "text"),
    [
        ("materialization_strategy='OVERWRITE_PARTITIONS'", "nothing says what they are"),
        ("materialization_strategy='OVERWRITE_PARTITIONS', overwrite_filter='a = 1'", "nothing says what they are"),
        ("materialization_strategy='REPLACE', partitioned_by='WEEK(a)'", "no way to partition"),
        ("materialization_strategy='REPLACE', partitioned_by=['a', 'a']", "partitions twice"),
    ]
    + [
        (f"materialization_strategy='OVERWRITE_PARTITIONS', partitioned_by='a', overwrite_filter={text!r}", problem)
        for text, problem in [
            ("b = 1", "'b' is no partition column"),
            ("abs(a) = 1", "no partition column"),
            ("a BETWEEN 1 AND 2", "can't use"),
            ("a = b", "no literal"),
            ("a = 1 OR", "no SQL"),
            ("a LIKE 'x'", "can't use"),
            ("a IN (SELECT 1)", "can't use"),
            ("a = 1) OR (a = 2", "no single condition"),
            ("a = $nope", "no parameter 'nope'"),
            ("a IS NULL", "can't use"),
        ]
    ],
)
def test_mistakes_are_told_with_file_and_line_before_anything_runs(project: Project, decorator: str, text: str):
    project.write(
        "models.py",
        f"""
        import zerrow

        @zerrow.model({decorator})
        def out(numbers=zerrow.Model("numbers")):
            return numbers
        """,
    )
    done = project.run()
    assert done.code == 1
    assert done.report["models"] == []
    assert text in done.err, done.err
    assert "models.py:3" in done.err


def test_a_model_that_reads_the_table_it_is_published_as_is_a_cycle(project: Project):
    project.write(
        "out.sql", "-- bauplan: materialization_strategy = APPEND\nselect a from numbers union all select a from out"
    )
    done = project.run()
    assert done.code == 1
    assert "cycle" in done.err


def test_a_source_that_is_named_like_a_table_of_the_catalog_is_what_is_read(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    succeed(parametrised)
    os.remove(parametrised.folder / "models.py")
    source = f"out={parametrised.folder}/data/numbers.parquet"
    text = queried(parametrised, "select count(*) n from out", "--source", source)
    assert "1000" in text


def test_an_ordinary_user_publishes_where_a_variable_says(any_project: Project):
    place = any_project.folder.parent / "place"
    place.mkdir(mode=0o755)
    os.chown(place, any_project.caller.uid, -1)
    any_project.write("out.sql", "-- bauplan: materialization_strategy = APPEND\nselect a from numbers where a < 3")
    env = {"ZERROW_WAREHOUSE": str(place / "house")}
    for _ in range(2):
        succeed(any_project, env=env)
    done = call(any_project, "table", "get", "out", "-p", str(any_project.folder), "-O", "json", env=env)
    table = json.loads(done.stdout)["tables"][0]
    assert table["rows"] == 6
    assert all(os.stat(path).st_uid == any_project.caller.uid for path in table["paths"])
    done = call(any_project, "query", "-p", str(any_project.folder), "select count(*) from bauplan.out", env=env)
    assert done.returncode == 0


def test_a_folder_that_others_can_write_to_is_refused(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    warehouse(parametrised).mkdir(parents=True)
    warehouse(parametrised).chmod(0o777)
    assert "others may write to it" in fail_anyhow(parametrised)


def test_a_folder_with_other_things_in_it_is_no_warehouse(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    parametrised.write("zerrow_project.yml", PARAMETERS + "    catalog: data\n")
    message = fail_anyhow(parametrised)
    assert "is no warehouse" in message
    assert sorted(os.listdir(parametrised.folder / "data")) == ["numbers.parquet"]


def fail_anyhow(project: Project) -> str:
    done = project.run()
    assert done.code == 1
    return done.err


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format":2}', "\0" * 100, "[" * 100000, '{"format":1,"version":-1,"tables":{},"retired":[]}']
    + [
        json.dumps(
            {
                "format": 1,
                "version": 1,
                "retired": [],
                "tables": {
                    "bauplan.x": {
                        "fields": [], "partitions": [], "version": 1, "updated_at_ns": 0,
                        "files": [{"path": path, "rows": rows, "bytes": 1, "partition": [], "bounds": []}],
                    }
                },
            }
        )
        for path, rows in [("../../x.parquet", 1), ("a/b/c.parquet", -1), ("a/../c.parquet", 1), ("/a/b/c.parquet", 1)]
    ],
)  # fmt: skip
def test_a_damaged_state_is_said_and_left_as_it_is(parametrised: Project, content: str):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    succeed(parametrised)
    state = warehouse(parametrised) / "catalog.json"
    state.write_text(content)
    message = fail_anyhow(parametrised)
    assert "catalog.json is damaged" in message
    done = call(parametrised, "table", "ls", "-p", str(parametrised.folder))
    assert done.returncode == 1
    assert "catalog.json" in done.stderr
    assert state.read_text() == content


def test_models_see_nothing_of_the_warehouse(parametrised: Project):
    parametrised.write(
        "models.py",
        MODEL.format(strategy="REPLACE").replace(
            "return numbers", "import os; assert not os.path.exists('.zerrow/warehouse/catalog.json'); return numbers"
        ),
    )
    succeed(parametrised)
    succeed(parametrised, "--param", "limit=3")


def test_kept_results_are_published_again(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    cache = str(parametrised.folder.parent / "cache")
    succeed(parametrised, "--cache-dir", cache)
    report = succeed(parametrised, "--cache-dir", cache)
    assert {model["name"]: model["status"] for model in report["models"]}["out"] == "cached"
    assert details(parametrised, "out")["rows"] == 20


def test_a_served_engine_publishes_like_one_of_its_own(parametrised: Project, serve):
    server = serve(parametrised.caller)
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    for limit in (1, 2):
        report = succeed(parametrised, "--param", f"limit={limit}", env=server.environment)
        assert report["published"][0]["rows"] == limit
    succeed(parametrised, "--param", "limit=3")
    assert details(parametrised, "out")["rows"] == 6
    assert server.stop() == 0


def test_replaced_files_are_gone_unless_somebody_reads_them(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    for limit in (1, 2, 3):
        succeed(parametrised, "--param", f"limit={limit}")
    assert data_files(parametrised) == state_files(parametrised)


@pytest.mark.parametrize("point", ["commit", "committing"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_while_it_publishes_leaves_all_or_nothing(parametrised: Project, point: str, how: int):
    parametrised.write(
        "models.py",
        MODEL.format(strategy="REPLACE") + MODEL.format(strategy="APPEND").replace("def out", "def other"),
    )
    succeed(parametrised)
    hold = parametrised.folder.parent / "hold"
    hold.mkdir()
    (hold / point).touch()
    run = parametrised.start("--param", "limit=20", env={"ZERROW_HOLD": str(hold)})
    wait_until((hold / f"{point}.held").exists, 120, "a commit")
    run.send_signal(how)
    if how == signal.SIGINT:
        wait_for_line(run, "interrupted")
        (hold / f"{point}.held").unlink()
        assert run.wait(60) == 1
    else:
        run.wait(60)
    assert [(each["name"], each["rows"]) for each in listed(parametrised)] == [("other", 10), ("out", 10)]
    # The next run finds nothing in its way, and nothing is left of the other.
    succeed(parametrised, "--param", "limit=5")
    assert [(each["name"], each["rows"]) for each in listed(parametrised)] == [("other", 15), ("out", 5)]
    assert data_files(parametrised) == state_files(parametrised)


def test_ctrl_c_while_files_are_written_publishes_nothing(parametrised: Project):
    parametrised.write(
        "models.py",
        MODEL.format(strategy="REPLACE")
        + """
    import time

    @zerrow.model(materialization_strategy="REPLACE")
    def slow(out=zerrow.Model("out")):
        print("sleeping", flush=True)
        time.sleep(600)
        return out
""",
    )
    run = parametrised.start()
    wait_for_line(run, "sleeping")
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 1
    assert listed(parametrised) == []
    assert data_files(parametrised) == set()


def test_runs_that_append_at_once_lose_nothing(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    runs = [parametrised.start("--param", f"limit={limit}") for limit in (1, 2, 3, 4)]
    for run in runs:
        _, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
    assert details(parametrised, "out")["rows"] == 10
    assert details(parametrised, "out")["files"] == 4


def test_a_run_reads_the_files_of_the_moment_it_was_planned_at(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    succeed(parametrised)
    reader = Project(parametrised.folder.parent / "reader")
    reader.folder.mkdir()
    reader.write(
        "zerrow_project.yml",
        f"""
        catalog: {warehouse(parametrised)}
        sources: {{n: {parametrised.folder}/data/numbers.parquet}}
        """,
    )
    # The longer chain comes first, and its first result is held.
    reader.write("one.sql", "select a from n")
    reader.write("two.sql", "select a from one")
    reader.write("rows.sql", "select a from out")
    hold = reader.folder.parent / "hold"
    hold.mkdir()
    (hold / "descriptor").touch()
    run = reader.start("--output", "json", "--jobs", "1", env={"ZERROW_HOLD": str(hold)})
    wait_until((hold / "descriptor.held").exists, 120, "a result")
    for limit in (2, 3):
        succeed(parametrised, "--param", f"limit={limit}")
    assert data_files(parametrised) != state_files(parametrised)
    (hold / "descriptor.held").unlink()
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    report = json.loads(out)
    assert next(each for each in report["models"] if each["name"] == "rows")["output"]["rows"] == 10
    succeed(parametrised)
    assert data_files(parametrised) == state_files(parametrised)


def test_many_partitions_and_odd_values(project: Project):
    project.write(
        "models.py",
        """
        import pyarrow as pa
        import zerrow

        @zerrow.model(materialization_strategy="OVERWRITE_PARTITIONS", partitioned_by=["k", "TRUNCATE(10, n)"])
        def out(numbers=zerrow.Model("numbers")):
            odd = ["", "..", "a/b", "é", "'", "x" * 900, None, "%2F", "a b"]
            return pa.table({"k": [odd[i % 9] for i in range(3000)], "n": [i % 30 - 15 for i in range(3000)]})
        """,
    )
    succeed(project)
    table = published(project, "out")
    # 3000 rows go round in 90 combinations of 9 and 30; truncated to tens there are 4 of the numbers: -20, -10, 0, 10.
    expected = {(k, n // 10) for k, n in zip(table["k"].to_pylist(), table["n"].to_pylist(), strict=True)}
    assert details(project, "out")["files"] == len(expected)
    assert table.num_rows == 3000
    succeed(project)
    assert details(project, "out")["rows"] == 3000


def test_too_many_partitions_are_an_error(project: Project):
    project.table("numbers", pa.table({"a": range(5000)}))
    project.write(
        "out.sql",
        "-- bauplan: materialization_strategy = APPEND\n-- bauplan: partitioned_by = a\nselect a from numbers",
    )
    message = fail(project)
    assert "5000 partitions" in message
    assert data_files(project) == set()

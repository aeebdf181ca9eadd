"""Projects written for Bauplan, in both generations of its API, run as they are."""

from __future__ import annotations

import json
import subprocess

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from command import Project

SECRET = "hunter-22-hunter"


@pytest.fixture
def bauplan(project: Project) -> Project:
    """A project with Bauplan's own project file beside zerrow's, which only names its sources."""
    project.write(
        "bauplan_project.yml",
        """
        project:
          id: 00000000-0000-4000-8000-00000000000a
          name: fixture
        """,
    )
    project.write("zerrow_project.yml", "sources: {numbers: data/numbers.parquet, lake.Trips: data/trips.parquet}\n")
    moments = pa.array([1672531200 + 3600 * hour for hour in range(100)], pa.timestamp("s", "UTC"))
    trips = {"PULocationID": [hour % 5 for hour in range(100)], "pickup_datetime": moments, "trip_miles": ["1.5"] * 100}
    project.table("trips", pa.table(trips))
    return project


def warnings(text: str) -> list[str]:
    return [line.partition("warning: ")[2] for line in text.splitlines() if "│ warning: " in line]


def exported(project: Project, name: str) -> pa.Table:
    return pa.ipc.open_stream(project.folder / "out" / f"{name}.arrows").read_all()


def test_queries_and_functions_read_each_other(bauplan: Project):
    bauplan.write(
        "first.sql",
        "-- bauplan: materialization_strategy=REPLACE\nSELECT a, b, FROM numbers WHERE a < 20",
    )
    bauplan.write("query.sql", "SELECT a, s FROM numbers WHERE a >= 10")
    bauplan.write(
        "models.py",
        """
        import bauplan
        from utils import twice

        @bauplan.model(columns=["a", "b", "c", "d", "e"], materialization_strategy="REPLACE")
        @bauplan.python("3.11", pip={"numpy": "2"})
        def joined(left=bauplan.Model("first", columns=["*"]), right=bauplan.Model("query")):
            print(f"joined {left.num_rows} {right.num_rows}")
            return left.join(right, "a", join_type="inner").sort_by("a")

        @bauplan.python()
        @bauplan.model()
        def pandas_child(data=bauplan.Model("joined", columns=["s", "a"], filter="a > 12")):
            frame = twice(data.to_pandas())
            return frame[["a", "s"]]

        @bauplan.model(internet_access=False, partitioned_by="a")
        def rows(data=bauplan.Model("joined")):
            return [{"a": row["a"], "n": 1} for row in data.to_pylist()]
        """,
    )
    bauplan.write("utils.py", "def twice(frame):\n    return frame.assign(a=frame['a'] * 2)\n")
    bauplan.write("gpt_utils.py", "import a_package_that_no_model_has\n")
    bauplan.write("nothing.py", "")
    bauplan.write("dashboard.py", "import bauplan\nimport streamlit\n\nclient = bauplan.Client()\n")
    result = bauplan.run("--format", "arrow", "--export", str(bauplan.folder / "out"))
    assert result.code == 0, result.err
    assert "joined 20 990" in result.err
    assert warnings(result.err) == ["the model declares the columns a, b, c, d, e, but the result has a, b, s"]
    assert result.model("joined")["because"].startswith("the model declares the columns")
    assert exported(bauplan, "pandas_child")["a"].to_pylist() == list(range(26, 40, 2))
    assert exported(bauplan, "rows").num_rows == 10


def test_a_wrong_list_of_columns_fails_a_strict_run(bauplan: Project):
    bauplan.write(
        "models.py",
        """
        import bauplan

        @bauplan.model(columns=["year"])
        def t(data=bauplan.Model("numbers", columns=["a", "b"])):
            return data
        """,
    )
    assert bauplan.run().code == bauplan.run("--no-strict").code == 0
    result = bauplan.run("--strict")
    assert result.code == 1
    assert "the model declares the columns year, but the result has a, b" in result.report["error"]["message"]


def test_parameters_come_as_what_they_are(bauplan: Project):
    bauplan.write(
        "bauplan_project.yml",
        """
        parameters:
          location_id: {type: int, default: 1, required: true}
          golden_ratio: {type: float, default: 1.6, description: a number}
          flag: {type: bool, default: true}
          since: {type: str, default: 2023-01-02}
          unused: {default: x}
        """,
    )
    bauplan.write(
        "trips.sql",
        """
        -- bauplan: name=trips
        SELECT PULocationID, pickup_datetime::TIMESTAMP AS at, CAST(trip_miles AS DOUBLE) * $golden_ratio AS miles,
          CASE WHEN $flag THEN 'yes' ELSE 'no' END AS flag,
          DATE_TRUNC('day', pickup_datetime) AS day,
        FROM lake.Trips
        WHERE pickup_datetime >= '2023-01-01T00:00:00-05:00' AND pickup_datetime::DATE >= $since
        """,
    )
    bauplan.write(
        "models.py",
        """
        import bauplan

        @bauplan.model()
        def show(
            flag=bauplan.Parameter("flag"),
            trips=bauplan.Model("trips", filter="PULocationID = $location_id AND at >= '2023-01-02T00:00:00'"),
            ratio=bauplan.Parameter("golden_ratio"),
            location=bauplan.Parameter("location_id"),
            word=bauplan.Parameter("word"),
        ):
            print("got", trips.num_rows, flag, ratio, location, repr(word), set(trips["flag"].to_pylist()))
            return trips
        """,
    )
    result = bauplan.run("--param", "word=5", "--param", "golden_ratio=4.2", env={"ZERROW_PARAM_flag": "false"})
    assert result.code == 0, result.err
    # Of the 100 hours from midnight of the first, 76 are of the second or later; every fifth is at the place.
    assert "got 15 False 4.2 1 '5' {'no'}" in result.err
    refused = bauplan.run("--param", "wordy=5")
    assert refused.code == 1 and "the project has no parameter 'word'" in refused.err


def test_children_of_one_table_fail_by_themselves(bauplan: Project):
    names = [f"child_{number}" for number in (1, 2, 3)]
    flags = "".join(f"  {name}_should_fail: {{type: bool, default: false}}\n" for name in names)
    bauplan.write("bauplan_project.yml", f"parameters:\n{flags}")
    head = "import bauplan\n\n@bauplan.model()\ndef parent(t=bauplan.Model('numbers', columns=['a'])):\n    return t\n"
    child = (
        "\n@bauplan.model(materialization_strategy='REPLACE')\n@bauplan.python('3.11')\n"
        "def NAME(fails=bauplan.Parameter('NAME_should_fail'), t=bauplan.Model('parent')):\n"
        "    print('NAME', t.num_rows, fails)\n    if fails:\n        raise RuntimeError('NAME threw')\n    return t\n"
    )
    both = "\n@bauplan.model()\ndef both(a=bauplan.Model('child_1'), b=bauplan.Model('child_2')):\n    return a\n"
    bauplan.write("models.py", head + "".join(child.replace("NAME", name) for name in names) + both)
    result = bauplan.run("--keep-going", "--param", "child_3_should_fail=True")
    assert result.code == 1 and "child_3 threw" in result.report["error"]["message"]
    statuses = {model["name"]: model["status"] for model in result.report["models"]}
    assert statuses == {
        **dict.fromkeys(["numbers", "parent", "child_1", "child_2", "both"], "success"),
        **dict.fromkeys(["publish bauplan.child_1", "publish bauplan.child_2"], "success"),
        "child_3": "failed",
        "publish bauplan.child_3": "skipped",
    }
    assert result.report["published"] == []
    assert all(f"{name} 1000 {name == 'child_3'}" in result.err for name in names)
    assert bauplan.run().code == 0


EXPECTATIONS = """
    import bauplan

    @bauplan.model()
    def half(data=bauplan.Model("numbers", columns=["a"], filter="a < 500")):
        return data

    @bauplan.expectation()
    @bauplan.python("3.11")
    def test_it(data=bauplan.Model("half", columns=["a"])):
        from bauplan.standard_expectations import expect_column_mean_greater_than, expect_column_no_nulls

        assert expect_column_no_nulls(data, column_name="a"), "there are nulls"
        {answer}

    @bauplan.model()
    def after(data=bauplan.Model("half")):
        return data
"""


@pytest.mark.parametrize(
    ("answer", "says", "code", "strict_code"),
    [
        ("return expect_column_mean_greater_than(data, 'a', 200)", None, 0, 0),
        ("return expect_column_mean_greater_than(data, 'a', 400)", "expectation returned false", 0, 1),
        ("assert data.num_rows == 5, f'has {data.num_rows}'", "assert data.num_rows == 5", 0, 1),
        ("return data.num_rows", "expectation returned unsupported type", 1, 1),
    ],
)
def test_expectations_warn_or_fail(bauplan: Project, answer: str, says: str | None, code: int, strict_code: int):
    bauplan.write("models.py", EXPECTATIONS.replace("{answer}", answer))
    for options, expected in (((), code), (("--strict",), strict_code)):
        result = bauplan.run(*options)
        assert result.code == expected, (options, result.err)
        assert (says is None) or says in result.err
        if expected == 0:
            assert {model["status"] for model in result.report["models"]} == {"success"}
            assert len(warnings(result.err)) == (says is not None)
            assert [says in text for text in result.model("test_it")["warnings"]] == [True] * (says is not None)
        else:
            assert result.report["error"]["model"] == "test_it"


def test_a_project_of_expectations_alone_shows_no_tables(bauplan: Project):
    bauplan.write(
        "audit.py",
        """
        from bauplan import Model, expectation

        @expectation()
        def unique(data=Model("numbers", columns=["a"])):
            return len(set(data["a"].to_pylist())) == data.num_rows
        """,
    )
    done = subprocess.run(bauplan.command(), capture_output=True, text=True, env=bauplan.environment(), check=True)
    assert "is_met" not in done.stdout and "unique" in done.stdout and "with warnings" not in done.stdout
    bauplan.write("audit.py", (bauplan.folder / "audit.py").read_text().replace("== data.num_rows", "== 1"))
    done = subprocess.run(bauplan.command(), capture_output=True, text=True, env=bauplan.environment(), check=True)
    assert "! unique" in done.stderr and ": 1 with warnings." in done.stdout
    plan = [*bauplan.caller.words, "plan", "-p", str(bauplan.folder)]
    shown = subprocess.run(plan, capture_output=True, text=True, env=bauplan.environment(), check=True)
    assert "unique  expectation  audit.py:4" in shown.stdout


TYPED = """
    from typing import Annotated

    import bauplan
    import pyarrow as pa

    class Numbers(bauplan.TableSchema):
        a: bauplan.Int64
        s: bauplan.String

    class Out(bauplan.TableSchema):
        a: Annotated[bauplan.Int64, bauplan.TableField(doc="the number", lineage=Numbers["a"])]
        double: {kind}

    @bauplan.model(materialization_strategy="NONE")
    @bauplan.python("3.11")
    def out(
        numbers: Annotated[pa.Table, bauplan.Model("numbers", projection_schema=Numbers, filter="a < 3")],
        factor: Annotated[int, bauplan.Parameter("factor")],
    ) -> Annotated[pa.Table, Out]:
        import pyarrow.compute as pc

        assert numbers.column_names == ["a", "s"]
        return numbers.select(["a"]).append_column("double", pc.multiply(numbers["a"], factor))

    @bauplan.model()
    def classic(out=bauplan.Model("out", columns=["double"])):
        return out.to_pandas()
"""


def test_typed_models_are_held_to_their_schemas(bauplan: Project):
    bauplan.write("bauplan_project.yml", "parameters: {factor: {type: int, default: 2}}\n")
    bauplan.write("models.py", TYPED.replace("{kind}", "bauplan.Int64"))
    result = bauplan.run("--format", "arrow", "--export", str(bauplan.folder / "out"))
    assert result.code == 0, result.err
    assert exported(bauplan, "classic")["double"].to_pylist() == [0, 2, 4]
    bauplan.write("models.py", TYPED.replace("{kind}", "bauplan.String | None"))
    failed = bauplan.run()
    assert failed.code == 1
    message = failed.report["error"]["message"]
    assert "ModelOutputContractError: the result is not as the schema Out says: double" in message
    assert "    a       int64, no nulls  int64\n  ! double  string           int64" in message
    lenient = bauplan.run("--no-strict")
    assert lenient.code == 0 and "ModelOutputContractError" in lenient.err


def test_decimals_are_held_to_their_digits(bauplan: Project):
    text = """
        from typing import Annotated, Literal

        import bauplan
        import pyarrow as pa

        class Fares(bauplan.TableSchema):
            fare: bauplan.Decimal128[5, 2] | None
            exact: Annotated[bauplan.Decimal128[Literal[38], Literal[10]], bauplan.TableField(doc="to ten places")]

        @bauplan.model()
        def fares(numbers: Annotated[pa.Table, bauplan.Model("numbers", filter="a < 3")]) -> Annotated[pa.Table, Fares]:
            kinds = {"fare": pa.decimal128(5, {scale}), "exact": pa.decimal128(38, 10)}
            return pa.table({name: pa.array(numbers["a"].to_pylist(), kind) for name, kind in kinds.items()})
    """
    bauplan.write("models.py", text.replace("{scale}", "2"))
    result = bauplan.run("--format", "arrow", "--export", str(bauplan.folder / "out"))
    assert result.code == 0, result.err
    assert exported(bauplan, "fares").schema.types == [pa.decimal128(5, 2), pa.decimal128(38, 10)]
    bauplan.write("models.py", text.replace("{scale}", "3"))
    failed = bauplan.run()
    assert failed.code == 1
    assert "  ! fare    decimal128(5, 2)              decimal128(5, 3)" in failed.report["error"]["message"]


MOMENTS = """
    from typing import Annotated

    import bauplan
    import pyarrow as pa

    class Fine(bauplan.TableSchema):
        at: bauplan.TimestampNanoUTC | None

    @bauplan.model()
    def coarse(trips: Annotated[pa.Table, bauplan.Model("lake.Trips")]) -> Annotated[pa.Table, Fine]:
        return pa.Table.from_arrays([pa.array([0, None, {last}], pa.timestamp("{unit}", "{zone}"))], ["at"])

    class Trips(bauplan.TableSchema):
        pickup_datetime: bauplan.TimestampNanoUTC | None

    @bauplan.model()
    def reader(
        data: Annotated[pa.Table, bauplan.Model("coarse")],
        trips: Annotated[pa.Table, bauplan.Model("lake.Trips", projection_schema=Trips)],
    ) -> Annotated[pa.Table, Fine]:
        print("taken", trips.schema.field("pickup_datetime").type)
        print("found", data.schema.field("at").type)
        return data
"""


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments_come_in_the_unit_that_a_schema_promises(bauplan: Project, unit: str):
    bauplan.write("models.py", MOMENTS.format(last=-1, unit=unit, zone="UTC"))
    result = bauplan.run("--format", "arrow", "--export", str(bauplan.folder / "out"))
    assert result.code == 0, result.err
    assert "found timestamp[ns, tz=UTC]" in result.err and "taken timestamp[ns, tz=UTC]" in result.err
    wanted = pa.array([0, None, -1], pa.timestamp(unit, "UTC")).cast(pa.timestamp("ns", "UTC"))
    assert exported(bauplan, "reader")["at"].combine_chunks() == wanted


@pytest.mark.parametrize(
    ("last", "unit", "zone"),
    [(1 << 60, "us", "UTC"), (1, "us", "Europe/Rome")],
    ids=["a moment that the finer unit does not reach", "another zone"],
)
def test_moments_that_are_not_those_of_the_schema_are_refused(bauplan: Project, last: int, unit: str, zone: str):
    bauplan.write("models.py", MOMENTS.format(last=last, unit=unit, zone=zone))
    failed = bauplan.run()
    assert failed.code == 1
    assert f"  ! at      timestamp[ns, tz=UTC]  timestamp[{unit}, tz={zone}]" in failed.report["error"]["message"]


def test_inputs_of_typed_models_are_held_to_their_schemas(bauplan: Project):
    bauplan.write("bauplan_project.yml", "parameters: {factor: {type: int, default: 2}}\n")
    text = TYPED.replace("{kind}", "bauplan.Int64").replace("s: bauplan.String", "s: bauplan.Date32")
    bauplan.write("models.py", text)
    failed = bauplan.run()
    assert failed.code == 1 and failed.report["error"]["model"] == "out"
    message = failed.report["error"]["message"]
    assert "ModelInputContractError: the table 'numbers' is not as the schema Numbers of 'numbers' says: s" in message
    assert "    a       int64, no nulls        int64\n  ! s       date32[day], no nulls  string" in message
    lenient = bauplan.run("--no-strict")
    assert lenient.code == 0, lenient.err
    (warning,) = lenient.model("out")["warnings"]
    assert warning.startswith("ModelInputContractError: the table 'numbers'")
    # Rows that the filter leaves out may be null.
    bauplan.table("numbers", pa.table({"a": [None, 1, 2], "s": ["x", "y", "z"]}))
    bauplan.write("models.py", TYPED.replace("{kind}", "bauplan.Int64"))
    assert bauplan.run().code == 0
    bauplan.write("models.py", TYPED.replace("{kind}", "bauplan.Int64").replace('"a < 3"', '"a < 3 or a is null"'))
    failed = bauplan.run()
    assert "  ! a       int64, no nulls   int64, 1 null" in failed.report["error"]["message"]


def test_namespaces_and_sources_without_a_project_file(bauplan: Project):
    for name in ("bauplan_project.yml", "zerrow_project.yml"):
        (bauplan.folder / name).unlink()
    bauplan.write("trips.sql", "SELECT PULocationID, lake.Trips.trip_miles FROM lake.Trips WHERE PULocationID = 2")
    bauplan.write(
        "models.py",
        """
        import bauplan

        @bauplan.model(name="mart.all_trips")
        def all_trips(data=bauplan.Model("Trips", columns=["PULocationID"]), some=bauplan.Model("trips")):
            print("rows", data.num_rows, some.num_rows)
            return data
        """,
    )
    source = f"--source=lake.Trips={bauplan.folder / 'data' / 'trips.parquet'}"
    result = bauplan.run(source, "-n", "lake", "--format", "arrow", "--export", str(bauplan.folder / "out"))
    assert result.code == 0, result.err
    assert "rows 100 20" in result.err and exported(bauplan, "mart.all_trips").num_rows == 100
    failed = bauplan.run(source, "--namespace", "pond")
    assert failed.code == 1
    assert (
        "the model 'mart.all_trips' reads 'Trips', and there is no namespace 'pond'"
        in failed.report["error"]["message"]
    )
    query = [*bauplan.caller.words, "query", "-p", str(bauplan.folder), source, "-n", "lake"]
    sql = "select count(*) as n from Trips join trips t on Trips.PULocationID = t.PULocationID"
    done = subprocess.run([*query, sql], capture_output=True, text=True, env=bauplan.environment(), check=True)
    assert "400" in done.stdout


def test_objects_go_with_tables(bauplan: Project):
    bauplan.write(
        "models.py",
        """
        import bauplan

        @bauplan.model()
        def train(data=bauplan.Model("numbers", columns=["a"])):
            from bauplan.store import save_obj

            save_obj("sum", {"sum": sum(data["a"].to_pylist())})
            return data.to_pandas()

        @bauplan.model()
        def predict(data=bauplan.Model("middle")):
            from bauplan.store import load_obj

            print("loaded", load_obj("sum"))
            return data
        """,
    )
    bauplan.write("middle.sql", "select a from train where a > 990")
    result = bauplan.run("--cache-dir", str(bauplan.folder / "kept"))
    assert result.code == 0 and "loaded {'sum': 499500}" in result.err, result.err
    text = (bauplan.folder / "models.py").read_text().replace("loaded", "again")
    bauplan.write("models.py", text)
    again = bauplan.run("--cache-dir", str(bauplan.folder / "kept"))
    assert "again {'sum': 499500}" in again.err and again.model("train")["status"] != "success"


def test_secrets_are_values_and_shown_nowhere(bauplan: Project):
    bauplan.write(
        "bauplan_project.yml", "parameters: {token: {type: secret, default: 'AAECAw==', key: 'awskms:///a'}}\n"
    )
    bauplan.write("found.sql", "select a, s from numbers where s = $token or a = 1")
    bauplan.write(
        "models.py",
        """
        import bauplan

        @bauplan.model()
        def use(data=bauplan.Model("found"), token=bauplan.Parameter("token")):
            print("token", token, len(token))
            raise ValueError(f"refused {token}")
        """,
    )
    missing = bauplan.run()
    assert missing.code == 1 and "the secret 'token' has no value" in missing.err
    result = bauplan.run(env={"ZERROW_PARAM_token": SECRET})
    assert result.code == 1 and result.model("found")["output"]["rows"] == 1
    assert f"token *** {len(SECRET)}" in result.err and "refused ***" in result.report["error"]["message"]
    plan = [*bauplan.caller.words, "plan", "-p", str(bauplan.folder), "-O", "json"]
    environment = bauplan.environment({"ZERROW_PARAM_token": SECRET})
    shown = subprocess.run(plan, capture_output=True, text=True, env=environment, check=True)
    assert json.loads(shown.stdout)["models"]
    assert SECRET not in result.out + result.err + shown.stdout + shown.stderr


def test_models_see_no_ids_of_parquet_fields(bauplan: Project):
    field = pa.field("x", pa.int64(), metadata={"PARQUET:field_id": "7"})
    path = bauplan.folder / "data" / "ids.parquet"
    pq.write_table(pa.table([[1, 2]], schema=pa.schema([field])), path)
    assert b"PARQUET:field_id" in pq.read_schema(path).field("x").metadata
    bauplan.write("zerrow_project.yml", "sources: {ids: data/ids.parquet}\n")
    bauplan.write(
        "models.py",
        """
        import bauplan
        import pyarrow as pa

        def check(table):
            assert not any("field_id" in str(field.metadata) for field in table.schema), table.schema
            return table

        @bauplan.model()
        def parent(data=bauplan.Model("ids")):
            check(data)
            field = pa.field("x", pa.int64(), metadata={"PARQUET:field_id": "9"})
            return pa.table([data["x"]], schema=pa.schema([field]))

        @bauplan.model()
        def child(data=bauplan.Model("parent")):
            return check(data)
        """,
    )
    result = bauplan.run()
    assert result.code == 0, result.err


def test_models_that_are_not_understood_stop_the_run(bauplan: Project):
    bauplan.write("base.sql", "select a from numbers")
    bauplan.write(
        "models.py",
        """
        from sdk import declare as bauplan

        @bauplan.model()
        def doubled(data=bauplan.Model("base")):
            return data
        """,
    )
    result = bauplan.run()
    assert result.code == 1 and result.report["models"] == []
    assert "models.py:3: the function 'doubled' looks like a model" in result.report["error"]["message"]

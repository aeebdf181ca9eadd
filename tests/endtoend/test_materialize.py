"""Models' tables are published to the catalog, and later runs and other libraries read them."""

from __future__ import annotations

import datetime as dt
import json
import os

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from catalog import call, details, listed, published, queried, warehouse
from command import Project
from materializing import MODEL, PARTITIONED, fail, rows_of, succeed


def test_replaced_tables_are_read_by_later_runs_and_by_other_libraries(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    report = succeed(parametrised)
    assert [(each["table"], each["strategy"], each["rows"], each["files"]) for each in report["published"]] == [
        ("bauplan.out", "REPLACE", 10, 1)
    ]
    assert report["published"][0]["bytes"] == details(parametrised, "out")["bytes"]
    succeed(parametrised, "--param", "limit=25")
    source = pq.read_table(parametrised.folder / "data" / "numbers.parquet")
    assert published(parametrised, "out").equals(source.slice(0, 25))
    paths = details(parametrised, "bauplan.out")["paths"]
    assert duckdb.sql(f"select sum(a) from read_parquet({paths!r})").fetchall() == [(sum(range(25)),)]
    assert pd.read_parquet(paths[0])["s"].tolist() == [f"row {i}" for i in range(25)]
    # Another project reads it, and its filter and columns reach the files.
    other = Project(parametrised.folder.parent / "other")
    other.folder.mkdir()
    other.write("zerrow_project.yml", f"catalog: {warehouse(parametrised)}\n")
    other.write("few.sql", "select a from out where b > 40")
    report = succeed(other, "--format", "arrow", "--export", str(other.folder / "out"))
    assert [model["name"] for model in report["models"]] == ["few"]
    assert [each["table"] for each in report["models"][0]["streamed"]] == ["bauplan.out"]
    exported = pa.ipc.open_stream(other.folder / "out" / "few.arrows").read_all()
    assert exported["a"].to_pylist() == [21, 22, 23, 24]
    assert report["models"][0]["output"]["rows"] == 4
    assert "25" in queried(other, "select count(*) n from bauplan.out")


def test_the_summary_has_a_line_for_each_published_table(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    done = call(parametrised, "run", "-p", str(parametrised.folder))
    assert done.returncode == 0
    assert "published bauplan.out: 10 rows, " in done.stdout
    assert "1 file (REPLACE)" in done.stdout


def test_appended_rows_come_to_those_that_are_there(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    for limit in (3, 5):
        succeed(parametrised, "--param", f"limit={limit}")
    assert sorted(published(parametrised, "out")["a"].to_pylist()) == [0, 0, 1, 1, 2, 2, 3, 4]
    assert details(parametrised, "out")["rows"] == 8
    assert details(parametrised, "out")["files"] == 2
    assert "8" in queried(parametrised, "select count(*) from bauplan.out o join numbers n on o.a = n.a", "-n", "none")


def test_sql_models_publish_by_directives_into_the_namespace_of_the_run(project: Project):
    project.write(
        "few.sql", "-- bauplan: materialization_strategy = REPLACE\nselect a, s from numbers where a < 4 order by a"
    )
    report = succeed(project, "-n", "shop")
    assert [each["table"] for each in report["published"]] == ["shop.few"]
    assert published(project, "shop.few")["a"].to_pylist() == [0, 1, 2, 3]
    assert [(each["namespace"], each["name"]) for each in listed(project)] == [("shop", "few")]
    assert listed(project, "-n", "elsewhere") == []
    spaces = json.loads(call(project, "namespace", "ls", "-p", str(project.folder), "-O", "json").stdout)
    assert {"name": "shop", "tables": 1} in spaces["namespaces"]


def test_both_generations_publish_under_their_own_namespace(project: Project):
    project.write(
        "models.py",
        """
        from typing import Annotated

        import bauplan
        import pyarrow as pa

        class Out(bauplan.TableSchema):
            a: bauplan.Int64
            s: bauplan.String | None

        @bauplan.model(name="lake.typed", materialization_strategy="REPLACE")
        @bauplan.python("3.11")
        def typed(
            data: Annotated[pa.Table, bauplan.Model("numbers", filter="a < 7")]
        ) -> Annotated[pa.Table, Out]:
            return data.select(["a", "s"])

        @bauplan.model(materialization_strategy="REPLACE", columns=["*"])
        def classic(data=bauplan.Model("lake.typed", columns=["a"])):
            return data
        """,
    )
    report = succeed(project)
    assert sorted(each["table"] for each in report["published"]) == ["bauplan.classic", "lake.typed"]
    fields = {field["name"]: field for field in details(project, "lake.typed")["fields"]}
    assert fields["a"] == {"name": "a", "type": "int64", "required": True}
    assert fields["s"] == {"name": "s", "type": "string", "required": False}
    assert published(project, "classic")["a"].to_pylist() == list(range(7))


def test_overwritten_partitions_are_those_of_the_new_rows(by_day: Project):
    by_day.write("models.py", PARTITIONED.format(strategy="OVERWRITE_PARTITIONS", by="'day'", more=""))
    succeed(by_day, "--param", "rows=mon:1,mon:2,tue:3")
    report = succeed(by_day, "--param", "rows=tue:4,wed:5")
    assert report["published"][0]["files"] == 2
    assert rows_of(by_day) == [("mon", 1), ("mon", 2), ("tue", 4), ("wed", 5)]
    table = details(by_day, "out")
    assert (table["partitioned_by"], table["files"]) == (["day"], 3)
    for path in table["paths"]:
        assert len(pc.unique(pq.read_table(path, partitioning=None)["day"])) == 1


def test_rows_that_meet_the_overwrite_filter_are_replaced(by_day: Project):
    more = ", overwrite_filter=\"day >= 'a' AND (day = 'mon' OR day IN ('tue', 'wed'))\""
    by_day.write("models.py", PARTITIONED.format(strategy="OVERWRITE_PARTITIONS", by="['day']", more=""))
    succeed(by_day, "--param", "rows=mon:1,tue:2,thu:3")
    by_day.write("models.py", PARTITIONED.format(strategy="OVERWRITE_PARTITIONS", by="['day']", more=more))
    # Tuesday meets it and has no new row: it goes.
    succeed(by_day, "--param", "rows=mon:9")
    assert rows_of(by_day) == [("mon", 9), ("thu", 3)]
    # A new row that doesn't meet it is an error.
    message = fail(by_day, "--param", "rows=mon:1,sun:2")
    assert "1 of the new rows" in message
    assert "overwrite_filter" in message
    assert rows_of(by_day) == [("mon", 9), ("thu", 3)]


def test_the_overwrite_filter_takes_parameters(by_day: Project):
    project = by_day
    project.write(
        "zerrow_project.yml",
        """
        project: {name: test}
        sources: {numbers: data/numbers.parquet}
        parameters: {rows: {type: str, required: true}, when: {type: str, default: tue}}
        """,
    )
    more = ", overwrite_filter=\"day NOT IN ($when) AND day != 'x'\""
    project.write("models.py", PARTITIONED.format(strategy="OVERWRITE_PARTITIONS", by="('day',)", more=more))
    succeed(project, "--param", "rows=mon:1,wed:1")
    succeed(project, "--param", "rows=tue:2", "--param", "when=mon")
    assert rows_of(project) == [("mon", 1), ("tue", 2)]


@pytest.mark.parametrize(
    ("zone", "transform", "files"),
    [(None, "YEAR(ts)", 3), ("UTC", "month(ts)", 4), ("America/New_York", "DAY(ts)", 4), ("UTC", "hour(ts)", 5)],
)
def test_moments_are_partitioned_in_utc(project: Project, zone: str | None, transform: str, files: int):
    moments = [
        dt.datetime(2023, 12, 31, 23, 59, 59),
        dt.datetime(2024, 1, 1, 0, 0, 0),
        dt.datetime(2024, 2, 29, 12, 30),
        dt.datetime(2024, 2, 29, 13, 30),
        None,
    ]
    naive = pa.array(moments, pa.timestamp("us"))
    column = naive if zone is None else naive.cast(pa.int64()).cast(pa.timestamp("us", zone))
    table = pa.table({"ts": column, "n": range(5)})
    project.table("numbers", table)
    project.write(
        "out.sql",
        f"""
        -- bauplan: materialization_strategy = OVERWRITE_PARTITIONS
        -- bauplan: partitioned_by = [{transform}]
        select ts, n from numbers
        """.replace("        ", ""),
    )
    succeed(project)
    assert details(project, "out")["files"] == files
    succeed(project)
    assert details(project, "out")["files"] == files
    read = published(project, "out").sort_by("n")
    assert read["ts"].cast(pa.int64()).to_pylist() == table["ts"].cast(pa.int64()).to_pylist()
    assert details(project, "out")["partitioned_by"] == [transform.upper().replace("(TS)", "(ts)")]


def test_a_filter_on_a_part_of_a_file_leaves_its_other_rows(project: Project):
    ts = pa.array([dt.datetime(2024, month, 1) for month in range(1, 13)], pa.timestamp("us"))
    project.table("numbers", pa.table({"ts": ts, "n": range(12)}))
    project.write(
        "out.sql",
        "-- bauplan: materialization_strategy = OVERWRITE_PARTITIONS\n"
        "-- bauplan: partitioned_by = YEAR(ts)\nselect ts, n from numbers",
    )
    succeed(project)
    project.write(
        "out.sql",
        "-- bauplan: materialization_strategy = OVERWRITE_PARTITIONS\n"
        "-- bauplan: partitioned_by = YEAR(ts)\n-- bauplan: overwrite_filter = ts >= '2024-11-01'\n"
        "select ts, n + 100 as n from numbers where n >= 11",
    )
    succeed(project)
    assert sorted(published(project, "out")["n"].to_pylist()) == [*range(10), 111]
    assert details(project, "out")["rows"] == 11


def test_types_come_back_as_pyarrow_reads_them(project: Project):
    project.write(
        "models.py",
        """
        import datetime as dt
        import decimal

        import pandas as pd
        import pyarrow as pa
        import zerrow

        @zerrow.model(materialization_strategy="REPLACE")
        def nested(numbers=zerrow.Model("numbers")):
            return pa.table({
                "l": pa.array([[1, None], [], None], pa.list_(pa.int32())),
                "s": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}]),
                "m": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
                "d": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")], pa.decimal128(9, 2)),
                "ns": pa.array([1, None, 3], pa.timestamp("ns", "Europe/Berlin")),
                "t": pa.array([dt.time(1, 2, 3), None, None], pa.time64("us")),
                "date": pa.array([dt.date(1969, 1, 1), None, dt.date(2024, 2, 29)]),
                "b": pa.array([b"\\0", None, b""], pa.large_binary()),
                "f": pa.array([1.5, float("nan"), None], pa.float32()),
                "u": pa.array([0, 1 << 63, None], pa.uint64()),
                "cat": pa.array(["a", "b", "a"]).dictionary_encode(),
                "fix": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float64(), 2)),
                "z": pa.nulls(3),
                "bool": pa.array([True, None, False]),
                "é ü\\"'": [1, 2, 3],
            })

        @zerrow.model(materialization_strategy="REPLACE")
        def frame(numbers=zerrow.Model("numbers")):
            index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", "n"])
            return pd.DataFrame({"c": pd.Categorical(["x", "y"]), "i": pd.array([1, None], "Int64")}, index=index)
        """,
    )
    project.write("again.sql", "select * from nested")
    succeed(project)
    for name in ("nested", "frame"):
        table = published(project, name)
        # What pyarrow writes and reads of the same table, where nothing of zerrow's is between.
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        assert pq.read_table(pa.BufferReader(sink.getvalue())).schema.equals(table.schema, check_metadata=True)
    frame = published(project, "frame").to_pandas()
    assert frame.index.names == ["k", "n"]
    assert str(frame["i"].dtype) == "Int64"
    assert str(frame["c"].dtype) == "category"
    nested = published(project, "nested")
    assert nested.schema.field("cat").type == pa.dictionary(pa.int32(), pa.string())
    assert nested["m"].to_pylist() == [[("k", 1)], [], None]
    # And what a model of a later run gets of it.
    reader = Project(project.folder.parent / "reader")
    reader.folder.mkdir()
    reader.write("zerrow_project.yml", f"catalog: {warehouse(project)}\n")
    reader.write(
        "models.py",
        """
        import zerrow

        @zerrow.model()
        def same(nested=zerrow.Model("nested")):
            return nested

        @zerrow.model()
        def pandas_again(frame=zerrow.Model("frame")):
            assert frame.to_pandas().index.names == ["k", "n"]
            return frame
        """,
    )
    succeed(reader, "--format", "arrow", "--export", str(reader.folder / "out"))
    same = pa.ipc.open_stream(reader.folder / "out" / "same.arrows").read_all()
    for name in nested.column_names:
        expected = nested[name].cast(pa.string()) if name == "cat" else nested[name]
        assert same[name].cast(expected.type).to_pylist() == expected.to_pylist() or name == "f", name


def test_a_table_without_rows_is_published_with_its_columns(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="REPLACE"))
    succeed(parametrised, "--param", "limit=0")
    assert details(parametrised, "out")["rows"] == 0
    assert published(parametrised, "out").schema.names == ["a", "b", "s"]
    assert "0" in queried(parametrised, "select count(*) n from bauplan.out")
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    succeed(parametrised, "--param", "limit=2")
    succeed(parametrised, "--param", "limit=0")
    assert (details(parametrised, "out")["rows"], details(parametrised, "out")["files"]) == (2, 1)


def test_rows_that_do_not_fit_are_told_side_by_side_and_change_nothing(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    succeed(parametrised)
    changed = "return numbers.rename_columns(['a', 'x', 's'])"
    parametrised.write("models.py", MODEL.format(strategy="APPEND").replace("return numbers", changed))
    message = fail(parametrised)
    assert "the new rows do not fit the table bauplan.out" in message
    assert "x" in message and "no such column" in message
    changed = "return numbers.set_column(0, 'a', numbers['a'].cast('string'))"
    parametrised.write("models.py", MODEL.format(strategy="APPEND").replace("return numbers", changed))
    assert "int64" in fail(parametrised)
    assert details(parametrised, "out")["rows"] == 10


def test_appended_rows_may_lack_columns_with_nulls_have_them_in_any_order_and_be_narrower(parametrised: Project):
    parametrised.write("models.py", MODEL.format(strategy="APPEND"))
    succeed(parametrised, "--param", "limit=2")
    changed = "return numbers.select(['s', 'a']).set_column(1, 'a', numbers['a'].cast('int32'))"
    parametrised.write("models.py", MODEL.format(strategy="APPEND").replace("return numbers", changed))
    succeed(parametrised, "--param", "limit=1")
    table = published(parametrised, "out").sort_by("a")
    assert table["a"].type == pa.int64()
    assert sorted(table["b"].to_pylist(), key=str) == [0, 2, None]
    os.remove(parametrised.folder / "models.py")
    assert "2" in queried(parametrised, "select count(b) from bauplan.out")

"""Scripts that query projects by `bauplan.Client`."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from client_scripts import SLOW, Scripts, rides

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


def test_the_rows_of_a_query_are_in_its_file_alone(script: Scripts):
    found = script(
        """
        import json, bauplan
        from bauplan._client.command import Command
        client = bauplan.Client()
        answers = []
        call = Command.call
        Command.call = lambda *words, **options: answers.append(call(*words, **options)) or answers[-1]
        assert client.query("select * from rides", namespace="lake").num_rows == 90
        print(json.dumps("rows" in answers[-1].report))
        """,
        folder=script.project.folder,
    )
    assert found is False


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

"""What a project that is in order is planned as."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop_project import INTERPRETER, SALES
from zerrow.errors import PlanError
from zerrow.plan import plan_project
from zerrow.worker.tasks import prepare_arguments

PYTHON = Path(__file__).resolve().parents[2] / "python"
HEAD = "import zerrow\n\n\n"


def test_a_model_is_planned_with_its_scan(shop: Any) -> None:
    shop.write(
        {
            "m.py": HEAD
            + "@zerrow.model(name='totals', memory='1.5 GiB', timeout=60, internet_access=True)\n"
            + "def f(a=zerrow.Model('sales', columns=['amount', 'id'], filter=\"day >= '2024-01-02'\"), n=5):\n"
            + "    return a\n"
        }
    )
    plan = shop.plan()
    folder = str(shop.folder)
    assert plan["project"] == {"name": "shop", "folder": folder}
    assert plan["prepare"] is None
    assert plan["environments"] == [{"id": "default", "python": INTERPRETER, "modules": ["pyarrow", "datafusion"]}]
    prune = """(coalesce("nulls day" < "rows", true) and coalesce("max day" >= '2024-01-02', true))"""
    condition = {"sql": "day >= '2024-01-02'", "columns": ["day"], "prune": prune}
    scan, model = plan["models"]
    for entry in (scan, model):  # test_keys.py is about these
        for varying in ("cache", "code", "key", "because", "repeatable", "expected_bytes"):
            del entry[varying]
        for varying in ("identities", "planned_ns", "schema", "watched"):
            entry["task"].pop(varying, None)
    assert scan == {
        "name": "sales",
        "kind": "scan",
        "environment": "default",
        "inputs": [],
        "network": False,
        "memory_bytes_max": None,
        "timeout_s": None,
        "final": False,
        "file": None,
        "line": None,
        "task": {
            "kind": "scan",
            "table": "sales",
            "files": [f"{folder}/sales.parquet"],
            "columns": ["id", "amount"],
            "filter": condition,
            "dictionary": [],
        },
    }
    assert model == {
        "name": "totals",
        "kind": "python",
        "environment": "default",
        "inputs": ["sales"],
        "network": True,
        "memory_bytes_max": 3 << 29,
        "timeout_s": 60.0,
        "final": True,
        "file": "m.py",
        "line": 5,
        "task": {
            "kind": "python",
            "model": "totals",
            "folder": folder,
            "file": "m.py",
            "line": 5,
            "function": "f",
            "package_advice": "add '{package}' to its packages: @zerrow.python('3.11', pip={'{package}': '*'})",
            "columns": None,
            "arguments": [
                {"name": "a", "input": 0, "table": "sales", "columns": ["amount", "id"], "filter": None},
            ],
        },
    }


def test_readers_of_one_table_share_a_scan_of_all_their_columns(shop: Any) -> None:
    shop.write(
        {
            "m.py": HEAD
            + "@zerrow.model()\ndef a(s=zerrow.Model('sales', columns=['note'])):\n    return s\n"
            + "@zerrow.model()\ndef b(s=zerrow.Model('sales', columns=['id'])):\n    return s\n"
            + "@zerrow.model()\ndef c(s=zerrow.Model('sales', columns=['id'], filter='id > 1')):\n    return s\n"
            + "@zerrow.model()\ndef d(s=zerrow.Model('sales', columns=['day'], filter='id>1 --')):\n    return s\n",
            "e.sql": "select amount from sales",
        }
    )
    scans = {model["name"]: model["task"] for model in shop.plan()["models"] if model["kind"] == "scan"}
    assert {name: task["columns"] for name, task in scans.items()} == {
        "sales": ["id", "amount", "note"],
        "sales#2": ["id", "day"],
    }
    assert shop.model("d")["inputs"] == ["sales#2"]
    assert shop.model("e")["task"]["arguments"][0]["columns"] == ["amount"]


def test_a_table_read_twice_by_one_model_is_two_inputs(shop: Any) -> None:
    arguments = "a=zerrow.Model('sales', columns=['id']), b=zerrow.Model('sales', filter='id > 1')"
    shop.write({"m.py": HEAD + f"@zerrow.model()\ndef f({arguments}):\n    return a\n"})
    model = shop.model("f")
    assert model["inputs"] == ["sales", "sales#2"]
    assert [argument["input"] for argument in model["task"]["arguments"]] == [0, 1]


def test_a_filter_on_a_model_stays_with_its_reader(shop: Any) -> None:
    shop.write(
        {
            "zerrow_project.yml": "sources: {sales: sales.parquet}\nparameters: {day: {default: '2024-01-01'}}\n",
            "a.sql": "select id, day from sales",
            "m.py": HEAD
            + "@zerrow.model()\ndef f(a=zerrow.Model('a', filter=\"day > '2024-01-01'\")):\n    return a\n",
        }
    )
    (argument,) = shop.model("f")["task"]["arguments"]
    assert argument["filter"]["sql"] == "day > '2024-01-01'"


def test_models_come_after_what_they_read_and_the_unread_are_final(shop: Any) -> None:
    shop.write(
        {
            "a_last.sql": "select b.id from b join c on b.id = c.id",
            "b.sql": "select id from d",
            "c.sql": "select id from d",
            "d.sql": "select id from sales",
        }
    )
    models = shop.plan()["models"]
    names = [model["name"] for model in models]
    for model in models:
        assert all(names.index(name) < names.index(model["name"]) for name in model["inputs"])
    assert [model["name"] for model in models if model["final"]] == ["a_last"]


def test_declared_columns_are_known_to_readers(shop: Any) -> None:
    declaration = HEAD + "@zerrow.model(columns=['id', 'total'])\ndef a(s=zerrow.Model('sales')):\n    return s\n"
    shop.write({"m.py": declaration, "b.sql": "select totla from a"})
    (error,) = shop.errors()
    assert error["hint"] == "did you mean 'total'?"


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("select id from sales", ["id"]),
        ("select count(*) as n from sales", ["id"]),
        ("select * from sales", None),
        ("select s.* from sales s join shops on s.shop = shops.shop", None),
        ("select city from sales s join shops t using (shop)", ["shop"]),
        ("select city from sales natural join shops", None),
        ("with x as (select id, day from sales) select * from x", ["id", "day"]),
        ("with sales as (select id from sales) select id from sales", ["id"]),
        ("select id from sales where day = (select max(day) from sales)", ["id", "day"]),
        ("select (select max(s.amount) from sales s where s.shop = t.shop) as m from shops t", ["shop", "amount"]),
        ("select id from sales union all select shop from sales", ["id", "shop"]),
        ("select id, row_number() over (partition by shop order by day) as n from sales", ["id", "shop", "day"]),
        ("select id as note, weight as w from sales order by w", ["id", "weight"]),
        ("select sales as entire from sales", None),
        ('select "id" from sales where "note" is null', ["id", "note"]),
    ],
)
@pytest.mark.parametrize("engine", ["datafusion", "duckdb"])
def test_a_query_gets_the_columns_it_can_read(shop: Any, query: str, columns: list[str] | None, engine: str) -> None:
    shop.write({"q.sql": f"-- zerrow: engine = {engine}\n{query}\n"})
    scan = next(model for model in shop.plan()["models"] if model["name"] == "sales")
    assert scan["task"]["columns"] == columns


def test_duckdb_reads_columns_in_any_case_and_by_pattern(shop: Any) -> None:
    shop.write({"q.sql": "-- zerrow: engine = duckdb\nselect ID, Day from sales\n"})
    assert shop.model("sales")["task"]["columns"] == ["id", "day"]
    shop.write({"q.sql": "-- zerrow: engine = duckdb\nselect columns('i.*') from sales\n"})
    assert shop.model("sales")["task"]["columns"] is None


CONDITION = '"shop" = 2'


@pytest.mark.parametrize(
    ("query", "pushed"),
    [
        ("select id from sales where shop = 2", CONDITION),
        ("select id from sales s where s.shop = 2 and weight + 1 > 0.5", CONDITION),
        ("select id from sales s where s.shop = 2 and weight > 0.5", f'({CONDITION}) and ("weight" > 0.5)'),
        ("with x as (select id from sales where (shop = 2)) select * from x where id > 1", CONDITION),
        (
            "select id from sales join shops on sales.shop = shops.shop where sales.shop = 2 and city = 'Rome'",
            CONDITION,
        ),
        ("select id from sales left join shops on sales.shop = shops.shop where sales.shop = 2", None),
        ("select id from sales join shops on sales.shop = shops.shop where id = 2 or city = 'Rome'", None),
        ("select id from sales where shop = 2 or weight * 2 = 1", None),
        ("select id from sales where shop = (select max(shop) from shops)", None),
        ("select a.id from sales a join sales b on a.id = b.id where a.shop = 2", None),
        ("select shop, count(*) as n from sales group by shop having shop = 2", None),
    ],
)
def test_a_scan_applies_the_conditions_it_can_apply_exactly(shop: Any, query: str, pushed: Any) -> None:
    shop.write({"q.sql": query})
    filter_ = shop.model("sales")["task"]["filter"]
    assert pushed == (None if filter_ is None else filter_["sql"])


@pytest.mark.parametrize("engine", ["datafusion", "duckdb"])
def test_dates_floats_texts_and_decimals_are_pushed_into_a_scan(shop: Any, engine: str) -> None:
    where = "day >= '2024-01-02' and weight < 3 and note in ('a', 'c') and amount between 1.5 and 2.25"
    shop.write({"q.sql": f"-- zerrow: engine = {engine}\nselect id from sales where {where}"})
    filter_ = shop.model("sales")["task"]["filter"]
    assert filter_["columns"] == ["day", "weight", "note", "amount"]
    for name in filter_["columns"]:
        assert f'"{name}"' in filter_["sql"] and (name == "weight" or f'"max {name}"' in filter_["prune"])


def test_a_condition_is_not_pushed_where_it_would_cost_another_scan(shop: Any) -> None:
    shop.write({"a.sql": "select id from sales where shop = 2", "b.sql": "select id from sales where shop = 1"})
    scans = [model for model in shop.plan()["models"] if model["kind"] == "scan"]
    assert [(scan["name"], scan["task"]["filter"]) for scan in scans] == [("sales", None)]


def test_parameters_reach_arguments_filters_and_queries(shop: Any) -> None:
    parameters = "parameters: {rate: {type: float, default: 0.5}, day: {default: '2024-01-02'}, deep: {type: bool}}\n"
    arguments = "s=zerrow.Model('sales', filter='amount > $rate and day = $day'), *, deep=zerrow.Parameter('deep')"
    shop.write(
        {
            "zerrow_project.yml": "sources: {sales: sales.parquet}\n" + parameters,
            "m.py": HEAD + f"@zerrow.model()\ndef f({arguments}):\n    return s\n",
            "q.sql": "select '$rate' as t, $rate as r, -- $no\n  id from sales where note = $day and $deep",
        }
    )
    plan = shop.plan(deep="True")
    models = {model["name"]: model["task"] for model in plan["models"]}
    assert models["sales"]["filter"]["sql"] == "amount > 0.5 and day = '2024-01-02'"
    assert models["f"]["arguments"][1] == {"name": "deep", "value": True}
    assert models["q"]["sql"] == (
        "select '$rate' as t, 0.5 as r, -- $no\n  id from sales where note = '2024-01-02' and TRUE"
    )


def test_a_whole_number_stays_a_float_where_the_parameter_is_one(shop: Any) -> None:
    parameters = (
        "parameters: {f: {type: float, default: 2.0}, g: {type: float, default: 1e3}, i: {type: int, default: 2}}\n"
    )
    names = ", ".join(f"{name}=zerrow.Parameter('{name}')" for name in "fgi")
    shop.write(
        {
            "zerrow_project.yml": "sources: {sales: sales.parquet}\n" + parameters,
            "m.py": HEAD + f"@zerrow.model()\ndef m(s=zerrow.Model('sales'), {names}):\n    return s\n",
        }
    )
    task = json.loads(json.dumps(shop.model("m")["task"]))
    given = prepare_arguments({"arguments": task["arguments"][1:]}, [])
    assert {name: (type(value), value) for name, value in given.items()} == {
        "f": (float, 2.0),
        "g": (float, 1000.0),
        "i": (int, 2),
    }
    low = json.loads(json.dumps(shop.model("m", f="-0.0")["task"]["arguments"][1]))
    assert str(prepare_arguments({"arguments": [low]}, [])["f"]) == "-0.0"


@pytest.mark.parametrize("engine", ["datafusion", "duckdb"])
def test_bytes_can_be_written_in_hexadecimal(shop: Any, engine: str) -> None:
    shop.write({"q.sql": f"-- zerrow: engine = {engine}\nselect id from sales where note = cast(X'61' as varchar)"})
    assert "X'61'" in shop.model("q")["task"]["sql"]
    filter_ = "@zerrow.model()\ndef m(s=zerrow.Model('sales', filter=\"note = x'61'\")):\n    return s\n"
    shop.write({"m.py": HEAD + filter_})
    assert "note = x'61'" in [
        model["task"]["filter"]["sql"] for model in shop.plan()["models"] if model["task"].get("filter")
    ]


def test_a_text_parameter_stays_one_literal(shop: Any) -> None:
    shop.write(
        {
            "zerrow_project.yml": "sources: {sales: sales.parquet}\nparameters: {who: {}}\n",
            "q.sql": "select id from sales where note = $who",
        }
    )
    task = shop.model("q", who="x' or '1'='1")["task"]
    assert task["sql"] == "select id from sales where note = 'x'' or ''1''=''1'"


def test_missing_sources_name_the_prepare_command(shop: Any) -> None:
    yaml = "sources: {sales: data/*.parquet, unread: none.parquet}\nprepare: python make.py 'a b'\n"
    shop.write({"zerrow_project.yml": yaml, "q.sql": "select id from sales"})
    assert shop.plan()["prepare"] == {"command": [INTERPRETER, "make.py", "a b"], "missing": ["sales"]}
    shop.write({"q.sql": "select id from sale"})
    assert [error["code"] for error in shop.errors()] == ["unknown-table"]


def test_a_query_is_planned_with_what_it_needs_alone(shop: Any) -> None:
    shop.write({"a.sql": "select id, day from sales", "b.sql": "select id from a", "c.sql": "select city from shops"})
    plan = plan_project(shop.folder, query="select max(day) as last\nfrom a join b using (id);")
    assert [(model["name"], model["final"]) for model in plan["models"]] == [
        ("sales", False),
        ("a", False),
        ("b", False),
        ("query", True),
    ]
    with pytest.raises(PlanError) as failure:
        plan_project(shop.folder, query="select id,\n  dayy from a")
    (error,) = failure.value.errors
    assert (error.file, error.line, error.hint) == ("query", 2, "did you mean 'day'?")


def test_a_query_needs_no_models_and_its_name_gives_way(shop: Any) -> None:
    assert [model["name"] for model in plan_project(shop.folder, query="from shops")["models"]] == ["shops", "query"]
    shop.write({"query.sql": "select id from sales"})
    plan = plan_project(shop.folder, query="select * from query")
    assert [model["name"] for model in plan["models"]] == ["sales", "query", "query_"]


def test_a_source_is_a_file_a_folder_or_a_glob(shop: Any) -> None:
    data = shop.folder / "data"
    (data / "more").mkdir(parents=True)
    for name in ("b.parquet", "a.parquet", "more/c.parquet", "_skipped.parquet", ".hidden.parquet"):
        pq.write_table(SALES, data / name)
    for path, names in {
        "data": ["a", "b", "more/c"],
        "data/?.parquet": ["a", "b"],
        "data/**/c.parquet": ["more/c"],
        str(data / "b.parquet"): ["b"],
    }.items():
        shop.write({"zerrow_project.yml": f"sources: {{sales: '{path}'}}\n", "q.sql": "select id from sales"})
        scan = shop.model("sales")
        assert scan["task"]["files"] == [f"{data}/{name}.parquet" for name in names]


def test_files_of_one_source_may_have_different_columns(shop: Any) -> None:
    (shop.folder / "data").mkdir()
    pq.write_table(pa.table({"id": [1], "x": [1]}), shop.folder / "data/a.parquet")
    pq.write_table(pa.table({"id": [1], "y": ["a"], "x": [0.5]}), shop.folder / "data/b.parquet")
    shop.write({"zerrow_project.yml": "sources: {sales: data}\n", "q.sql": "select id, y, x from sales where x = 'a'"})
    scan = shop.model("sales")
    assert scan["task"]["columns"] is None
    assert scan["task"]["filter"] is None


def test_imports_none_of_the_projects_code(shop: Any) -> None:
    body = "raise SystemExit('imported')\n"
    shop.write({"m.py": HEAD + "@zerrow.model()\ndef f(s=zerrow.Model('sales')):\n    return s\n" + body, "h.py": body})
    assert shop.model("f")["kind"] == "python"


@pytest.mark.parametrize(
    ("imports", "decorator", "model"),
    [
        ("import zerrow", "zerrow.model", "zerrow.Model"),
        ("import zerrow as z", "z.model", "z.Model"),
        ("from zerrow import Model, model as m", "m", "Model"),
    ],
)
def test_follows_the_names_zerrow_is_imported_by(shop: Any, imports: str, decorator: str, model: str) -> None:
    shop.write({"m.py": f"{imports}\n\n@{decorator}()\ndef f(s={model}('sales')):\n    return s\n"})
    assert shop.model("f")["inputs"] == ["sales"]


def test_the_command_prints_one_object_and_its_exit_code_tells(shop: Any) -> None:
    shop.write({"q.sql": "select idd from sales"})
    command = [sys.executable, "-m", "zerrow.plan", "--no-stream", "--project", str(shop.folder)]
    environment = {**os.environ, "PYTHONPATH": str(PYTHON)}
    failed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["errors"][0]["hint"] == "did you mean 'id'?"
    shop.write({"q.sql": "select id from sales"})
    planned = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert planned.returncode == 0
    assert json.loads(planned.stdout) == json.loads(json.dumps(shop.plan()))
    usage = subprocess.run([*command, "--param", "x"], env=environment, capture_output=True, text=True)
    assert usage.returncode == 2
    assert "write --param NAME=VALUE" in usage.stderr


def test_the_command_leaves_numpy_and_engines_alone(shop: Any) -> None:
    shop.write({"q.sql": "select id from sales"})
    code = (
        "import sys, zerrow.plan.__main__ as m; m.main(['--project', sys.argv[1]]);"
        "print([n for n in ('numpy', 'pandas', 'duckdb', 'datafusion') if sys.modules.get(n)], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PYTHON)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(shop.folder)], env=environment, capture_output=True, text=True
    )
    assert done.stderr.strip() == "[]"

"""What Bauplan's own description says of declarations, where no other test looks at it."""

from __future__ import annotations

from typing import Any

import pytest

TYPED = """\
from typing import Annotated, Optional, Union

import bauplan
import pyarrow as pa


class Sale(bauplan.TableSchema):
    id: bauplan.Int64


"""
READS = "@bauplan.model()\ndef total(t: Annotated[pa.Table, bauplan.Model('sales')]) -> Annotated[pa.Table, SCHEMA]:\n"


def typed(schema: str, name: str = "Out") -> str:
    return f"{TYPED}{schema}\n\n{READS.replace('SCHEMA', name)}    return t\n"


def test_every_type_of_a_column_is_arrows(shop: Any) -> None:
    types = {
        "Bool": "bool", "Int32": "int32", "Int64": "int64", "Float64": "double", "String": "string",
        "Binary": "binary", "Date32": "date32[day]", "Date64": "date64[ms]", "TimestampMicro": "timestamp[us]",
        "TimestampNano": "timestamp[ns]", "TimestampMicroUTC": "timestamp[us, tz=UTC]",
        "TimestampNanoUTC": "timestamp[ns, tz=UTC]", "Any": None,
    }  # fmt: skip
    lines = "".join(f"    {name.lower()}: bauplan.{name}\n" for name in types)
    shop.write({"models.py": typed(f"class Out(bauplan.TableSchema):\n{lines}")})
    columns = shop.model("total")["task"]["contract"]["columns"]
    assert columns == [{"name": name.lower(), "type": kind, "nullable": kind is None} for name, kind in types.items()]


@pytest.mark.parametrize(
    "kind",
    [
        "bauplan.Int64 | None",
        "None | bauplan.Int64",
        "Optional[bauplan.Int64]",
        "Union[bauplan.Int64, None]",
        "Union[None, bauplan.Int64]",
        "Annotated[bauplan.Int64 | None, bauplan.TableField(doc='d')]",
        "'bauplan.Int64 | None'",
    ],
)
def test_a_column_may_be_null_where_its_type_says_so(shop: Any, kind: str) -> None:
    shop.write({"models.py": typed(f"class Out(bauplan.TableSchema):\n    a: {kind}\n")})
    assert shop.model("total")["task"]["contract"]["columns"] == [{"name": "a", "type": "int64", "nullable": True}]


def test_a_schema_derives_from_table_schema_itself(shop: Any) -> None:
    shop.write({"models.py": typed("class Out(Sale):\n    more: bauplan.Int64\n")})
    (error,) = shop.errors()
    assert error["message"] == "the model 'total' returns unknown schema \"Out\""
    assert error["hint"] == "classes that derive from TableSchema themselves: Sale"


@pytest.mark.parametrize("kind", ["bauplan.UInt8", "bauplan.Float32", "float", "list[int]"])
def test_other_types_are_none_of_a_schemas(shop: Any, kind: str) -> None:
    errors = shop.write({"models.py": typed(f"class Out(bauplan.TableSchema):\n    a: {kind}\n")}).errors()
    assert [error["code"] for error in errors] == ["bad-schema"]


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("", "Model must have a valid return type annotation, and 'total' has none"),
        (" -> pa.Table", "must be of the form: Annotated[pyarrow.Table, SchemaType], and 'total' returns pa.Table"),
        (" -> Annotated[pa.Table, Sale, 'x']", "must be of the form: Annotated[pyarrow.Table, SchemaType]"),
        (" -> Annotated[pa.Table, Sail]", "the model 'total' returns unknown schema \"Sail\""),
    ],
)
def test_a_typed_model_says_what_it_returns(shop: Any, returns: str, message: str) -> None:
    text = typed("").replace(" -> Annotated[pa.Table, Out]", returns)
    (error,) = shop.write({"models.py": text}).errors()
    assert message in error["message"] and (error["model"], error["file"]) == ("total", "models.py")


FUNCTION = "import bauplan\n\n\n@bauplan.model(OPTIONS)\ndef total(INPUTS):\n    return t\n"


def function(options: str = "", inputs: str = "t=bauplan.Model('sales')") -> str:
    return FUNCTION.replace("OPTIONS", options).replace("INPUTS", inputs)


@pytest.mark.parametrize(("options", "file"), [("", "total.sql"), ("name='other'", "other.sql"), ("", "x.sql")])
def test_a_function_and_a_query_of_one_name_are_one_too_many(shop: Any, options: str, file: str) -> None:
    directive = "-- bauplan: name=total\n" if file == "x.sql" else ""
    shop.write({"models.py": function(options), file: f"{directive}select id from sales"})
    (error,) = shop.errors()
    assert error["code"] == "duplicate-name"
    assert "models.py:5" in error["message"] and f"{file}:1" in error["message"]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("sales", {"models.py": function("name='sales'")}),
        ("sales", {"sales.sql": "select id from sales"}),
        ("lake.t", {"models.py": function("name='lake.t'", "t=bauplan.Model('lake.t')")}),
        ("t", {"t.sql": "select id from bauplan.t"}),
    ],
)
def test_a_model_named_like_the_table_it_reads_is_a_cycle(shop: Any, name: str, files: dict[str, str]) -> None:
    errors = shop.write(files).errors()
    assert [e["message"] for e in errors if e["code"] == "cycle"] == [f"the models form a cycle: {name} → {name}"]


@pytest.mark.parametrize("inputs", ["", "t=bauplan.Parameter('x')"])
def test_a_model_reads_a_table(shop: Any, inputs: str) -> None:
    shop.write({"bauplan_project.yml": "parameters: {x: {type: int, default: 1}}\n"})
    (error,) = shop.write({"models.py": function("", inputs)}).errors()
    assert (error["code"], error["message"]) == ("no-input", "the model 'total' has no input")


def test_parameters_may_be_read_by_nobody_and_come_first(shop: Any) -> None:
    shop.write({"bauplan_project.yml": "parameters: {x: {default: 1}, y: {type: int, default: 2, required: true}}\n"})
    shop.write({"models.py": function("", "y=bauplan.Parameter('y'), t=bauplan.Model('sales', columns=['*'])")})
    plan = shop.plan(x="5")
    assert plan["warnings"] == []
    task = next(model["task"] for model in plan["models"] if model["name"] == "total")
    assert task["arguments"] == [
        {"name": "y", "value": 2},
        {"name": "t", "input": 0, "table": "sales", "columns": None, "filter": None},
    ]


def test_a_filter_may_have_a_parameter_of_every_type(shop: Any) -> None:
    shop.write(
        {
            "bauplan_project.yml": "parameters:\n  i: {type: int}\n  f: {type: float, default: 1}\n"
            '  s: {type: str, default: "it\'s"}\n  d: {default: 2024-01-02}\n  b: {type: bool}\n  n: {type: int}\n',
            "models.py": function(
                "",
                "t=bauplan.Model('sales', filter='id = $i and weight > $f and note = $s and day >= $d and "
                "(id > 1) = $b and shop <> $n')",
            ),
        }
    )
    plan = shop.plan(i="2", b="false")
    filter_ = next(model for model in plan["models"] if model["name"] == "sales")["task"]["filter"]
    assert filter_["sql"].lower() == (
        "id = 2 and weight > 1.0 and note = 'it''s' and day >= '2024-01-02' and (id > 1) = false and shop <> null"
    )


@pytest.mark.parametrize("allows", [True, False])
def test_only_models_that_say_so_have_the_network(shop: Any, allows: bool) -> None:
    shop.write({"models.py": function(f"internet_access={allows}"), "plain.sql": "select id from total"})
    assert (shop.model("total")["network"], shop.model("plain")["network"]) == (allows, False)
    shop.write({"plain.sql": f"-- bauplan: internet_access = {allows}\nselect id from total"})
    assert shop.model("plain")["network"] is allows


def test_names_with_a_namespace_stand_in_every_place(shop: Any) -> None:
    shop.write({"zerrow_project.yml": "sources: {lake.sales: sales.parquet, shops: shops.parquet}\n"})
    shop.write(
        {
            "models.py": function("name='mart.total'", "t=bauplan.Model('lake.sales', columns=['id'])"),
            "a.sql": "-- bauplan: name=mart.a\n"
            "select mart.total.id from mart.total join lake.sales s on s.id = total.id",
            "b.sql": "select id from mart.a union all select shop from bauplan.shops",
        }
    )
    plan = shop.plan()
    inputs = {model["name"]: sorted(model["inputs"]) for model in plan["models"]}
    assert inputs["mart.total"] == ["lake.sales"] and "mart.total" in inputs["mart.a"]
    assert inputs["b"] == ["mart.a", "shops"]


def test_tables_of_a_run_may_be_filtered_and_read_by_several(shop: Any) -> None:
    text = function("name='base'")
    for name in ("left", "right"):
        inputs = "t=bauplan.Model('base', columns=['id'], filter='weight > 1')"
        text += function(f"name='{name}_of'", inputs).replace("import bauplan\n", "").replace("total", name)
    shop.write({"models.py": text})
    plan = {model["name"]: model for model in shop.plan()["models"]}
    assert [plan[f"{name}_of"]["inputs"] for name in ("left", "right")] == [["base"], ["base"]]
    assert plan["left_of"]["task"]["arguments"][0]["filter"]["sql"] == "weight > 1"


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ("materialize=True", "REPLACE"),
        ("materialize=False", None),
        ("materialize=None", None),
        ("materialize=True, materialization_strategy='APPEND'", "APPEND"),
        ("materialize=True, materialization_strategy='NONE'", None),
    ],
)
def test_models_of_the_first_projects_are_materialized(shop: Any, options: str, strategy: str | None) -> None:
    shop.write({"models.py": function(options)})
    directives = "".join(f"-- bauplan: {each.strip()}\n" for each in options.split(",") if "None" not in each)
    shop.write({"q.sql": directives + "select id from sales"})
    nodes = {each["inputs"][0]: each for each in shop.plan()["models"] if each["kind"] == "materialize"}
    assert {name: each["task"]["strategy"] for name, each in nodes.items()} == (
        {"total": strategy, "q": strategy} if strategy else {}
    )

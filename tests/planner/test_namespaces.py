"""Names of tables with a namespace and without: what they mean in Python, in SQL and in queries."""

from __future__ import annotations

from typing import Any

import pytest
from zerrow.errors import PlanError
from zerrow.plan import plan_project

SOURCES = "sources: {{{}}}\n"


def project(shop: Any, *sources: str, more: str = "", **files: str) -> Any:
    """A project of these sources, all in one file, and of files by their names' stems."""
    shop.write({"zerrow_project.yml": SOURCES.format(", ".join(f"{each}: sales.parquet" for each in sources)) + more})
    return shop.write({f"{name}.{'py' if 'import' in text else 'sql'}": text for name, text in files.items()})


def inputs(shop: Any, name: str, **options: Any) -> list[str]:
    plan = plan_project(shop.folder, **options)
    return next(each for each in plan["models"] if each["name"] == name)["inputs"]


def python(table: str, name: str = "p") -> str:
    return (
        f"import bauplan\n\n\n@bauplan.model()\ndef {name}(t=bauplan.Model('{table}', columns=['id'])):\n    return t\n"
    )


@pytest.mark.parametrize(
    ("sources", "read", "namespace", "found"),
    [
        (("lake.sales",), "lake.sales", None, "lake.sales"),
        (("lake.sales",), "sales", "lake", "lake.sales"),
        (("lake.sales", "sales"), "sales", "lake", "lake.sales"),
        (("lake.sales", "sales"), "sales", None, "sales"),
        (("sales",), "sales", "lake", "sales"),
        (("sales",), "lake.sales", "lake", "sales"),
        (("sales",), "bauplan.sales", None, "sales"),
        (("sales",), "bauplan.sales", "lake", "sales"),
        (("bauplan.sales", "lake.sales"), "sales", None, "bauplan.sales"),
    ],
)
def test_names_with_and_without_a_namespace(
    shop: Any, sources: tuple[str, ...], read: str, namespace: str | None, found: str
) -> None:
    project(shop, *sources, s=f"select id from {read}", m=python(read))
    assert inputs(shop, "s", namespace=namespace) == inputs(shop, "p", namespace=namespace) == [found]


def test_the_project_file_may_name_the_namespace(shop: Any) -> None:
    project(shop, "lake.sales", "pond.sales", more="defaults: {namespace: lake}\n", s="select id from sales")
    assert inputs(shop, "s") == ["lake.sales"]
    assert inputs(shop, "s", namespace="pond") == ["pond.sales"]


def test_models_have_namespaces_too(shop: Any) -> None:
    text = python("sales").replace("model()", "model(name='mart.first')")
    project(shop, "sales", m=text, s="-- bauplan: name=mart.second\nselect id from mart.first")
    assert inputs(shop, "mart.second") == ["mart.first"]
    shop.write({"t.sql": "select id from second"})
    assert inputs(shop, "t", namespace="mart") == ["mart.second"]
    with pytest.raises(PlanError, match="reads 'second', which is no model, no source table"):
        inputs(shop, "t")


def test_columns_of_a_table_with_a_namespace_are_known(shop: Any) -> None:
    sql = (
        "select lake.sales.id, sales.note, n.shop from lake.sales join lake.shops n on sales.shop = n.shop where id > 1"
    )
    project(shop, "lake.sales", "lake.shops", s=sql.replace("where id", "where lake.sales.id"))
    columns = {each["name"]: each["task"]["columns"] for each in shop.plan()["models"] if each["kind"] == "scan"}
    assert columns["lake.sales"] == ["id", "shop", "note"]
    shop.write({"s.sql": "select sales.nope\nfrom lake.sales"})
    (error,) = shop.errors()
    assert (error["code"], error["message"]) == ("unknown-column", "the table 'lake.sales' has no column 'nope'")


def test_an_unknown_namespace_comes_first(shop: Any) -> None:
    project(shop, "lake.sales", a="select nope from lake.sales", m=python("lakes.sales"), z="select id from lake.sals")
    errors = [(each["code"], each["message"], each["hint"]) for each in shop.errors()]
    assert errors[0] == (
        "unknown-namespace",
        "the model 'p' reads 'lakes.sales', and there is no namespace 'lakes'",
        "did you mean 'lake.sales'?",
    )
    assert [code for code, _, _ in errors] == ["unknown-namespace", "unknown-column", "unknown-table"]


def test_a_namespace_of_the_command_line_without_tables_is_named(shop: Any) -> None:
    project(shop, "lake.sales", s="select id from sales")
    with pytest.raises(PlanError, match="and there is no namespace 'pond'"):
        inputs(shop, "s", namespace="pond")


def test_a_model_that_is_another_by_its_namespace_is_refused(shop: Any) -> None:
    project(shop, "sales", a="-- bauplan: name = bauplan.b\nselect id from sales", b="select id from sales")
    (error,) = shop.errors()
    assert (error["code"], error["message"]) == (
        "duplicate-name", "'bauplan.b' and 'b' are one table: b.sql:1 and a.sql:1",
    )  # fmt: skip


def test_a_model_that_reads_itself_by_its_namespace_is_a_cycle(shop: Any) -> None:
    project(shop, "sales", s="select id from bauplan.s")
    assert [each["code"] for each in shop.errors()] == ["cycle"]


def test_names_of_three_parts_are_no_names(shop: Any) -> None:
    project(shop, "a.b.c", s="select 1 from sales")
    assert any(each["message"].startswith("'a.b.c' has 3 parts") for each in shop.errors())


def test_a_file_may_be_called_query(shop: Any) -> None:
    project(shop, "sales", query="select id from sales", s="select id from query")
    plan = plan_project(shop.folder, query='select id from "query"')
    assert [(each["name"], each["final"]) for each in plan["models"]] == [
        ("sales", False), ("query", False), ("query_", True),
    ]  # fmt: skip

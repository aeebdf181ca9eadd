"""Which project files there may be, and what Bauplan's has in it."""

from __future__ import annotations

from typing import Any

import pytest
from zerrow.errors import PlanError
from zerrow.plan import plan_project

FULL = """\
project:
  id: 00000000-0000-4000-8000-000000000002
  name: full
  description: all that it may say
parameters:
  low: {type: int, default: 1, required: true, description: the least, key: none}
defaults:
  timeout: 60
  namespace: lake
  python:
    version: "3.11"
    packages: [{name: pandas, version: 2.2.2}]
include_paths: [more/*.sql, "**/deep_*.sql"]
"""


def test_bauplans_file_is_read_whole_and_zerrows_adds_to_it(shop: Any) -> None:
    (shop.folder / "zerrow_project.yml").write_text(
        "sources: {lake.sales: sales.parquet}\nparameters: {low: {type: int}}\n"
    )
    shop.write({"bauplan_project.yml": FULL, "more/a.sql": "select id from sales", "x/deep_b.sql": "select id from a"})
    plan = shop.plan(low="2")
    assert (plan["project"]["name"], plan["timeout_s"]) == ("full", 60.0)
    assert [(each["name"], each["file"]) for each in plan["models"]] == [
        ("lake.sales", None), ("a", "more/a.sql"), ("deep_b", "x/deep_b.sql"),
    ]  # fmt: skip
    assert plan["warnings"] == []
    (error,) = shop.errors()
    assert (error["code"], error["file"], error["line"]) == ("missing-parameter", "zerrow_project.yml", 2)


@pytest.mark.parametrize("name", ["bauplan_project.yml", "bauplan_project.yaml"])
def test_bauplans_file_alone_will_do_with_sources_given(shop: Any, name: str) -> None:
    (shop.folder / "zerrow_project.yml").unlink()
    shop.write({name: "project: {id: x}\n", "q.sql": "select id from sales"})
    plan = plan_project(shop.folder, sources={"sales": "sales.parquet"})
    assert [each["name"] for each in plan["models"]] == ["sales", "q"]
    assert plan["project"]["name"] == shop.folder.name


def test_no_file_at_all_will_do_with_sources_given(shop: Any) -> None:
    (shop.folder / "zerrow_project.yml").unlink()
    shop.write({"q.sql": "select id from lake.sales"})
    plan = plan_project(shop.folder, sources={"lake.sales": str(shop.folder / "sales.parquet")})
    assert [each["name"] for each in plan["models"]] == ["lake.sales", "q"]
    (error,) = shop.errors()
    assert (error["code"], error["file"]) == ("unknown-namespace", "q.sql")
    with pytest.raises(PlanError) as failure:
        plan_project(shop.folder, sources={"lake.sales": "none.parquet"})
    assert [each.code for each in failure.value.errors] == ["source-missing"]


def test_a_source_of_the_command_line_replaces_the_files(shop: Any) -> None:
    shop.write({"q.sql": "select city from sales"})
    plan = plan_project(shop.folder, sources={"sales": "shops.parquet"})
    assert plan["models"][0]["task"]["files"] == [str(shop.folder / "shops.parquet")]


def test_both_endings_of_bauplans_file_are_one_too_many(shop: Any) -> None:
    shop.write({"bauplan_project.yml": "project: {}\n", "bauplan_project.yaml": "project: {}\n", "q.sql": "select 1"})
    (error,) = shop.errors()
    assert (error["code"], error["file"]) == ("two-project-files", "bauplan_project.yaml")


def test_unknown_keys_of_bauplans_file_are_noted(shop: Any) -> None:
    text = "projekt: {}\nproject: {nam: x}\nsources: {a: b}\nparameters: {p: {typ: int}}\ndefaults: {pyton: 1}\n"
    shop.write({"bauplan_project.yml": text, "q.sql": "select id from sales"})
    found = [(each["code"], each["line"], each["hint"]) for each in shop.plan()["warnings"]]
    assert found == [
        ("unknown-key", 1, "did you mean 'project'?"),
        ("unknown-key", 2, "did you mean 'name'?"),
        ("unknown-key", 3, "move it to a zerrow_project.yml beside this file"),
        ("unknown-key", 4, "did you mean 'type'?"),
        ("unknown-key", 5, "did you mean 'python'?"),
    ]


def test_tabs_that_indent_bauplans_file_are_read_and_noted(shop: Any) -> None:
    text = "project:\n    name: tabbed\n\ndefaults:\n\tnamespace: lake\n"
    shop.write({"bauplan_project.yml": text, "q.sql": "select id from sales"})
    shop.write({"zerrow_project.yml": "sources: {lake.sales: sales.parquet}\n"})
    plan = shop.plan()
    assert [(each["code"], each["line"]) for each in plan["warnings"]] == [("yaml-tab", 5)]
    assert (plan["project"]["name"], plan["models"][0]["name"]) == ("tabbed", "lake.sales")


@pytest.mark.parametrize("path", ["more/*.txt", "../other/*.sql", "/etc/*.sql", "a/../../b.sql"])
def test_included_paths_stay_in_the_project(shop: Any, path: str) -> None:
    shop.write({"bauplan_project.yml": f"include_paths: ['{path}']\n", "q.sql": "select id from sales"})
    (error,) = shop.errors()
    assert (error["code"], error["line"]) == ("project-file", 1)


DIRECTIVES = """\
--bauplan:name=first
  -- bauplan: materialization_strategy = overwrite_partitions
-- bauplan: partitioned_by = YEAR(day), shop
-- bauplan: overwrite_filter = day = '2024-01-01'
-- bauplan: cache_strategy = NONE
-- bauplan: internet_access = false
-- bauplan: columns = [id, nope]
-- bauplan: what_is_this = 1

SELECT id, FROM sales
"""


def test_every_option_of_a_model_can_be_a_directive(shop: Any) -> None:
    model = shop.write({"q.sql": DIRECTIVES}).model("first")
    assert model["because"] == 'it says cache_strategy="NONE"'
    assert (model["task"]["columns"], model["task"]["strict"]) == (["id", "nope"], False)
    warnings = shop.plan()["warnings"]
    assert [(each["code"], each["line"]) for each in warnings] == [("unknown-argument", 8)]
    shop.write({"q.sql": DIRECTIVES.replace("overwrite_partitions", "OVERWRITE")})
    (error,) = shop.errors()
    assert (error["code"], error["line"]) == ("bad-directive", 2)
    assert error["hint"] == "strategies: NONE, REPLACE, APPEND, OVERWRITE_PARTITIONS"

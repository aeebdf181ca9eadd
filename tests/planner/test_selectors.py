"""Selectors mean what dbt's do: https://docs.getdbt.com/reference/node-selection/syntax."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_project import Shop
from zerrow.plan.findings import Findings
from zerrow.plan.project import read_project
from zerrow.plan.project_file import read_project_file
from zerrow.plan.selectors import Selection, SelectorError

MODELS = """
import zerrow


@zerrow.model(tags=["daily", "money"])
def stg_sales(sales=zerrow.Model("sales")):
    return sales


@zerrow.model(tags="daily, places")
def stg_shops(shops=zerrow.Model("shops")):
    return shops


@zerrow.model(name="mart.joined")
def joined(a=zerrow.Model("stg_sales"), b=zerrow.Model("stg_shops")):
    return a


@zerrow.model()
def report(joined=zerrow.Model("mart.joined")):
    return joined


@zerrow.expectation()
def sales_are_there(a=zerrow.Model("stg_sales")):
    return True
"""


@pytest.fixture
def project(shop: Shop):
    """Two staging models that a third joins, a report, a query, and an expectation."""
    shop.write(
        {
            "models.py": MODELS,
            "cities.sql": "-- zerrow: tags = places, weekly\nselect city from stg_shops",
            "lone.sql": "select 1 as n",
            "zerrow_project.yml": "project: {name: shop}\ninclude_paths: [more/*.sql]\n"
            "sources:\n  sales: sales.parquet\n  shops: shops.parquet\n",
            "more/deep.sql": "select city from cities",
        }
    )
    findings = Findings()
    read = read_project(read_project_file(Path(shop.folder), findings), {}, findings)
    assert not findings.errors, findings.errors
    return read


def select(project, *selectors: str, exclude: tuple[str, ...] = ()) -> set[str]:
    """What selectors mean in the project."""
    return set(Selection(project.models, set(project.file.sources), "bauplan").select(selectors, exclude).names)


EVERYTHING = {"stg_sales", "stg_shops", "mart.joined", "report", "sales_are_there", "cities", "lone", "deep"}


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("report", {"report"}),
        ("+report", {"report", "mart.joined", "stg_sales", "stg_shops"}),
        ("1+report", {"report", "mart.joined"}),
        ("2+report", {"report", "mart.joined", "stg_sales", "stg_shops"}),
        ("stg_shops+", {"stg_shops", "mart.joined", "report", "cities", "deep"}),
        ("stg_shops+1", {"stg_shops", "mart.joined", "cities"}),
        ("+cities+", {"stg_shops", "cities", "deep"}),
        ("@stg_shops", {"stg_shops", "mart.joined", "report", "cities", "deep", "stg_sales"}),
        ("stg_*", {"stg_sales", "stg_shops"}),
        ("stg_sales report", {"stg_sales", "report"}),
        ("+report,tag:places", {"stg_shops"}),
        ("tag:daily", {"stg_sales", "stg_shops"}),
        ("tag:daily,tag:money", {"stg_sales"}),
        ("tag:w*", {"cities"}),
        ("tag:weekly+", {"cities", "deep"}),
        ("file:cities.sql", {"cities"}),
        ("path:more", {"deep"}),
        ("path:./more/", {"deep"}),
        ("file:*.py", {"stg_sales", "stg_shops", "mart.joined", "report", "sales_are_there"}),
        ("kind:sql", {"cities", "lone", "deep"}),
        ("kind:expectation", {"sales_are_there"}),
        ("resource_type:model,models", None),
        ("namespace:mart", {"mart.joined"}),
        ("bauplan.report", {"report"}),
        ("source:sales", {"stg_sales"}),
        ("source:sales+", {"stg_sales", "mart.joined", "report", "sales_are_there"}),
        ("fqn:lone", {"lone"}),
    ],
)
def test_a_selector_means_what_it_means_in_dbt(project, selector: str, meant: set[str] | None):
    if meant is None:
        with pytest.raises(SelectorError):
            select(project, selector)
        return
    assert select(project, selector) == meant


def test_several_selectors_are_joined_and_some_models_excluded(project):
    assert select(project, "report", "lone") == {"report", "lone"}
    assert select(project, "+report", exclude=("stg_*",)) == {"report", "mart.joined"}
    assert select(project, exclude=("tag:daily", "kind:sql")) == {"mart.joined", "report", "sales_are_there"}
    assert select(project) == EVERYTHING


@pytest.mark.parametrize(
    ("selector", "message", "hint"),
    [
        ("repot", "'repot' means no model", "did you mean 'report'?"),
        ("tag:dayly", "means no model", "did you mean 'daily'?"),
        ("tga:daily", "no selector begins with 'tga'", "did you mean 'tag'?"),
        ("tag:", "nothing behind its colon", "tag:…"),
        ("a,,b", "a comma with nothing beside it", "tag:a,tag:b"),
        ("@report+", "both @ and +", "@orders"),
        (" ", "empty", "--select"),
        ("+", "no selector", "+orders"),
        ("file:citys.sql", "means no model", "did you mean 'cities.sql'?"),
        ("source:sale", "means no model", "did you mean 'sales'?"),
        ("kind:pyton", "means no model", "did you mean 'python'?"),
    ],
)
def test_a_selector_that_means_nothing_is_told_with_what_was_meant(project, selector: str, message: str, hint: str):
    with pytest.raises(SelectorError) as failure:
        select(project, selector)
    assert message in str(failure.value)
    assert hint in str(failure.value.hint)


def test_nothing_left_is_an_error(project):
    with pytest.raises(SelectorError, match="leave no model"):
        select(project, "report", exclude=("report",))

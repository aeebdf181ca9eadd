"""Plans in which tables are read from files instead of being made."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zerrow.errors import PlanError
from zerrow.plan import plan_project

MODELS = """
import zerrow


@zerrow.model()
def first(a=zerrow.Model("sales")):
    return a


@zerrow.model()
def second(a=zerrow.Model("first")):
    return a


@zerrow.model()
def third(a=zerrow.Model("second"), b=zerrow.Model("sales")):
    return a
"""


@pytest.fixture
def path(shop: Any) -> str:
    """A file to read, in a project of three models."""
    shop.write({"m.py": MODELS})
    made = shop.folder / "fake.parquet"
    pq.write_table(pa.table({"x": [1]}), made)
    return str(made)


def kinds(shop: Any, selector: str, **replaced: str) -> dict[str, str]:
    plan = plan_project(shop.folder, selectors=[selector], replaced=replaced)
    return {model["name"]: model["kind"] for model in plan["models"]}


def test_a_replaced_model_is_a_source(shop: Any, path: str) -> None:
    assert kinds(shop, "third", second=path) == {"second": "scan", "sales": "scan", "third": "python"}


def test_a_replaced_source_is_another_file(shop: Any, path: str) -> None:
    plan = plan_project(shop.folder, selectors=["first"], replaced={"sales": path})
    assert [model["name"] for model in plan["models"]] == ["sales", "first"]
    assert plan["models"][0]["task"]["files"] == [path]


def test_a_name_that_nothing_reads_is_an_error(shop: Any, path: str) -> None:
    with pytest.raises(PlanError) as failure:
        plan_project(shop.folder, selectors=["third"], replaced={"sale": path, "nothing at all": path})
    said = [(error.code, error.message, error.hint) for error in failure.value.errors]
    assert said == [
        ("unknown-table", "nothing reads a table 'sale'", "did you mean 'sales'?"),
        ("unknown-table", "nothing reads a table 'nothing at all'", "there are: first, sales, second"),
    ]

"""Plans for some models of a project, and plans in which tables are read instead of being made."""

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


@zerrow.model()
def other(a=zerrow.Model("sales")):
    return a


@zerrow.expectation()
def about_first(a=zerrow.Model("first")):
    return True


@zerrow.expectation()
def about_all(a=zerrow.Model("first"), b=zerrow.Model("other")):
    return True
"""


def planned(shop: Any, *selected: str, **options: Any) -> dict[str, bool]:
    """Whether models of the plan are final, by their names."""
    plan = plan_project(shop.folder, selected=selected, **options)
    return {model["name"]: model["final"] for model in plan["models"]}


def test_a_selection_has_what_it_needs_and_what_is_expected_of_it(shop: Any) -> None:
    shop.write({"m.py": MODELS})
    assert planned(shop, "second") == {"sales": False, "first": False, "about_first": False, "second": True}
    assert planned(shop, "third", "first") == {
        "sales": False, "first": True, "about_first": False, "second": False, "third": True,
    }  # fmt: skip
    assert set(planned(shop, "other", "first")) == {"sales", "first", "other", "about_first", "about_all"}
    # Without one: what nobody reads is final.
    assert {name for name, is_final in planned(shop).items() if is_final} == {"other", "third"}


def test_a_selected_expectation_has_no_table(shop: Any) -> None:
    shop.write({"m.py": MODELS})
    assert planned(shop, "about_first") == {"sales": False, "first": True, "about_first": False}


def test_a_replaced_model_is_a_source(shop: Any) -> None:
    shop.write({"m.py": MODELS})
    path = shop.folder / "fake.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    plan = plan_project(shop.folder, selected=["third"], replaced={"second": str(path)})
    kinds = {model["name"]: model["kind"] for model in plan["models"]}
    assert kinds == {"second": "scan", "sales": "scan", "third": "python"}
    assert planned(shop, "first", replaced={"sales": str(path)}) == {
        "sales": False, "first": True, "about_first": False,
    }  # fmt: skip


def test_names_that_there_are_not(shop: Any) -> None:
    shop.write({"m.py": MODELS})
    with pytest.raises(PlanError) as failure:
        plan_project(shop.folder, selected=["thrid", "nothing at all"], replaced={"sale": "x.parquet"})
    said = [(error.code, error.hint) for error in failure.value.errors]
    assert said == [
        ("unknown-table", "did you mean 'sales'?"),
        ("unknown-model", "did you mean 'third'?"),
        ("unknown-model", "there are: about_all, about_first, first, other, second, third"),
    ]

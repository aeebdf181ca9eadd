"""Inputs that a Python model asks for as streams, as they are planned."""

from __future__ import annotations

from typing import Any

import pytest
from zerrow.errors import PlanError
from zerrow.plan.inputs import Input
from zerrow.plan.streams import asked_for

MODELS = """
import zerrow


@zerrow.model()
def first(t=zerrow.Model('sales', columns=['id', 'amount'], filter='amount > 2', stream=True)):
    return t


@zerrow.model()
def second(x=zerrow.Model('first', columns=['id'], filter='id > 1', stream=True), t=zerrow.Model('sales')):
    return x
"""


def test_a_streamed_source_has_no_scan_and_a_streamed_model_is_an_input(shop: Any) -> None:
    shop.write({"m.py": MODELS})
    models = {entry["name"]: entry for entry in shop.plan()["models"]}
    assert models["first"]["inputs"] == [] and models["first"]["streamed"][0]["table"] == "sales"
    (argument,) = models["first"]["task"]["arguments"]
    assert argument["stream"] is True and "input" not in argument and argument["filter"] is None
    source = argument["source"]
    assert source["columns"] == ["id", "amount"] and source["filter"]["sql"] == "amount > 2"
    # Who asks for a table still gets one.
    assert models["second"]["inputs"] == ["first", "sales"] and models["sales"]["kind"] == "scan"
    x, t = models["second"]["task"]["arguments"]
    assert x["stream"] is True and x["input"] == 0 and x["filter"]["sql"] == "id > 1"
    assert "stream" not in t and t["input"] == 1


def test_a_stream_is_true_or_false(shop: Any) -> None:
    shop.write({"m.py": MODELS.replace("stream=True", "stream='yes'", 1)})
    with pytest.raises(PlanError) as caught:
        shop.plan()
    assert any("stream='yes' should be True or False" in str(each) for each in caught.value.errors)


def test_an_environment_of_its_own_has_a_scan(shop: Any) -> None:
    class Source:
        schema, files = "…", ("a.parquet",)

    inputs = [Input(name, "t", "sales", None, None, is_streamed=True) for name in ("here", "elsewhere")]
    found = asked_for(inputs, {"sales": Source}, {"here": "default", "elsewhere": "other"}, "default")
    assert found == {id(inputs[0])}

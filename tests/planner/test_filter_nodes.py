"""Filters on other models' tables where the reader has an environment of its own: a model of the engine's applies them.
The oracle is the reader that filters itself."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from zerrow.plan import plan_project
from zerrow.plan.filter_nodes import with_filter_nodes
from zerrow.worker.tasks import execute, prepare_arguments

MODELS = """
import bauplan
from bauplan import Model


@bauplan.model()
def base(t=Model('sales')):
    return t


@bauplan.model()
def a(x=Model('base', columns=['id'], filter='amount > 2'), y=Model('base', filter='id = 1')):
    return {'ids': [*x['id'].to_pylist(), *y['id'].to_pylist()]}


@bauplan.model()
def b(x=Model('base', columns=['amount'], filter='amount  >  2')):
    return x


@bauplan.model()
def c(x=Model('base', columns=['amount'], filter='amount > 2')):
    return x
"""


def planned(shop: Any, apart: tuple[str, ...]) -> list[dict[str, Any]]:
    """The project's plan with those models in another environment."""
    models = plan_project(shop.folder)["models"]
    for entry in models:
        if entry["name"] in apart:
            entry["environment"] = "other"

    def facts(entry: dict[str, Any], argument: dict[str, Any]) -> dict[str, Any]:
        return {"key": [entry["name"], argument["columns"], argument["filter"]["sql"]]}

    return with_filter_nodes(models, "default", facts)


def run(models: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """Runs a plan in this process."""
    results: dict[str, Any] = {}
    for entry in models:
        tables = [results[name] for name in entry["inputs"]]
        results[entry["name"]] = execute(entry["task"], prepare_arguments(entry["task"], tables), tables)
    return results


def test_a_filter_in_another_environment_is_a_model_of_the_default_one(shop: Any) -> None:
    shop.write({"models.py": MODELS})
    models = planned(shop, ("a", "c"))
    by_name = {entry["name"]: entry for entry in models}
    assert [each for each in by_name if "#filter" in each] == ["base#filter", "base#filter2"]
    for name in ("base#filter", "base#filter2"):
        node = by_name[name]
        assert (node["kind"], node["environment"], node["inputs"], node["final"]) == (
            "filter",
            "default",
            ["base"],
            False,
        )
        assert (node["file"], node["line"]) == (by_name["a"]["file"], by_name["a"]["line"])
        assert list(by_name).index("base") < list(by_name).index(name) < list(by_name).index("a")
    assert by_name["a"]["inputs"] == ["base#filter", "base#filter2"]
    # Readers of the same rows share them, with the columns of each.
    assert by_name["c"]["inputs"] == ["base#filter"]
    assert by_name["base#filter"]["key"] == ["base", ["id", "amount"], "amount > 2"]
    # The one of the default environment filters itself.
    assert by_name["b"]["inputs"] == ["base"] and by_name["b"]["task"]["arguments"][0]["filter"]
    assert all(argument["filter"] is None for argument in by_name["a"]["task"]["arguments"])


def test_a_model_gets_the_same_rows_whoever_filters(shop: Any) -> None:
    shop.write({"models.py": MODELS})
    expected, found = run(planned(shop, ())), run(planned(shop, ("a", "b", "c")))
    for name in ("a", "b", "c"):
        assert found[name].equals(expected[name], check_metadata=True) and found[name].num_rows


def test_rows_that_all_stay_are_passed_on_where_they_are(shop: Any) -> None:
    shop.write({"models.py": MODELS.replace("amount > 2", "id > 0")})
    tables = run(planned(shop, ("a", "c")))
    kept, base = tables["base#filter"]["id"].chunk(0), tables["base"]["id"].chunk(0)
    assert kept.buffers()[1].address == base.buffers()[1].address


def test_the_plan_of_a_project_in_one_environment_has_none(shop: Any) -> None:
    shop.write({"models.py": MODELS})
    before = plan_project(shop.folder)["models"]
    assert not [entry for entry in before if entry["kind"] == "filter"]


def test_keys_tell_filters_and_their_columns_apart(shop: Any, monkeypatch: Any) -> None:
    from zerrow.plan import planner

    original = planner._Planner._entry

    def entry(self: Any, model: Any, *more: Any) -> dict[str, Any]:
        apart = {"environment": "other"} if model.name in ("a", "c") else {}
        return {**original(self, model, *more), **apart}

    monkeypatch.setattr(planner._Planner, "_entry", entry)

    def nodes(text: str) -> list[dict[str, Any]]:
        shop.write({"models.py": text})
        return [entry for entry in plan_project(shop.folder)["models"] if entry["kind"] == "filter"]

    first, second = nodes(MODELS)
    assert first["key"] and second["key"] and first["key"] != second["key"] and first["repeatable"]
    assert [each["key"] for each in nodes(MODELS)] == [first["key"], second["key"]]
    assert nodes(MODELS.replace("columns=['id']", "columns=['id', 'region']"))[0]["key"] != first["key"]
    changed = nodes(MODELS.replace("amount > 2", "amount > 3"))
    assert changed[0]["key"] != first["key"] and changed[0]["code"] == first["code"]
    chance = nodes(MODELS.replace("amount > 2", "random() > 0.5"))[0]
    assert chance["key"] is None and "random" in chance["because"] and not chance["repeatable"]

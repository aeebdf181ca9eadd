"""Values of parameters: where they come from, which wins, and secrets, which are shown nowhere."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from zerrow.errors import PlanError
from zerrow.plan import plan_project

SECRET = "hunter-22-hunter"
PYTHON = (
    "import bauplan\n\n\n@bauplan.model()\ndef p(t=bauplan.Model('sales'), x=bauplan.Parameter('x')):\n    return t\n"
)


def value(shop: Any, given: dict[str, str] | None = None, **environment: str) -> Any:
    """What the model p gets for its parameter x."""
    plan = plan_project(shop.folder, given or {}, environment=environment, hands_over=True)
    return next(each for each in plan["models"] if each["name"] == "p")["task"]["arguments"][1]["value"]


def declare(shop: Any, declaration: str, file: str = "bauplan_project.yml") -> Any:
    return shop.write({file: f"parameters:\n  x: {{{declaration}}}\n", "p.py": PYTHON})


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("type: str, default: 2024-01-01", "2024-01-01"),
        ("type: str, default: 5", "5"),
        ("default: hello", "hello"),
        ("default: 5", 5),
        ("default: 1.5", "1.5"),
        ("default: false", False),
        ("default: 2024-01-01", "2024-01-01"),
        ("type: int, default: 3, required: true, description: how many", 3),
        ("type: float, default: 3", "3.0"),
        ("type: int", None),
        ("type: bool, required: false", None),
        ("", None),
    ],
)
def test_defaults_have_the_declared_type_or_their_own(shop: Any, declaration: str, expected: Any) -> None:
    found = value(declare(shop, declaration))
    assert (found, type(found)) == (expected, type(expected))


def test_a_parameter_may_be_a_word_of_sql(shop: Any) -> None:
    shop.write({"bauplan_project.yml": "parameters: {limit: {type: int, default: 2}}\n"})
    shop.write({"q.sql": "select id from sales limit $limit"})
    assert shop.model("q")["task"]["sql"].endswith("limit 2")


def test_a_required_parameter_of_bauplans_file_has_to_be_given(shop: Any) -> None:
    declare(shop, "type: int, required: true")
    (error,) = shop.errors()
    assert (error["code"], error["file"], error["line"]) == ("missing-parameter", "bauplan_project.yml", 2)
    assert value(shop, {"x": "7"}) == 7


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(shop: Any) -> None:
    declare(shop, "type: int, default: 1").write({".gitignore": "zerrow_parameters.yml\n"})
    (shop.folder / ".git").mkdir()
    assert value(shop) == 1
    shop.write({"zerrow_parameters.yml": "x: 2\n"})
    assert value(shop) == 2
    assert value(shop, ZERROW_PARAM_x="3", ZERROW_PARAM_other="9") == 3
    assert value(shop, {"x": "4"}, ZERROW_PARAM_x="3") == 4
    assert shop.plan()["warnings"] == []


def test_a_file_of_parameters_that_git_does_not_ignore_is_warned_about_and_hidden(shop: Any) -> None:
    declare(shop, "type: int, default: 1").write({"zerrow_parameters.yml": "x: 2\nunused: 3\n"})
    plan = shop.plan()
    assert [each["code"] for each in plan["warnings"]] == ["parameters-tracked", "unknown-parameter"]
    assert str(shop.folder / "zerrow_parameters.yml") in json.dumps(plan["hidden"])


@pytest.mark.parametrize("text", ["x: [1\n", "- x\n", "x: {y: 1}\n"])
def test_a_broken_file_of_parameters_is_an_error_that_repeats_nothing(shop: Any, text: str) -> None:
    declare(shop, "type: int, default: 1").write({"zerrow_parameters.yml": text})
    (error,) = shop.errors()
    assert (error["code"], error["file"]) == ("yaml", "zerrow_parameters.yml")


def test_a_value_that_nobody_declared_is_a_text_for_the_model_that_reads_it(shop: Any) -> None:
    shop.write({"p.py": PYTHON, "q.sql": "select id from sales where note = $word"})
    assert value(shop, {"x": "1", "word": "a"}) == "1"
    assert shop.model("q", x="1", word="it's")["task"]["sql"].endswith("note = 'it''s'")
    found = {(error["code"], error["message"], error["hint"]) for error in shop.errors(x="1", wordy="a")}
    assert {code for code, _, _ in found} == {"unknown-parameter"} and len(found) == 2
    assert any("Else give it as --param word=…" in hint for _, _, hint in found)


def test_a_secret_comes_from_outside_and_is_in_no_plan_that_is_shown(shop: Any) -> None:
    declaration = f'type: secret, default: "{SECRET}", key: "awskms:///arn:aws:kms:us-east-1:1:key/2"'
    declare(shop, declaration).write({"q.sql": "select id from sales where note = $x"})
    errors = shop.errors()
    assert {(error["code"], error["model"]) for error in errors} == {
        ("missing-parameter", "p"), ("missing-parameter", "q"),
    }  # fmt: skip
    assert SECRET not in json.dumps(errors)
    plan = plan_project(shop.folder, environment={"ZERROW_PARAM_x": SECRET}, hands_over=True)
    tasks = {each["name"]: each["task"] for each in plan["models"]}
    assert tasks["p"]["arguments"][1] == {"name": "x", "value": SECRET, "secret": True}
    assert tasks["q"]["secrets"] == {"x": SECRET} and "note = $x" in tasks["q"]["sql"]
    assert SECRET not in json.dumps({**plan, "models": [{**each, "task": None} for each in plan["models"]]})
    shown = plan_project(shop.folder, environment={"ZERROW_PARAM_x": SECRET})
    assert SECRET not in json.dumps(shown)
    keys = [[each["key"] for each in one["models"]] for one in (plan, shown)]
    assert keys[0] == keys[1] and None not in keys[0]


def test_another_secret_is_another_result(shop: Any) -> None:
    declare(shop, "type: secret").write({"q.sql": "select id from sales where note = $x"})
    keys = [
        {each["name"]: each["key"] for each in plan_project(shop.folder, {"x": text})["models"]} for text in ("a", "b")
    ]
    assert [name for name in keys[0] if keys[0][name] != keys[1][name]] == ["p", "q"]


def test_a_secret_that_nobody_reads_needs_no_value(shop: Any) -> None:
    shop.write({"bauplan_project.yml": "parameters:\n  x: {type: vault, default: awsssm:///a}\n"})
    shop.write({"q.sql": "select id from sales"})
    assert len(shop.plan()["models"]) == 2


def test_a_secret_is_in_no_filter(shop: Any) -> None:
    shop.write({"p.py": PYTHON.replace("Model('sales')", "Model('sales', filter='note = $x')")})
    shop.write({"bauplan_project.yml": "parameters:\n  x: {type: secret}\n"})
    with pytest.raises(PlanError) as failure:
        plan_project(shop.folder, {"x": SECRET})
    assert "secret-in-filter" in [error.code for error in failure.value.errors] and SECRET not in str(failure.value)


def test_git_itself_agrees_that_the_file_is_ignored(shop: Any) -> None:
    declare(shop, "type: int, default: 1").write(
        {"zerrow_parameters.yml": "x: 2\n", ".gitignore": "*_parameters.yml\n"}
    )
    subprocess.run(["git", "init", "-q", str(shop.folder)], check=True)
    asked = subprocess.run(["git", "-C", str(shop.folder), "check-ignore", "-q", "zerrow_parameters.yml"], check=False)
    assert asked.returncode == 0 and shop.plan()["warnings"] == []


def test_one_variable_has_all_values_as_the_command_line_has_them(shop: Any) -> None:
    declare(shop, "type: int, default: 1")
    assert value(shop, ZERROW_PARAMETERS='{"x": "5"}', ZERROW_PARAM_x="4") == 5
    assert value(shop, {"x": "6"}, ZERROW_PARAMETERS='{"x": "5"}') == 6
    with pytest.raises(PlanError, match="the project has no parameter 'y'"):
        value(shop, ZERROW_PARAMETERS='{"x": "5", "y": "1"}')


@pytest.mark.parametrize("text", ["", "[]", '{"x": 5}', f'{{"x": "{SECRET}"', "[" * 100_000, '{"x": null}'])
def test_a_variable_that_is_no_object_of_texts_is_refused_and_not_shown(shop: Any, text: str) -> None:
    with pytest.raises(PlanError) as failure:
        value(declare(shop, "type: int, default: 1"), ZERROW_PARAMETERS=text)
    (error,) = failure.value.errors
    assert (error.code, SECRET in str(error)) == ("bad-argument", False)
    assert error.message == "the variable ZERROW_PARAMETERS is no JSON object of texts"

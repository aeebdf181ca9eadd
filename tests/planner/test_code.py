"""The code of a model is what its function can run: no less, and little more."""

from __future__ import annotations

import base64
from typing import Any

from zerrow.errors import PlanError

HEAD = "import zerrow\n\n\n"
A = "@zerrow.model()\ndef a(s=zerrow.Model('sales')):\n    return s\n"
B = "@zerrow.model()\ndef b(a=zerrow.Model('a')):\n    return {0}\n"


def pieces(shop: Any, name: str) -> int:
    """How many functions of models are handed over with a model."""
    from zerrow.plan import plan_project

    plan = plan_project(shop.folder, hands_over=True)
    (task,) = (model["task"] for model in plan["models"] if model["name"] == name)
    return len(task["modules"][0].get("kept", ["all"] * 9))


def test_a_models_argument_is_not_the_model_it_is_named_like(shop: Any) -> None:
    shop.write({"m.py": HEAD + A + B.format("a")})
    assert pieces(shop, "b") == 1


def test_what_names_a_models_function_takes_it_along(shop: Any) -> None:
    shop.write({"m.py": HEAD + A + B.format("x").replace("a=", "x=") + "c = 1\n"})
    assert pieces(shop, "b") == 1
    for text in ("a(x)", "[f(x) for f in [a]]", "getattr(x, 'a')"):
        shop.write({"m.py": HEAD + A + B.format(text).replace("(a=", "(x=")})
        assert pieces(shop, "b") == 9, text
    shop.write({"m.py": HEAD + A + B.format("x").replace("(a=", "(x=") + "every = [a]\n"})
    assert pieces(shop, "b") == 9


def test_a_file_that_is_imported_by_its_name_is_whole(shop: Any) -> None:
    shop.write({"m.py": HEAD + "import help\n" + A + B.format("a"), "help.py": "def f():\n    import m\n"})
    assert pieces(shop, "b") == 9


def test_a_global_statement_of_the_module_keeps_it_in_one_piece(shop: Any) -> None:
    shop.write({"m.py": HEAD + "if True:\n    x = 1\nglobal y\n" + A + B.format("a")})
    assert pieces(shop, "b") == 9


def test_what_another_model_asks_for_is_that_models_business(shop: Any) -> None:
    clock = A.replace("return s", "return {'x': [time.time()]}")
    reading = B.format("open('x.py').read()")
    shop.write({"m.py": "import time, importlib\n" + HEAD + clock.replace("'sales'", "'shops'") + reading})
    shop.write({"m.py": (shop.folder / "m.py").read_text().replace("Model('a')", "Model('sales')")})
    assert shop.model("b")["because"] is None and shop.model("a")["because"] == "time.time at m.py:7"
    looking = B.format("globals()['a'.lower()]()").replace("Model('a')", "Model('sales')")
    shop.write({"m.py": "import time, importlib\n" + HEAD + clock.replace("'sales'", "'shops'") + looking})
    assert shop.model("b")["because"] == "time.time at m.py:7"


def test_what_a_link_leads_to_outside_of_the_project_is_not_handed_over(shop: Any, tmp_path: Any) -> None:
    from zerrow.plan import plan_project

    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text("PASSWORD = 'hunter2'\n")
    shop.write({"m.py": HEAD + "import help\n" + A})
    (shop.folder / "help.py").symlink_to(secret)
    try:
        plan = plan_project(shop.folder, hands_over=True)
    except PlanError as error:
        assert [each.code for each in error.errors] == ["link-outside-project"]
    shop.write({"m.py": HEAD + "from pack import help\n" + A, "pack/__init__.py": ""})
    (shop.folder / "help.py").rename(shop.folder / "pack" / "help.py")
    plan = plan_project(shop.folder, hands_over=True)
    assert b"hunter2" not in base64.b64decode(plan["handed_over"])
    assert shop.model("a")["because"] == "pack/help.py is a link that leaves the project folder"

"""The code of a model is what its function can run: no less, and little more."""

from __future__ import annotations

import ast
import base64
import json
import random
from typing import Any

import pytest
from zerrow.errors import PlanError

HEAD = "import zerrow\n\n\n"
A = "@zerrow.model()\ndef a(s=zerrow.Model('sales')):\n    return s\n"
B = "@zerrow.model()\ndef b(a=zerrow.Model('a')):\n    return {0}\n"


def pieces(shop: Any, name: str) -> int:
    """How many functions of models are handed over with a model."""
    from zerrow.plan import plan_project

    plan = plan_project(shop.folder, hands_over=True)
    (task,) = (model["task"] for model in plan["models"] if model["name"] == name)
    return sum(end - start for start, end in task["modules"][0].get("kept", [[0, 9]]))


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


@pytest.mark.parametrize(
    "function",
    [
        "def b(x=zerrow.Model('sales')): return x['a']",
        "def b(\n    x=zerrow.Model('sales'),\n): return a(x)",
        "def b(é: 'é' = zerrow.Model('sales')): return é, a",
        "def b(x=zerrow.Model('sales')):\n    @a\n    def c(): pass\n    return x",
        "def b(x=zerrow.Model('sales'), f=a):\n    return x",
        "def b(x: a = zerrow.Model('sales')):\n    return x",
        "def b(a=zerrow.Model('sales')):\n    def c():\n        global a\n        return a\n    return c",
        "def b(a=zerrow.Model('sales')):\n    class C:\n        a = a\n    return C",
        "def b(a=zerrow.Model('sales')):\n    return h.__globals__['a']",
        "def b(x=zerrow.Model('sales')):\n    return h(x)",
        "def b(x=zerrow.Model('sales')):\n    return x  # as a does",
    ],
)
def test_what_a_function_says_of_another_takes_it_along(shop: Any, function: str) -> None:
    """Whatever that means: in a text, as a default, by a decorator, or under the name of its own argument."""
    other = "@zerrow.model()\ndef z(x=zerrow.Model('sales')): return x\n"
    helper = "def h(t):\n    return a(t)\n" if "h(x)" in function else ""
    shop.write({"m.py": HEAD + A + helper + f"@zerrow.model()\n{function}\n" + other})
    assert pieces(shop, "b") == 2
    before = code(shop)
    shop.write({"m.py": (shop.folder / "m.py").read_text().replace("    return s\n", "    return s.slice(1)\n")})
    after = code(shop)
    assert {name for name in before if before[name] != after[name]} >= {"a", "b"}
    assert after["z"] == before["z"] or helper


def code(shop: Any) -> dict[str, str]:
    return {model["name"]: model["code"] for model in shop.plan()["models"]}


@pytest.mark.parametrize(
    "function", ["def b(a=zerrow.Model('a')): return a", "def b(\n  a=zerrow.Model('a')): return a"]
)
def test_a_function_on_the_line_of_its_inputs_says_nothing_by_them(shop: Any, function: str) -> None:
    shop.write({"m.py": f"{HEAD}{A}@zerrow.model()\n{function}\n"})
    assert pieces(shop, "b") == 1
    before = code(shop)
    shop.write({"m.py": (shop.folder / "m.py").read_text().replace("return s\n", "return s.slice(1)\n")})
    assert {name for name, value in code(shop).items() if value != before[name]} == {"a"}


@pytest.mark.parametrize("seed", range(20))
def test_equal_code_is_the_same_statements_in_the_same_order(shop: Any, seed: int) -> None:
    """Projects that differ a little: the code is equal where, and only where, what is handed over is."""
    chance = random.Random(seed)
    parts = ["x = 1\n", "x = 2\n", "def h(t):\n    return c(t)\n", "y = h\n"]
    parts += [f"@zerrow.model()\ndef {name}(t=zerrow.Model('sales')):\n    return {{}}\n" for name in "abcd"]
    found: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for _ in range(12):
        chance.shuffle(parts)
        texts = [
            part.format(chance.choice(("t", "a(t)", "d", "h(t)", "t.b"))) for part in parts[: chance.randint(5, 8)]
        ]
        if not any("@zerrow" in text for text in texts):
            continue
        shop.write({"m.py": HEAD + "".join(texts)})
        for name, digest in code(shop).items():
            if name != "sales":
                statements = handed(shop, name)
                assert found.setdefault(digest, statements) == statements, f"seed {seed}"
                assert seen.setdefault(repr((name, statements)), digest) == digest, f"seed {seed}"


def handed(shop: Any, name: str) -> list[str]:
    """The statements of a model as they are written, told by the lines that its worker leaves out."""
    from zerrow.plan import plan_project

    plan = plan_project(shop.folder, hands_over=True)
    content = base64.b64decode(plan["handed_over"])
    (module,) = next(model["task"]["modules"] for model in plan["models"] if model["name"] == name)
    lines = content[slice(*module["source"])].decode().split("\n")
    optional = json.loads(content[slice(*module["optional"])]) if "optional" in module else []
    kept = {number for start, end in module.get("kept", ()) for number in range(start, end)}
    for number, (first, last) in enumerate(optional):
        if number not in kept:
            lines[first - 1 : last] = [""] * (last + 1 - first)
    return [ast.dump(statement) for statement in ast.parse("\n".join(lines)).body]

"""What a model is told to do for a package that it lacks, in the way in which its project declares packages."""

from __future__ import annotations

from typing import Any

import pytest

MODEL = "import bauplan\n\n\n@bauplan.model()\n{decorator}def p(t=bauplan.Model('sales')):\n    return t\n"


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ("", "add '{package}' to its packages: @bauplan.python('3.11', pip={'{package}': '*'})"),
        (
            "@bauplan.python('3.12', pip={'pandas': '2.2.2'})\n",
            "add '{package}' to its packages (p.py:5): "
            "@bauplan.python('3.12', pip={'pandas': '2.2.2', '{package}': '*'})",
        ),
        (
            "@bauplan.python(pip={})\n",
            "add '{package}' to its packages (p.py:5): @bauplan.python('3.11', pip={'{package}': '*'})",
        ),
    ],
)
def test_the_decorator_is_given_as_it_has_to_be(shop: Any, decorator: str, expected: str) -> None:
    shop.write({"p.py": MODEL.format(decorator=decorator)})
    # The environment may be one that can't be made here; the text is made without it.
    assert advice(shop) == expected


def test_requirements_are_given_where_the_project_has_them_and_the_model_asks_for_nothing(shop: Any) -> None:
    shop.write({"p.py": MODEL.format(decorator=""), "requirements.txt": "# none yet\n"})
    assert advice(shop) == "add a line to requirements.txt: {package}"


def advice(shop: Any) -> str:
    """What the task of the project's model says."""
    return shop.model("p")["task"]["package_advice"]

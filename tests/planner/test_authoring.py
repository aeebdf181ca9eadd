"""What a project's file gets when it is run: functions that stay what they are, and light marks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import zerrow

PYTHON = Path(__file__).resolve().parents[2] / "python"


def test_a_model_is_the_function_itself() -> None:
    def double(numbers: list[int]) -> list[int]:
        return [2 * number for number in numbers]

    declared = zerrow.model(name="twice", columns=["n"], memory="1G", internet_access=True, timeout=5)(double)
    assert declared is double
    assert declared([1, 2]) == [2, 4]


def test_marks_say_what_they_mark() -> None:
    @zerrow.model()
    def f(table=zerrow.Model("sales", columns=["id"], filter="id > 1"), rate=zerrow.Parameter("rate")):
        return table, rate

    table, rate = f()
    assert (table.name, table.columns, table.filter) == ("sales", ["id"], "id > 1")
    assert rate.name == "rate"
    assert (repr(table), repr(rate)) == ("zerrow.Model('sales')", "zerrow.Parameter('rate')")


def test_a_decorator_without_parentheses_says_so() -> None:
    with pytest.raises(TypeError, match=r"write @zerrow.model\(\) with its parentheses"):
        zerrow.model(lambda: None)  # type: ignore[arg-type]


def test_importing_zerrow_brings_in_nothing_else() -> None:
    code = "import sys, zerrow; print([n for n in ('pyarrow', 'numpy', 'sqlglot', 'yaml') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PYTHON, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_error_has_one_root_and_says_where_and_what_to_do() -> None:
    error = zerrow.ZerrowError("it broke", code="broken", file="m.py", line=3, hint="mend it")
    assert str(error) == "m.py:3: it broke (mend it)"
    assert issubclass(zerrow.PlanError, zerrow.ZerrowError)
    assert str(zerrow.PlanError([error, zerrow.ZerrowError("so did this")])) == f"{error}\nso did this"

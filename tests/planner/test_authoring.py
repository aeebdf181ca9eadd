"""What a project's file gets when it is run: functions that stay what they are, and light marks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

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


def test_bauplans_names_are_the_same_objects() -> None:
    import bauplan
    import bpln_sdk

    for name in set(bauplan.__all__) & set(zerrow.__all__):
        if name not in ("standard_expectations", "store"):
            assert getattr(bauplan, name) is getattr(zerrow, name) is getattr(bpln_sdk, name)
    assert bauplan.store.save_obj is zerrow.store.save_obj
    others = set(zerrow.__all__) - set(bauplan.__all__)
    assert others == {"PlanError", "ZerrowError"}


def test_the_client_is_loaded_when_it_is_named() -> None:
    light = "[n for n in ('bauplan.client', 'bauplan.exceptions', 'subprocess', 'dataclasses') if n in sys.modules]"
    code = f"""
import sys
import bauplan, bpln_sdk
before = {light}
def f(client: bauplan.Client) -> bpln_sdk.Client: ...
from bauplan import Client, exceptions
from bauplan.schema import JobState
assert f.__annotations__ == {{'client': Client, 'return': Client}}, f.__annotations__
assert bauplan.exceptions is exceptions and bauplan.JobState is JobState and bauplan.RefType.BRANCH
assert set(bauplan.__all__) <= set(dir(bauplan)) and not hasattr(bauplan, 'Nothing')
print(before, 'pyarrow' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PYTHON, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['dataclasses'] False"


def test_declarations_take_whatever_older_projects_give_them() -> None:
    import bauplan

    @bauplan.extras("ai")
    @bauplan.resources(cpus=1, memory="1G", memory_swap="2G", timeout=3, more=4)
    @bauplan.python("3.11", pip={"pandas": "2"}, more=1)
    @bauplan.model(columns=["*"], materialize=False, partitioned_by="a", overwrite_filter="a = 1")
    def f(
        t=bauplan.Model("t", ["a"], "a > 1", ref="main", connector="dremio", connector_config_key="k", more=1),
        p=bauplan.Parameter("p", more=1),
        q=bauplan.Parameter.q,
    ):
        return t, p, q

    table, first, second = f()
    assert (table.name, table.columns, table.filter, first.name, second.name) == ("t", ["a"], "a > 1", "p", "q")
    assert bauplan.expectation(more=1)(f) is f
    for decorator in (bauplan.model, bauplan.python, bauplan.expectation, bauplan.resources, bauplan.extras):
        with pytest.raises(TypeError, match="with its parentheses"):
            decorator(f)


def test_a_decimal_is_a_type_that_may_be_optional() -> None:
    fee, total = zerrow.Decimal128[4, 2], zerrow.Decimal128[Literal[38], Literal[10]] | None
    assert (fee.arrow, total.__args__[0].arrow) == ("decimal128(4, 2)", "decimal128(38, 10)")


def test_a_schema_gives_the_annotations_of_its_columns() -> None:
    import bauplan

    class Trip(bauplan.TableSchema):
        fare: bauplan.Float64 | None

    class Paid(bauplan.TableSchema):
        amount: bauplan.Int64 = bauplan.TableField(
            name="x", doc="d", title="t", nullable=True, lineage="Trip['fare']", more=1
        )

    def f(t=bauplan.Model("t", Trip, "a > 1"), u=bauplan.Model(name="u", projection_schema=Trip)):
        return t, u

    assert Trip.__annotations__["fare"] == "bauplan.Float64 | None" == Trip["fare"]
    assert Paid.amount.name == "x"
    assert [(mark.projection_schema, mark.columns) for mark in f()] == [(Trip, None), (Trip, None)]
    with pytest.raises(KeyError, match="Trip has no column 'fair', but fare"):
        Trip["fair"]

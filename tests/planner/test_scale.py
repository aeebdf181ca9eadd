"""Planning takes time in proportion to what there is to plan, however models lie in files and name each other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from zerrow.plan import plan_project

HEAD = "import zerrow\n"
COUNT = 48


def model(number: int, *reads: str, text: str = "return t0", is_on_one_line: bool = False) -> str:
    arguments = ", ".join(f"t{index}=zerrow.Model('{name}')" for index, name in enumerate(reads))
    return f"@zerrow.model()\ndef m{number}({arguments}):{' ' if is_on_one_line else chr(10) + '    '}{text}\n"


def before(number: int) -> str:
    return f"m{number - 1}" if number else "sales"


def layer(number: int) -> str:
    below = number // 8 * 8 - 8
    reads = (f"m{below + number * step % 8}" for step in (1, 3)) if below >= 0 else ("sales",)
    return model(number, *dict.fromkeys(reads))


def one_file(parts: list[str], head: str = HEAD) -> dict[str, str]:
    return {"models.py": head + "".join(parts)}


def fan(count: int) -> dict[str, str]:
    last = model(count, *(f"m{number}" for number in range(count)))
    return one_file([*(model(number, "sales") for number in range(count)), last])


def named_like_its_input(number: int) -> str:
    name = before(number)
    return f"@zerrow.model()\ndef m{number}({name}=zerrow.Model('{name}')): return {name}\n"


ASKING = "import zerrow, random\nR = random.random\n"
SHAPES: dict[str, Callable[[int], dict[str, str]]] = {
    "a chain": lambda n: one_file([model(i, before(i)) for i in range(n)]),
    "a chain on one line each": lambda n: one_file([named_like_its_input(i) for i in range(n)]),
    "layers": lambda n: one_file([layer(i) for i in range(n)]),
    "a fan": fan,
    "files of their own": lambda n: {f"f{i}.py": HEAD + model(i, before(i)) for i in range(n)},
    "calls of the model before": lambda n: one_file([model(i, "sales", text=f"return {before(i)}") for i in range(n)]),
    "all name all": lambda n: one_file([*(model(i, "sales") for i in range(n)), f"ALL = [m0, m{n - 1}]\n"]),
    "a circle": lambda n: one_file([model(i, "sales", text=f"return m{(i + 1) % n}") for i in range(n)]),
    "a helper for each": lambda n: one_file(
        [f"def h{i}(t):\n    return t\n" + model(i, "sales", text=f"return h{i}(t0)") for i in range(n)]
    ),
    "code that reads code": lambda n: one_file(
        [model(i, before(i)) for i in range(n)], f"{HEAD}import sys; sys.path\n"
    ),
    "code that asks the world": lambda n: one_file([model(i, before(i)) for i in range(n)], ASKING),
    "helpers where something asks": lambda n: one_file(
        [f"def h{i}(t):\n    return t\n" + model(i, "sales", text=f"return h{i}(t0)") for i in range(n)], ASKING
    ),
    "a module of many functions that asks": lambda n: {
        "help.py": ASKING + "".join(f"def h{i}(t):\n    return t\n" for i in range(n)),
        **{f"f{i}.py": f"{HEAD}from help import h{i}\n" + model(i, "sales", text=f"return h{i}(t0)") for i in range(n)},
    },
    "queries": lambda n: {f"m{i}.sql": f"select * from {before(i)}" for i in range(n)},
}


def operations(shop: Any) -> int:
    """How many operations of Python's the planner's own code takes: the same each time, whatever else runs."""
    count = 0

    def inside(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return inside

    def entered(frame: FrameType, _event: str, _argument: Any) -> Any:
        if "zerrow" not in frame.f_code.co_filename:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return inside

    tracing = sys.gettrace()
    sys.settrace(entered)
    try:
        plan_project(shop.folder, hands_over=True)
    finally:
        sys.settrace(tracing)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_models_take_four_times_the_work(shop: Any, shape: str) -> None:
    found = []
    for count in (COUNT // 4, COUNT, 4 * COUNT):
        shop.write(SHAPES[shape](count))
        found.append(operations(shop))
    # What there is once is in neither difference. Four where it is linear, sixteen where it is quadratic.
    assert (found[2] - found[1]) / (found[1] - found[0]) < 5, found


def test_a_file_of_thousands_of_models_takes_time_in_proportion(shop: Any) -> None:
    found = []
    for count in (1000, 4000):
        shop.write(one_file([model(number, before(number)) for number in range(count)]))
        start = time.process_time()
        plan_project(shop.folder, hands_over=True)
        found.append(time.process_time() - start)
    # Operations of C are in it, and so is what else the processor does.
    assert found[1] < 10 * found[0], found


def test_each_of_many_unknown_tables_is_told_but_not_all_are_compared_with_all_others(shop: Any) -> None:
    count = 300
    shop.write(one_file([model(number, f"mm{number}") for number in range(count)]))
    errors = shop.errors()
    assert [error["line"] for error in errors] == [3 * number + 3 for number in range(count)]
    assert {error["code"] for error in errors} == {"unknown-table"}
    hints = [error["hint"] for error in errors]
    assert all(hints[:10]) and hints.count(None) == count - 100

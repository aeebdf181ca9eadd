"""What else models do, in environments that have none of zerrow's own packages but pyarrow."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from made import made, resolved
from small_engine import open_table
from zerrow import pieces
from zerrow.plan.hand_over import HandOver
from zerrow.plan.pyarrow_rules import additions, constraint_after, problem

DECLARED = """
from typing import Annotated

import bauplan
import bpln_sdk
import pyarrow as pa
import zerrow
from bauplan.standard_expectations import expect_column_no_nulls


class Out(bauplan.TableSchema):
    a: bauplan.Int64
    b: Annotated[bauplan.String | None if hasattr(type, "__or__") else bauplan.String, bauplan.TableField(doc="b")]


class After(bauplan.TableSchema):
    a: Out["a"]


@bauplan.model(columns=["a"], materialization_strategy="REPLACE")
@bauplan.python("3.12", pip={"pandas": "2.2.2"})
@bauplan.resources(memory="1G")
def model(t=bauplan.Model("base", columns=["a"], filter="a > 1"), low=bauplan.Parameter.low):
    bauplan.store.save_obj("seen", {"rows": t.num_rows})
    return t


@bpln_sdk.model()
def typed(t: Annotated[pa.Table, zerrow.Model("base")]) -> Annotated[pa.Table, Out]:
    print("the token is", "hunter-22-hunter")
    return {"a": [bauplan.store.load_obj("seen")["rows"]], "b": ["x"]}


@bauplan.expectation()
def complete(t=bauplan.Model("base")):
    return expect_column_no_nulls(t, "a")
"""


def test_declarations_contracts_expectations_objects_and_secrets_work(world: Any) -> None:
    base = world.run("def model(): return {'a': [1, 2, 3]}")
    first = world.run(DECLARED, base)
    columns = [{"name": "a", "type": "int64", "nullable": False}, {"name": "b", "type": "string", "nullable": True}]
    contract = {"strict": True, "contract": {"schema": "Out", "columns": columns}}
    more = [{"name": "token", "value": "hunter-22-hunter", "secret": True}]
    text = DECLARED.replace("def typed(t: ", "def typed(token: str, t: ")
    task = world.task(text, 1, function="typed", **contract)
    task["arguments"] += more
    outcome = world.engine.run(task, [first])
    assert outcome.error is None, outcome.error
    assert open_table(outcome.table).to_pydict() == {"a": [3], "b": ["x"]}
    # The value of a secret is printed by none.
    assert "hunter" not in outcome.worker.text() and "the token is" in outcome.worker.text()
    columns[0]["type"] = "double"
    error = world.fail(text.replace("token: str, ", ""), first, function="typed", **contract)
    assert "! a" in error["message"] and "double" in error["message"]
    met = world.run(DECLARED, first, function="complete", expectation=True, strict=True)
    assert open_table(met)["is_met"].to_pylist() == [True]
    with_null = world.run("def model(): return {'a': [1, None]}")
    failed = world.fail(DECLARED, with_null, function="complete", expectation=True, strict=True)
    assert (failed["kind"] == "result" and "complete" not in failed["message"]) or "false" in failed["message"]


def test_a_preview_is_made(world: Any) -> None:
    base = world.run("def model(): return {'a': [1, 2, 3], 's': ['x', None, 'z']}")
    outcome = world.engine.run({"kind": "preview", "rows": 2, "width": 80}, [base])
    assert outcome.error is None and "3 rows, the first 2 shown" in outcome.text


def test_standard_expectations_say_the_same_with_every_pyarrow(world: Any) -> None:
    text = """
from bauplan import standard_expectations as e

def model(t):
    return {"said": [
        e.expect_column_equal_concatenation(t, "ab", ["a", "b"], "-"), e.expect_column_mean_greater_than(t, "n", 1),
        e.expect_column_mean_greater_or_equal_than(t, "n", 2), e.expect_column_mean_smaller_than(t, "n", 2),
        e.expect_column_mean_smaller_or_equal_than(t, "n", 2), e.expect_column_some_null(t, "a"),
        e.expect_column_no_nulls(t, "a"), e.expect_column_all_null(t, "z"), e.expect_column_all_unique(t, "n"),
        e.expect_column_not_unique(t, "n"), e.expect_column_accepted_values(t, "a", ["x", "y"]),
    ]}
"""
    data = {"a": ["x", "y", "x"], "b": ["1", None, "2"], "ab": ["x-1", None, "x-2"], "n": [1, 2, 3], "z": [None] * 3}
    base = world.run(f"def model(): return {data!r}")
    said = open_table(world.run(text, base))["said"].to_pylist()
    assert said == [True, True, True, False, True, False, True, True, True, False, True]


def test_code_that_another_python_has_compiled_is_compiled_anew(world: Any) -> None:
    source = b"import helper\n\ndef model(t):\n    return {'a': [helper.twice(x) for x in t['a'].to_pylist()]}\n"
    helper = b"def twice(x):\n    return 2 * x\n"
    content, modules = handed_over(world.folder, {"models": source, "helper": helper})
    base = world.run("def model(): return {'a': [1, 2]}")
    # What is in the files is not what runs.
    task = world.task("raise SystemExit(7)\n")
    task |= {"compiled_for": pieces.COMPILED_FOR, "modules": modules}
    outcome = world.engine.run(task, [base], content)
    assert outcome.error is None, outcome.error
    assert open_table(outcome.table)["a"].to_pylist() == [2, 4]


def handed_over(folder: Path, sources: dict[str, bytes]) -> tuple[bytes, list[dict[str, Any]]]:
    """Modules as the planner hands them over, compiled by this Python."""
    import marshal

    content, modules = b"", []
    for name, source in sources.items():
        start = len(content)
        content += source
        code = marshal.dumps(compile(source, str(folder / f"{name}.py"), "exec"))
        piece = len(content)
        content += struct.pack("<I", len(code)) + code
        said = {"name": name, "file": f"{name}.py", "source": [start, piece], "pieces": [[piece, len(content)]]}
        modules.append(said)
    assert HandOver is not None
    return content, modules


ADVICE = "add '{package}' to its packages: @bauplan.python('3.12', pip={'{package}': '*'})"


@pytest.mark.parametrize(
    ("missing", "package"),
    [("sklearn.linear_model", "scikit-learn"), ("cv2", "opencv-python-headless"), ("google.cloud.storage", None)],
)
def test_a_module_that_is_missing_is_told_with_the_line_to_add(world: Any, missing: str, package: str | None) -> None:
    package = package or "google-cloud-storage"
    error = world.fail(f"def model():\n    import {missing}\n", package_advice=ADVICE)
    top = missing.partition(".")[0]
    assert (error["file"], error["line"]) == ("models.py", 2)
    line = f"add '{package}' to its packages: @bauplan.python('3.12', pip={{'{package}': '*'}})"
    assert error["message"] == f"model 'm': No module named '{top}': {line}"


def test_a_module_that_a_helper_lacks_is_told_with_the_helpers_line(world: Any) -> None:
    (world.folder / "steps.py").write_text("\nimport PIL.Image\n")
    error = world.fail("import steps\ndef model(): pass", package_advice=ADVICE)
    assert (error["file"], error["line"]) == ("steps.py", 2)
    assert error["message"].startswith("model 'm': No module named 'PIL': add 'pillow' to its packages")


def test_a_name_that_a_module_of_the_project_lacks_is_no_packages_business(world: Any) -> None:
    (world.folder / "tools").mkdir(exist_ok=True)
    (world.folder / "tools" / "__init__.py").write_text("")
    error = world.fail("import tools.absent\ndef model(): pass", package_advice=ADVICE)
    assert error["message"].endswith("the project's own tools/__init__.py has none of that name")


def test_children_and_temporary_files_of_a_model_work(world: Any) -> None:
    text = """
import multiprocessing, os, pathlib, subprocess, sys, tempfile


def square(x):
    return x * x


def model():
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "program.py")
        script.write_text("import sys; print(int(sys.argv[1]) + 1, file=open(sys.argv[2], 'w'))")
        told = os.path.join(folder, "told.txt")
        subprocess.run([sys.executable, script, "41", told], check=True)
        answer = int(open(told).read())
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        squares = pool.map(square, [1, 2, 3])
    return {"x": [answer, *squares]}
"""
    assert open_table(world.run(text))["x"].to_pylist() == [42, 1, 4, 9]


@pytest.mark.parametrize(
    ("python", "requirements"),
    [
        ("3.11", ["pandas==2.1.0"]),
        ("3.11", ["numpy==1.26.4"]),
        ("3.12", ["scikit-learn==1.4.0"]),
        ("3.12", ["pandas==2.2.2"]),
    ],
)
def test_what_is_resolved_by_the_rules_can_be_loaded(python: str, requirements: list[str], tmp_path: Path) -> None:
    import subprocess

    wanted = [*requirements, *additions(requirements)]
    found = resolved(python, wanted, None, tmp_path)
    constraints = constraint_after(found)
    if constraints is not None:
        assert problem(found) is not None
        found = resolved(python, wanted, constraints, tmp_path)
    assert problem(found) is None and constraint_after(found) is None
    interpreter = made(python, [f"{name}=={version}" for name, version in sorted(found.items())])
    names = {"scikit-learn": "sklearn"}
    imports = "".join(f"import {names.get(each, each)}\n" for each in [*(r.split("==")[0] for r in requirements)])
    used = "import pyarrow as pa, numpy as np\nassert pa.array(np.arange(3)).to_numpy().sum() == 3\n"
    done = subprocess.run([interpreter, "-I", "-B", "-c", imports + used], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (json.dumps(found), done.stderr)

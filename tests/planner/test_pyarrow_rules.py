"""Which pyarrow goes with what a project pins. What the rules say was measured with the real packages, which
tests/environments installs and imports."""

from __future__ import annotations

import pytest
from zerrow.plan.pyarrow_rules import additions, constraint_after, problem, refusal


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ([], ["pyarrow>=15"]),
        (["pandas==2.2.0", "prophet"], ["pyarrow>=15"]),
        (["PyArrow==17.0.0"], ["pyarrow"]),
        (["pyarrow"], ["pyarrow"]),
        (["pyarrow_hotfix==0.6"], ["pyarrow>=15"]),
    ],
)
def test_a_pyarrow_is_added_and_the_projects_own_wins(requirements: list[str], expected: list[str]) -> None:
    assert additions(requirements) == expected


@pytest.mark.parametrize(
    ("requirement", "python", "expected"),
    [
        ("pyarrow==14.0.2", "3.11", "pyarrow 14.0.2 is too old for zerrow: take 15 or newer"),
        ("PyArrow[extra] == 9.0 ; python_version > '3'", "3.11", "pyarrow 9.0 is too old"),
        ("pyarrow==14.*", "3.11", "pyarrow 14.* is too old"),
        ("pyarrow==17.0.0", "3.13", "there is no pyarrow 17.0.0 for Python 3.13: take 18 or newer"),
        ("pyarrow==21.0.0", "3.14", "there is no pyarrow 21.0.0 for Python 3.14: take 22 or newer"),
        ("pyarrow==26.0.1", "3.10", "there is no pyarrow 26.0.1 for Python 3.10: take 25 or older"),
    ],
)
def test_a_pyarrow_that_can_not_be_is_refused_before_anything_is_resolved(
    requirement: str, python: str, expected: str
) -> None:
    assert (refusal([requirement], python) or "").startswith(expected)


@pytest.mark.parametrize(
    ("requirement", "python"),
    [
        ("pyarrow==15.0.0", "3.10"),
        ("pyarrow==25.0.1", "3.10"),
        ("pyarrow==17.0.0", "3.12"),
        ("pyarrow==18.0.0", "3.13"),
        ("pyarrow==22.0.0", "3.14"),
        ("pyarrow==27.1", "3.15"),
        ("pyarrow>=14", "3.11"),
        ("pyarrow", "3.11"),
        ("pyarrow @ https://example.org/pyarrow-14.0-py3-none-any.whl", "3.11"),
        ("other==14", "3.13"),
        ("", "3.11"),
    ],
)
def test_other_pyarrows_are_left_to_the_resolver(requirement: str, python: str) -> None:
    assert refusal([requirement], python) is None


NUMPY_1 = [
    ({"numpy": "1.23.2", "pyarrow": "26.0.1"}, "pyarrow<26"),
    ({"numpy": "1.26.4", "pandas": "2.1.4", "pyarrow": "27.0"}, "pyarrow<26"),
    ({"numpy": "2.4.6", "pandas": "1.5.3", "pyarrow": "26.0.1"}, "numpy<2\npyarrow<26"),
    ({"numpy": "2.0.0", "pandas": "2.1.0", "pyarrow": "16.0"}, "numpy<2\npyarrow<26"),
    ({"NumPy": "2.4.6", "scikit_learn": "1.2.2", "PyArrow": "26.0.1"}, "numpy<2\npyarrow<26"),
]


@pytest.mark.parametrize(("resolved", "expected"), NUMPY_1)
def test_what_does_not_go_together_is_resolved_again(resolved: dict[str, str], expected: str) -> None:
    assert constraint_after(resolved) == expected
    # As it is it would not run either.
    assert problem(resolved) is not None


@pytest.mark.parametrize(
    "resolved",
    [
        {"pyarrow": "26.0.1"},
        {"pyarrow": "15.0.0", "numpy": "1.26.4"},
        {"pyarrow": "25.0.1", "numpy": "1.23.2", "pandas": "1.5.3"},
        {"pyarrow": "26.0.1", "numpy": "2.0.0", "pandas": "2.2.2"},
        {"pyarrow": "16.1.0", "numpy": "2.4.6", "pandas": "2.3.3"},
        {"pyarrow": "26.0.1", "numpy": "2.4.6", "pandas": "3.0.0rc1", "scikit-learn": "1.4.2"},
        {"pyarrow": "26.0.1.dev3+local", "pandas": "1.5.3"},
    ],
)
def test_what_goes_together_stays(resolved: dict[str, str]) -> None:
    assert constraint_after(resolved) is None
    assert problem(resolved) is None


@pytest.mark.parametrize(
    ("resolved", "expected"),
    [
        ({"pyarrow": "26.0.1", "numpy": "1.26.4"}, "pyarrow 26.0.1 can't be loaded with NumPy 1.26.4: take pyarrow 25"),
        ({"pyarrow": "25.0.1", "numpy": "2.4.6", "pandas": "2.1.0"}, "pandas 2.1.0 can't be loaded with NumPy 2.4.6"),
        ({"pyarrow": "14.0.2"}, "pyarrow 14.0.2 is too old for zerrow: take 15 or newer"),
        ({"numpy": "1.26.4"}, "the environment has no pyarrow: add pyarrow>=15"),
    ],
)
def test_what_can_not_run_is_said_with_what_to_do(resolved: dict[str, str], expected: str) -> None:
    assert (problem(resolved) or "").startswith(expected)

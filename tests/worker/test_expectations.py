"""Expectations in a worker: what their answers mean, strict or not, and the standard ones against pandas' answers."""

from __future__ import annotations

from typing import Any

import bauplan.standard_expectations as standard
import pyarrow as pa
import pytest
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.tasks import execute


def answer(project: Any, body: str, is_strict: bool) -> pa.Table:
    task = project(f"def model():\n{body}\n")
    return execute({**task, "expectation": True, "strict": is_strict}, {})


@pytest.mark.parametrize(
    ("body", "is_met"),
    [
        ("    return True", True),
        ("    return False", False),
        ("    import numpy\n    return numpy.bool_(True)", True),
        ("    import numpy\n    return numpy.array([1, 0]).all()", False),
        ("    import pyarrow.compute as pc\n    return pc.all([True, False])", False),
        ("    assert 1 > 2, 'too small'\n    return True", False),
    ],
)
def test_an_expectation_that_is_not_met_is_told_of_and_no_more(
    project: Any, capsys: pytest.CaptureFixture[str], body: str, is_met: bool
) -> None:
    assert answer(project, body, is_strict=False).to_pylist() == [{"expectation": "m", "is_met": is_met}]
    err = capsys.readouterr().err
    assert ("warning: the expectation 'm' is not met: " in err) is not is_met
    if "assert" in body:
        assert "models.py:2: assert 1 > 2, 'too small': AssertionError: too small" in err


def test_a_strict_one_fails(project: Any) -> None:
    with pytest.raises(WorkerFailure, match="expectation returned false: m"):
        answer(project, "    return False", is_strict=True)
    with pytest.raises(AssertionError, match="too small"):
        answer(project, "    assert 1 > 2, 'too small'", is_strict=True)


@pytest.mark.parametrize("value", ["1", "None", "'yes'", "1.5", "[True]"])
def test_an_answer_that_is_no_bool_fails_strict_or_not(project: Any, value: str) -> None:
    for is_strict in (True, False):
        with pytest.raises(WorkerFailure, match="expectation returned unsupported type") as failure:
            answer(project, f"    return {value}", is_strict)
        assert failure.value.kind == "result"


def test_other_exceptions_fail_strict_or_not(project: Any) -> None:
    with pytest.raises(KeyError):
        answer(project, "    return {}['x']", is_strict=False)


NUMBERS = pa.table(
    {
        "n": [1, 2, 2, None],
        "u": [1, 2, 3, 4],
        "one_null": [1, 2, 3, None],
        "two_nulls": [1, None, None, 2],
        "empty": pa.nulls(4, pa.int64()),
        "a": ["x", "y", None, "z"],
        "b": [1, 2, 3, 4],
        "ab": ["x-1", "y-2", None, "z-4"],
        "wrong": ["x-1", "y-2", "q", "z-4"],
        "kind": pa.array(["p", "q", "p", "q"]).dictionary_encode(),
    }
)
FRAME = NUMBERS.to_pandas()


@pytest.mark.parametrize("column", ["n", "u", "one_null", "two_nulls", "empty", "a", "kind"])
def test_nulls_and_repeated_values_are_what_pandas_says(column: str) -> None:
    nulls = FRAME[column].isna()
    assert standard.expect_column_some_null(NUMBERS, column) is bool(nulls.any())
    assert standard.expect_column_no_nulls(NUMBERS, column) is not bool(nulls.any())
    assert standard.expect_column_all_null(NUMBERS, column) is bool(nulls.all())
    is_unique = not bool(FRAME[column].duplicated().any())
    assert standard.expect_column_all_unique(NUMBERS, column) is is_unique
    assert standard.expect_column_not_unique(NUMBERS, column) is not is_unique


@pytest.mark.parametrize("column", ["n", "u", "two_nulls"])
@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_means_are_pandas(column: str, shift: int) -> None:
    value = FRAME[column].mean() + shift
    assert standard.expect_column_mean_greater_than(NUMBERS, column, value) is (shift < 0)
    assert standard.expect_column_mean_greater_or_equal_than(NUMBERS, column, value) is (shift <= 0)
    assert standard.expect_column_mean_smaller_than(NUMBERS, column, value) is (shift > 0)
    assert standard.expect_column_mean_smaller_or_equal_than(NUMBERS, column, value) is (shift >= 0)


def test_nothing_has_no_mean() -> None:
    assert not standard.expect_column_mean_greater_or_equal_than(NUMBERS, "empty", 0)
    assert not standard.expect_column_mean_smaller_or_equal_than(NUMBERS, "empty", 0)


def test_accepted_values() -> None:
    assert standard.expect_column_accepted_values(NUMBERS, "u", [1, 2, 3, 4, 5])
    assert not standard.expect_column_accepted_values(NUMBERS, "u", [1, 2, 3])
    assert not standard.expect_column_accepted_values(NUMBERS, "n", [1, 2])
    assert standard.expect_column_accepted_values(NUMBERS, "n", [1, 2, None])
    assert standard.expect_column_accepted_values(NUMBERS, "kind", ("p", "q"))


def test_concatenations() -> None:
    assert standard.expect_column_equal_concatenation(NUMBERS, "ab", ["a", "b"], "-")
    assert not standard.expect_column_equal_concatenation(NUMBERS, "ab", ["a", "b"])
    assert not standard.expect_column_equal_concatenation(NUMBERS, "wrong", ["a", "b"], separator="-")
    assert standard.expect_column_equal_concatenation(NUMBERS.slice(0, 2), "wrong", ["a", "b"], "-")


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="the table has no column 'nope', but n, u"):
        standard.expect_column_no_nulls(NUMBERS, "nope")


def test_all_of_them_are_there_under_both_names() -> None:
    import zerrow

    assert len(standard.__all__) == 11
    assert all(getattr(zerrow.standard_expectations, name) is getattr(standard, name) for name in standard.__all__)

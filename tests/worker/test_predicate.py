"""Predicates on columns of every form in which a table may hold them, and what is said of those that can't be used."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest
from filters import filter_of
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.predicate import Predicate, keep_rows

DAYS = [datetime.date(1995, 1, 1) + datetime.timedelta(days=i) for i in range(6)]
STAMPS = [datetime.datetime(1995, 1, 1, 12, 30) + datetime.timedelta(hours=9 * i) for i in range(6)]
CENTS = [decimal.Decimal(i) / 100 for i in (0, 5, 6, 7, 100, 123)]
TEXTS = ["", "a", "ab", "b%", "long enough to be outside a view", "ü"]
TABLE = pa.table(
    {
        "i": pa.array([*range(6), None], pa.int32()),
        "f": pa.array([0.0, 0.5, -1.5, 2.0, 1e9, 0.05, None]),
        "d": pa.array([*CENTS, None], pa.decimal128(15, 2)),
        "s": pa.array([*TEXTS, None]),
        "v": pa.array([*TEXTS, None], pa.string_view()),
        "k": pa.array([*TEXTS, None]).dictionary_encode(),
        "t": pa.array([*DAYS, None]),
        "m": pa.array([*STAMPS, None], pa.timestamp("us")),
        "z": pa.array([*STAMPS, None], pa.timestamp("ns", "UTC")),
        "b": pa.array([True, False, True, None, False, True, None]),
        "st": pa.array([{"a": 1}, {"a": 0}, None, {"a": None}, {"a": 1}, {"a": 2}, None]),
        "other": pa.array([{"x": [1]}] * 7),
    }
).append_column("row", pa.array(range(7)))


def predicate(sql: str) -> Predicate:
    made = Predicate.of(filter_of(sql), "t")
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("s like 'a%'", [1, 2]),
        ("v like '%u%'", [4]),
        ("k ilike 'A%'", [1, 2]),
        ("s not like 'a%'", [0, 3, 4, 5]),
        ("v = 'ab' or k = 'ü'", [2, 5]),
        ("i + 1 > 4", [4, 5]),
        ("d * 100 > 6", [3, 4, 5]),
        ("d between 0.06 - 0.01 and 0.06 + 0.01", [1, 2, 3]),
        ("z >= '1995-01-02T00:00:00Z'", [2, 3, 4, 5]),
        ("m >= '1995-01-02'", [2, 3, 4, 5]),
        ("t < '1995-01-02'", [0]),
        ("t < timestamp '1995-01-02 00:00:01'", [0, 1]),
        ("b and s is not null", [0, 2, 5]),
        ("i = 1099511627776", []),
        ("i < 1180591620717411303424", [0, 1, 2, 3, 4, 5]),
        ("i = null", []),
        ("i % 2 = 1", [1, 3, 5]),
        ("lower(s) = 'ab' or length(s) > 10", [2, 4]),
        ("case when i > 3 then f > 1 else b end", [0, 2, 4]),
        ("i is distinct from 3", [0, 1, 2, 4, 5, 6]),
        ("st['a'] = 0", [1]),
        ("t.i = 1", [1]),
        ("i > 3 -- the rest\n", [4, 5]),
        ("true", [0, 1, 2, 3, 4, 5, 6]),
        ("1 = 2", []),
        ("1 = 1 and b", [0, 2, 5]),
    ],
)
def test_a_predicate_keeps_its_rows_whatever_form_the_columns_have(sql: str, rows: list[int]) -> None:
    for cpus in (1, 2):
        assert keep_rows(TABLE, predicate(sql), cpus)["row"].to_pylist() == rows


def test_rows_of_a_table_longer_than_a_window_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerrow.worker.predicate.WINDOW_ROWS", 3)
    assert keep_rows(TABLE, predicate("i != 1"))["row"].to_pylist() == [0, 2, 3, 4, 5]
    assert keep_rows(TABLE, predicate("row >= 0")) is TABLE
    assert keep_rows(TABLE.slice(0, 0), predicate("i != 1")).num_rows == 0


def test_a_part_that_fails_is_passed_over_in_each_row_where_it_does_not_matter() -> None:
    # All rows at once, the division is made for the row where i is 3.
    assert keep_rows(TABLE, predicate("i = 3 or 6 / (i - 3) > 2"))["row"].to_pylist() == [3, 4, 5]


def test_a_table_of_which_all_rows_stay_is_the_very_one() -> None:
    assert keep_rows(TABLE, predicate("row >= 0")) is TABLE


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("ii = 1", "did you mean 'i'"),
        ("i = 'x'", "Cannot cast string 'x'"),
        ("t < 'soon'", "soon"),
        ("frobnicate(i)", "frobnicate"),
        ("i", "non-boolean"),
        ("1 / (i - 3) > 0", "Divide by zero"),
    ],
)
def test_a_predicate_that_does_not_fit_is_refused_by_name(sql: str, words: str) -> None:
    with pytest.raises(WorkerFailure) as caught:
        keep_rows(TABLE, predicate(sql))
    assert caught.value.kind == "input" and words in str(caught.value) and "'t'" in str(caught.value)

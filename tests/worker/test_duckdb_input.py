"""Columns of every kind in DuckDB: the oracle is pyarrow's values. What DuckDB can't read has to be an error."""

from __future__ import annotations

import duckdb
import nested_columns as nested
import numpy as np
import pyarrow as pa
import pytest
from zerrow.worker.duckdb_input import readable
from zerrow.worker.failures import WorkerFailure

ROWS = 61
UNREADABLE = (WorkerFailure, duckdb.Error, pa.ArrowInvalid)


def ask(table: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("t", table)
        return connection.sql("select * from t").to_arrow_table()


def columns() -> dict[str, nested.Column]:
    """Two deep all of them, three deep where a dictionary is the innermost."""
    outer = nested.NESTING
    two = {f"{a}<{b}>": outer[a](outer[b](nested.texts)) for a in outer for b in outer if (a, b) != ("runs", "runs")}
    return {**two, **{name: make for name, make in nested.COLUMNS.items() if name.endswith("<dictionary>>")}}


@pytest.mark.parametrize("name", columns())
def test_a_nested_column_arrives_as_it_is_or_not_at_all(name: str) -> None:
    whole = pa.table({"c": columns()[name](ROWS)})
    for table in (whole, whole.slice(7, 50)):
        try:
            answered = ask(readable("t", table))
        except UNREADABLE:
            continue
        assert answered["c"].to_pylist() == table["c"].to_pylist()


@pytest.mark.parametrize(
    "name", ["struct<dictionary>", "list<dictionary>", "fixed<dictionary>", "fixed<struct<dictionary>>"]
)
def test_dictionaries_are_read_wherever_they_are(name: str) -> None:
    table = pa.table({"c": columns()[name](ROWS)})
    assert ask(readable("t", table))["c"].to_pylist() == table["c"].to_pylist()


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_durations_that_pandas_and_numpy_leave_out_are_null(unit: str) -> None:
    table = pa.table({"d": np.array([1, "NaT", 3], f"m8[{unit}]")}).slice(1)
    answered = ask(readable("t", table))["d"].to_pylist()
    assert answered[0] is None and answered[1].nanoseconds == 3 * {"s": 10**9, "ms": 10**6, "us": 1000}[unit]


def test_a_table_that_duckdb_reads_is_handed_over_as_it_is() -> None:
    table = pa.table({"i": nested.integers(ROWS), "s": nested.struct(nested.texts)(ROWS), "d": pa.array([1] * ROWS)})
    assert readable("t", table) is table


def test_a_dictionary_that_cannot_be_decoded_is_refused_by_name() -> None:
    with pytest.raises(WorkerFailure, match=r"'c' of the table 't'.*datafusion"):
        readable("t", pa.table({"c": columns()["runs<dictionary>"](9)}))


HABITS = {
    "dictionaries in fixed-size lists": lambda: pa.table({"c": columns()["fixed<dictionary>"](ROWS)}),
    "dictionaries in runs": lambda: pa.table({"c": columns()["runs<dictionary>"](ROWS)}),
    "what is under the null of a duration": lambda: pa.table({"c": np.array([1, "NaT"], "m8[s]")}),
    "names in two cases": lambda: pa.table({"c": [1], "C": [2]}),
}


@pytest.mark.parametrize("habit", HABITS)
def test_duckdb_still_has_the_habit_that_its_input_is_changed_for(habit: str) -> None:
    table = HABITS[habit]()
    try:
        answered = ask(table)
    except duckdb.Error:
        return
    is_right = answered.column_names == table.column_names and answered["c"].to_pylist() == table["c"].to_pylist()
    assert not is_right, f"DuckDB {duckdb.__version__} is right about {habit}: stop changing them"

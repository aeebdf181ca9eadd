"""Previews as a user sees them."""

from __future__ import annotations

import datetime
import decimal

import arrow_tables
import nested_columns
import pyarrow as pa
from zerrow.worker.preview import preview


def test_a_table_is_aligned_numbers_to_the_right() -> None:
    table = pa.table({"id": [1, 22], "name": ["ann", None], "amount": pa.array([decimal.Decimal("1.50"), None])})
    assert preview(table, 10) == (
        "   id  name             amount\n"
        "int64  string  decimal128(3, 2)\n"
        "    1  ann                 1.50\n"
        "   22  null                null\n"
        "2 rows"
    ).replace("name             amount", "name              amount")


def test_only_the_first_rows_are_shown_and_the_rest_counted() -> None:
    lines = preview(pa.table({"a": range(12_345)}), 3).splitlines()
    assert len(lines) == 6 and lines[-1] == "12,345 rows, the first 3 shown"


def test_no_line_is_wider_than_the_terminal_and_hidden_columns_are_named() -> None:
    table = pa.table({f"column {i}": ["x" * 100] for i in range(10)})
    for width in (20, 60, 100):
        lines = preview(table, 5, width).splitlines()
        assert max(map(len, lines)) <= width
    assert lines[-1].startswith("8 columns not shown: column 2, column 3")
    assert "…" in lines[2]


def test_values_are_one_line_and_safe_for_a_terminal() -> None:
    table = pa.table({"s": ["two\nlines", "\x1b[31mred", "日本"], "b": [b"\x00\xff", b"", None]})
    lines = preview(table, 5).splitlines()
    assert len(lines) == 6 and "\x1b" not in "".join(lines)
    assert "two␤lines" in lines[2] and "00 ff" in lines[2]


def test_every_kind_of_value_has_a_text() -> None:
    table = pa.table(
        {
            "f": [0.1 + 0.2, 1e20],
            "b": [True, None],
            "t": pa.array([1, 2], pa.timestamp("ns", "UTC")),
            "d": [datetime.date(1995, 1, 1), None],
            "l": [[1, 2], []],
            "r": [{"x": 1}, None],
            "k": pa.array(["u", "v"]).dictionary_encode(),
            "n": pa.nulls(2),
        }
    )
    text = preview(table, 2)
    for words in ("0.3 ", "1e+20", "true", "1995-01-01", "[1, 2]", "dictionary<string>", "{'x': 1}"):
        assert words in text


def test_tables_without_rows_or_columns() -> None:
    assert preview(pa.table({"a": pa.array([], pa.int8())}), 5) == "   a\nint8\n0 rows"
    assert preview(pa.table({}), 5).splitlines()[-1] == "0 rows"


def test_every_type_is_shown_and_extension_types_by_their_names() -> None:
    table = arrow_tables.wide()
    text = preview(table, 2)
    assert "arrow.uuid" in text and "test.points" in text
    assert preview(pa.table({name: make(5) for name, make in nested_columns.COLUMNS.items()}), 5)

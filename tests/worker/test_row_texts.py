"""CSV and JSON lines. Other people's readers say what they hold: csv, json, pandas, polars and DuckDB."""

import csv
import datetime
import decimal
import io
import json
import math
import random

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.row_texts import write_csv, write_json_lines

TEXTS = [
    "plain",
    "",
    None,
    'a "quoted" one',
    "comma, here",
    "two\nlines",
    "\r\n",
    " space ",
    "\t",
    "ü😀",
    "\\n",
    "null",
]


def csv_of(table: pa.Table) -> bytes:
    """What is written of a table."""
    out = io.BytesIO()
    write_csv(table.schema, table.to_batches(), out)
    return out.getvalue()


def lines_of(table: pa.Table) -> list:
    """The objects that are written of a table."""
    out = io.BytesIO()
    write_json_lines(table.schema, table.to_batches(), out)
    return [json.loads(line) for line in out.getvalue().decode().splitlines()]


@pytest.fixture(params=["whole", "slice", "chunks", "nothing"])
def table(request: pytest.FixtureRequest) -> pa.Table:
    """Numbers and texts in some layout."""
    random.seed(5)
    rows = 200
    whole = pa.table(
        {
            "i": pa.array([random.choice([None, -(2**63), 2**63 - 1, 7]) for _ in range(rows)], pa.int64()),
            "f": pa.array([random.choice([None, 1.0, 1e300, -0.1, 2 / 3, 5e-324]) for _ in range(rows)]),
            "s": pa.array([random.choice(TEXTS) for _ in range(rows)]),
            "b": pa.array([random.choice([None, True, False]) for _ in range(rows)]),
            'a name, with "all"': pa.array([random.choice(TEXTS) for _ in range(rows)]).dictionary_encode(),
        }
    )
    match request.param:
        case "slice":
            return whole.slice(3, 150)
        case "chunks":
            return pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 99), whole.slice(7)])
        case "nothing":
            return whole.slice(0, 0)
    return whole


def test_csv_is_what_pythons_reader_reads(table: pa.Table):
    read = list(csv.reader(io.StringIO(csv_of(table).decode(), newline=""), strict=True))
    assert read[0] == table.column_names
    assert len(read) == table.num_rows + 1
    for row, line in zip(table.to_pylist(), read[1:], strict=True):
        i, f, s, b, last = row.values()
        assert line[0] == ("" if i is None else str(i))
        assert line[1] == "" if f is None else float(line[1]) == f
        assert line[2] == (s or "")
        assert line[3] == ("" if b is None else str(b).lower())
        assert line[4] == (last or "")


def test_csv_tells_nulls_from_empty_texts_as_duckdb_reads_it(table: pa.Table, tmp_path):
    (tmp_path / "t.csv").write_bytes(csv_of(table))
    types = {"i": "BIGINT", "f": "DOUBLE", "s": "VARCHAR", "b": "BOOLEAN", 'a name, with "all"': "VARCHAR"}
    rows = duckdb.execute(
        "select * from read_csv(?, header = true, columns = ?, quote = '\"', escape = '\"', delim = ',', "
        "auto_detect = false, allow_quoted_nulls = false)",
        [str(tmp_path / "t.csv"), types],
    ).fetchall()
    for row, own in zip(rows, table.to_pylist(), strict=True):
        assert list(row) == list(own.values())


def test_polars_reads_the_same_rows(tmp_path):
    table = pa.table({"s": TEXTS, "n": range(len(TEXTS)), "f": [1.0] * len(TEXTS)})
    (tmp_path / "t.csv").write_bytes(csv_of(table))
    assert pl.read_csv(tmp_path / "t.csv").to_dict(as_series=False) == table.to_pydict()
    out = io.BytesIO()
    write_json_lines(table.schema, table.to_batches(), out)
    (tmp_path / "t.jsonl").write_bytes(out.getvalue())
    assert pl.read_ndjson(tmp_path / "t.jsonl").to_dict(as_series=False) == table.to_pydict()
    assert pd.read_json(tmp_path / "t.jsonl", lines=True)["n"].tolist() == list(range(len(TEXTS)))
    assert [row[0] for row in duckdb.read_json(str(tmp_path / "t.jsonl")).fetchall()] == TEXTS


def test_json_lines_hold_the_very_values(table: pa.Table):
    assert lines_of(table) == table.to_pylist()


def test_floats_keep_their_point_and_have_no_nan_in_json():
    table = pa.table({"f": [2.0, math.nan, math.inf, -0.0], "h": pa.array([1, 2, 3, None], pa.float16())})
    assert csv_of(table) == b"f,h\n2.0,1.0\nnan,2.0\ninf,3.0\n-0.0,\n"
    assert [row["f"] for row in lines_of(table)] == [2.0, None, None, -0.0]


def test_a_column_alone_has_a_line_for_each_null():
    table = pa.table({"s": ["a", None, "", "b"]})
    assert csv_of(table) == b's\na\n""\n""\nb\n'
    assert len(pd.read_csv(io.BytesIO(csv_of(table)), skip_blank_lines=True)) == 4


def test_what_has_no_json_type_is_a_text_or_a_number():
    berlin = pa.array([0, None], pa.timestamp("ms", "Europe/Berlin"))
    table = pa.table(
        {
            "decimal": pa.array([decimal.Decimal("1.20"), None]),
            "date": pa.array([datetime.date(1, 1, 1), None]),
            "time": pa.array([datetime.time(1, 2, 3), None]),
            "moment": pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, 678), None]),
            "zoned": berlin,
            "duration": pa.array([datetime.timedelta(days=1, microseconds=5), None]),
            "bytes": pa.array([b"\x00\xff", None]),
            "view": pa.array(["a text that is long enough for a view", None], pa.string_view()),
            "nothing": pa.nulls(2),
        }
    )
    first, second = lines_of(table)
    assert first == {
        "decimal": 1.2, "date": "0001-01-01", "time": "01:02:03.000000", "moment": "2026-01-02T03:04:05.000678",
        "zoned": "1970-01-01T00:00:00.000Z", "duration": "PT86400.000005S", "bytes": "00ff",
        "view": "a text that is long enough for a view", "nothing": None,
    }  # fmt: skip
    assert set(second.values()) == {None}
    assert b"1.20," in csv_of(table)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_nested_values_are_json_in_both(start: int):
    table = pa.table(
        {
            "list": [[1, None], None, [], [3]],
            "fixed": pa.array([[1, 2], None, [3, 4], [5, 6]], pa.list_(pa.int8(), 2)),
            "struct": [{"x": 1, "y": ["a"]}, None, {"x": None, "y": None}, {"x": 2, "y": []}],
            "deep": [[{"k": 'q"'}], [None], None, []],
            "n": range(4),
        }
    ).slice(start)
    assert lines_of(table) == table.to_pylist()
    read = list(csv.DictReader(io.StringIO(csv_of(table).decode())))
    for name in ("list", "fixed", "struct", "deep"):
        cells = [None if row[name] == "" else json.loads(row[name]) for row in read]
        assert cells == table.column(name).to_pylist()


def test_a_map_is_an_object_where_its_keys_are_texts():
    texts = pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64()))
    numbers = pa.array([[(1, "x")], None, []], pa.map_(pa.int64(), pa.string()))
    assert lines_of(pa.table({"m": texts, "n": numbers})) == [
        {"m": {"a": 1, "b": None}, "n": [{"key": 1, "value": "x"}]}, {"m": None, "n": None}, {"m": {}, "n": []},
    ]  # fmt: skip


def test_control_characters_are_escaped():
    table = pa.table({"s": ["".join(map(chr, range(40)))]})
    assert lines_of(table) == table.to_pylist()


def test_two_columns_of_one_name_are_no_object():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(WorkerFailure, match="two columns are named 'a'"):
        lines_of(table)
    assert csv_of(table) == b"a,a\n1,2\n"


def test_a_text_that_is_no_utf8_is_refused():
    broken = pa.array([b"\xff"]).view(pa.string())
    for write in (csv_of, lines_of):
        with pytest.raises(WorkerFailure, match="UTF-8"):
            write(pa.table({"s": broken}))


def test_a_table_without_a_column_has_its_rows():
    table = pa.table({"a": [1, 2]}).select([])
    assert lines_of(table) == [{}, {}]

"""What a model may return, and what becomes of it."""

from __future__ import annotations

import dataclasses

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import strip_field_ids, to_stream, to_table


def addresses(column: pa.ChunkedArray) -> list[tuple[int, int]]:
    return [(b.address, b.size) for chunk in column.chunks for b in chunk.buffers() if b is not None]


def refused(result: object) -> str:
    with pytest.raises(WorkerFailure) as caught:
        to_table(result)
    assert caught.value.kind == "result"
    return str(caught.value)


@pytest.fixture
def table() -> pa.Table:
    rows = 5000
    return pa.table(
        {
            "number": pa.array(range(rows), pa.int64()),
            "text": pa.array([None if i % 7 == 0 else f"the text of row {i}" for i in range(rows)]),
            "short": pa.array([f"s{i % 10}" for i in range(rows)], pa.large_string()),
            "kind": pa.array([f"k{i % 3}" for i in range(rows)]).dictionary_encode(),
        }
    )


@dataclasses.dataclass
class OneBatch:
    batch: pa.RecordBatch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


def test_arrow_results_keep_every_buffer(table: pa.Table) -> None:
    batch = table.to_batches()[0]
    for result in (table, batch, table.to_reader(), pa.chunked_array([batch.to_struct_array()]), OneBatch(batch)):
        converted = to_table(result)
        assert converted.equals(table)
        for name in table.column_names:
            assert addresses(converted[name]) == addresses(table[name])


def test_a_stream_of_a_table_keeps_metadata_and_buffers(table: pa.Table) -> None:
    described = table.replace_schema_metadata({"origin": "test"})
    again = to_stream(described).read_all()
    assert again.schema.equals(described.schema, check_metadata=True)
    assert addresses(again["text"]) == addresses(table["text"])


def test_a_table_without_batches_keeps_its_schema(table: pa.Table) -> None:
    empty = pa.Table.from_batches([], schema=table.schema)
    assert to_stream(to_table(empty)).read_all().schema.equals(table.schema)


def test_strings_that_pass_through_polars_unchanged_are_the_inputs_own_buffers(table: pa.Table) -> None:
    frame = pl.from_arrow(table)
    converted = to_table(frame.with_columns(double=pl.col("number") * 2), [table])
    assert converted["text"].type == pa.string() and converted["short"].type == pa.large_string()
    for name in ("number", "text", "short"):
        assert addresses(converted[name]) == addresses(table[name])
    assert converted["double"].to_pylist()[:3] == [0, 2, 4]


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.with_columns(pl.col("text").str.to_uppercase()),
        lambda f: f.filter(pl.col("number") > 10),
        lambda f: f.with_columns(text=pl.when(pl.col("number") == 4321).then(pl.lit("other")).otherwise("text")),
        lambda f: f.with_columns(pl.col("text").fill_null("nothing")),
        lambda f: f.reverse(),
    ],
)
def test_strings_that_polars_changed_are_plain_large_strings(table: pa.Table, change: object) -> None:
    frame = change(pl.from_arrow(table))
    converted = to_table(frame, [table])
    assert converted["text"].type == pa.large_string()
    assert converted["text"].to_pylist() == frame["text"].to_list()


def test_polars_results_have_no_views_at_any_depth() -> None:
    frame = pl.DataFrame({"list": [["a"], None], "record": [{"x": "y"}, {"x": None}], "blob": [b"1", b"2"]})
    frame = frame.with_columns(kind=pl.Series(["u", "v"], dtype=pl.Categorical))
    types = str(to_table(frame).schema)
    assert "view" not in types
    assert to_table(frame.lazy()).to_pylist() == to_table(frame).to_pylist()


def test_pandas_numbers_and_strings_are_not_copied() -> None:
    numbers = np.random.default_rng(1).random(10_000)
    frame = pd.DataFrame({"x": numbers, "y": pd.array(["text"] * 10_000, dtype="str")}, copy=False)
    converted = to_table(frame)
    assert converted["x"].chunk(0).buffers()[1].address == frame["x"].to_numpy().ctypes.data
    assert converted["y"].type == pa.large_string()


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        (pd.DataFrame({"a": [1, 2]}), ["a"]),
        (pd.DataFrame({"a": [1, 2, 3]})[lambda f: f.a > 1], ["a"]),
        (pd.DataFrame({"a": [1, 1], "b": [2, 3]}).groupby("a").sum(), ["a", "b"]),
        (pd.DataFrame({"a": [1, 3, 2]}).sort_values("a"), ["a", "__index_level_0__"]),
        (pd.DataFrame({"a": [1.0, 2.0]}).describe(), ["a", "__index_level_0__"]),
        (pd.DataFrame({"a": [1, 2]}, index=pd.Index([2, 3], name="a")), ["__index_level_0__", "a"]),
        (pd.DataFrame({("a", "b"): [1]}), ["('a', 'b')"]),
        (pd.DataFrame({"a": [1], "b": [2], "c": [3]}).groupby(["a", "b"]).sum(), ["a", "b", "c"]),
        (pd.DataFrame({1: [1], 2: [2]}), ["1", "2"]),
    ],
    ids=[
        "row numbers",
        "filtered row numbers",
        "group",
        "sorted row numbers",
        "labels",
        "named as a column",
        "columns of two levels",
        "two levels",
        "numbers as names",
    ],
)
def test_the_index_of_a_frame_becomes_columns_unless_it_counts_rows(frame: pd.DataFrame, columns: list[str]) -> None:
    assert to_table(frame).column_names == columns


def test_rows_and_columns_of_python_values() -> None:
    assert to_table([{"a": 1}, {"b": "x"}]).to_pydict() == {"a": [1, None], "b": [None, "x"]}
    columns = {"a": [1, 2], "b": np.array([1.5, 2.5]), "c": pl.Series(["x", "y"]), "d": pd.Series([True, False])}
    converted = to_table({**columns, "e": pa.array([None, 1])})
    assert [str(t) for t in converted.schema.types] == ["int64", "double", "large_string", "bool", "int64"]


def test_a_dict_keeps_what_the_field_of_a_polars_series_says() -> None:
    sizes = pl.Enum(["S", "M", "L"])
    converted = to_table({"size": pl.Series(["L", "S"], dtype=sizes), "text": pl.Series(["x", "y"])})
    assert pl.from_arrow(converted).schema == {"size": sizes, "text": pl.String}
    assert converted.schema.field("text").type == pa.large_string()


class Places(pd.DataFrame):
    """A frame that knows its own way to Arrow, as GeoPandas does."""

    def to_arrow(self) -> pa.RecordBatch:
        field = pa.field("where", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
        return pa.record_batch([pa.array([b"point"])], schema=pa.schema([field]))


def test_a_frame_that_has_its_own_way_to_arrow_takes_it() -> None:
    table = to_table(Places({"where": [object()]}, index=["a"]))
    assert table.schema.field("where").metadata == {b"ARROW:extension:name": b"geoarrow.wkb"}
    assert to_table(pd.DataFrame({"to_arrow": [1]})).to_pydict() == {"to_arrow": [1]}


def test_duckdb_results_come_in_large_chunks() -> None:
    connection = duckdb.connect()
    converted = to_table(connection.sql("select range as a, 'b' as b from range(300000)"))
    assert converted.num_rows == 300_000 and converted["a"].num_chunks <= 4
    assert to_table(connection.execute("select 1 as x")).to_pydict() == {"x": [1]}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "returned None"),
        (5, "int, which is no table"),
        ("text", "str, which is no table"),
        ((row for row in [{"a": 1}]), "generator"),
        (pd.Series([1]), "to_frame"),
        (pl.Series([1]), "to_frame"),
        (pa.array([1]), "type int64, not a table"),
        ([], "empty list"),
        ([{"a": 1}, 5], "row 1"),
        ([{"a": 1}, {"a": "x"}], "'a'"),
        ({"a": [1], "b": [1, 2]}, "differ in length"),
        ({"a": 5}, "'a'"),
        ({1: [2]}, "names of columns"),
        ({"\ud800": [2]}, "no whole text"),
        ({"a": ["\ud800"]}, "'a'"),
        (pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object)}), "surrogates"),
        (pa.table([[1], [2]], names=["x", "x"]), "more than one column named 'x'"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "more than one column named 'x'"),
        (pd.DataFrame({"x": [1, "a"]}), "column x"),
        (pd.DataFrame({"c": pd.cut([1, 2], 2)}), "'c' is categorical"),
        (pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), "'o' is of the polars type Object"),
        ({"o": pl.Series([object()], dtype=pl.Object)}, "'o' is of the polars type Object"),
        (pa.table({"a": pa.array([{"b\0c": 1}])}), "NUL"),
    ],
)
def test_what_is_no_table_is_refused_by_name(result: object, words: str) -> None:
    assert words in refused(result)


def test_field_ids_of_parquet_are_gone_at_every_depth_and_other_metadata_stays() -> None:
    marked = {"PARQUET:field_id": "1", "note": "kept"}
    inner = pa.field("inner", pa.int64(), metadata={"PARQUET:field_id": "2"})
    schema = pa.schema(
        [
            pa.field("a", pa.int64(), metadata=marked),
            pa.field("s", pa.struct([inner])),
            pa.field("l", pa.list_(inner)),
            pa.field("m", pa.map_(pa.string(), inner.type)),
        ]
    )
    table = pa.table([[1], [{"inner": 1}], [[1]], [[("k", 1)]]], schema=schema)
    cleaned = strip_field_ids(table).schema
    assert cleaned.field("a").metadata == {b"note": b"kept"}
    assert b"field_id" not in cleaned.serialize().to_pybytes()
    assert b"field_id" not in to_stream(strip_field_ids(table)).schema.serialize().to_pybytes()
    assert strip_field_ids(table).equals(table)

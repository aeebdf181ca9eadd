"""What pandas notes in a table is never said of a column, or of rows, that are others since."""

from __future__ import annotations

import random
from typing import Any

import nested_columns
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow.pandas_compat import get_logical_type
from zerrow.worker import pandas_metadata
from zerrow.worker.results import to_table


def noted(values: dict[str, Any], **changes: pa.Array) -> pd.DataFrame:
    """What a frame of these values is after a pyarrow model changed columns of it, for a model that reads it."""
    table = to_table(pd.DataFrame(values))
    for name, column in changes.items():
        index = table.schema.get_field_index(name)
        table = table.append_column(name, column) if index < 0 else table.set_column(index, name, column)
    return to_table(table).to_pandas()


def test_what_pandas_noted_of_a_column_does_not_outlive_its_type() -> None:
    ids = pd.array([2**53 + 1, None], "Int64")
    assert noted({"id": ids})["id"].dtype == "Int64"
    assert noted({"id": ids}, id=pa.array(["x", "y"]))["id"].tolist() == ["x", "y"]
    assert noted({"id": ids}, id=pa.array([0.5, None]))["id"].dtype == "Float64"
    assert noted({"id": pd.array([1, None], "Int8")}, id=pa.array([300, None]))["id"].tolist() == [300, pd.NA]
    months = pd.period_range("2024-01", periods=2, freq="M")
    assert noted({"m": months}, m=pa.array([1, 2]))["m"].dtype == "int64"
    moments = pd.to_datetime(["2024", "2025"]).tz_localize("Europe/Paris")
    moved = pa.array(moments).cast(pa.timestamp("us", "Asia/Tokyo"))
    assert str(noted({"t": moments}, t=moved)["t"].dtype.tz) == "Asia/Tokyo"
    assert noted({1: [1, 2], 2: [3, 4]}, more=pa.array([5, 6])).columns.tolist() == ["1", "2", "more"]


def test_types_have_the_names_that_pyarrow_notes_for_pandas() -> None:
    for make in nested_columns.COLUMNS.values():
        kind = make(1).type
        assert pandas_metadata._logical_type(kind) == get_logical_type(kind)
    zoned = (
        pa.timestamp("us"),
        pa.timestamp("us", "UTC"),
        pa.large_string(),
        pa.decimal32(5, 2),
        pa.date64(),
        pa.time32("s"),
    )
    for kind in (*zoned, pa.null(), pa.bool_(), pa.uint8(), pa.float16(), pa.float32(), pa.binary(3)):
        assert pandas_metadata._logical_type(kind) == get_logical_type(kind)


def test_row_labels_of_pandas_are_left_out_where_the_rows_are_others() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(100, 102))
    table = to_table(frame)
    assert table.to_pandas().index.tolist() == [100, 101]
    doubled = to_table(pa.concat_tables([table, table]))
    assert doubled.slice(1, 2).to_pandas().index.tolist() == [0, 1]
    labelled = to_table(frame.set_index(pd.Index(["x", "y"], name="key")))
    assert to_table(labelled.drop_columns("key")).to_pandas().index.tolist() == [0, 1]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"columns": 3}',
        b'{"columns": [{}], "index_columns": []}',
        b'{"columns": [], "index_columns": [{"start": 0, "stop": 1e99, "step": 1}]}',
        b'{"columns": [], "index_columns": [{"start": 0, "stop": %d, "step": 1}]}' % 10**40,
    ],
)
def test_metadata_that_is_not_of_pandas_is_left_out(junk: bytes) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({b"pandas": junk, b"origin": b"test"})
    assert to_table(table).schema.metadata == {b"origin": b"test"}
    assert to_table(table).to_pandas()["a"].tolist() == [1]


KINDS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.int64(), pa.int8(), pa.float64(), pa.bool_(), pa.date32(),
    pa.timestamp("us"), pa.timestamp("us", "Asia/Tokyo"), pa.duration("s"), pa.list_(pa.int64()), pa.null(),
    pa.binary(), pa.struct([("a", pa.int64())]), pa.decimal128(10, 2), pa.dictionary(pa.int8(), pa.string()),
]  # fmt: skip
INDEXES = [
    None, pd.Index([5, 3, 9], name="k"), pd.Index(list("xyz")), pd.RangeIndex(10, 16, 2),
    pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")], names=["g", "h"]),
    pd.date_range("2024", periods=3, tz="UTC"),
]  # fmt: skip


def frame(choose: random.Random) -> pd.DataFrame:
    """Every dtype that metadata alone tells, with any index and labels."""
    made = pd.DataFrame(
        {
            "id": pd.array([2**53 + 1, None, 3], "Int64"),
            "month": pd.period_range("2024-01", periods=3, freq="M"),
            "interval": pd.interval_range(0, 3),
            "kind": pd.Categorical(list("aba"), ordered=True),
            "time": pd.to_datetime(["2024"] * 3).tz_localize("Europe/Paris"),
            "text": pd.array(["x", None, "y"], "string[pyarrow]"),
            "plain": pd.array(["x", None, "y"], "str"),
            "flag": pd.array([True, None, False], "boolean"),
            "half": pd.array([1.5, None, 2.5], "Float32"),
            "arrow": pd.array([1, None, 2], pd.ArrowDtype(pa.int8())),
            "list": pd.array([[1], None, [2]], pd.ArrowDtype(pa.list_(pa.int64()))),
        }
    )
    index = choose.choice(INDEXES)
    if index is not None:
        made.index = index
    if choose.random() < 0.3:
        count = len(made.columns)
        made.columns = choose.choice([pd.RangeIndex(count), pd.MultiIndex.from_product([["p"], range(count)])])
    return made


def changed(table: pa.Table, choose: random.Random) -> pa.Table:
    """The table after one thing that a model with pyarrow may do; the metadata stays, as pyarrow has it."""
    names, kind = table.column_names, choose.choice(KINDS)
    one, other = choose.choice(names), choose.choice(names)
    field = table.schema.field(one)
    match choose.randrange(7):
        case 0:
            return table.slice(1)
        case 1:
            return table.drop_columns(one)
        case 2:
            return table.set_column(names.index(one), one, pa.nulls(table.num_rows, kind))
        case 3:
            return table.append_column(f"new {choose.random()}", pa.array(range(table.num_rows)))
        case 4:
            return pa.concat_tables([table, table])
        case 5:
            swapped = {one: other, other: one}
            return table.rename_columns([swapped.get(name, name) for name in names])
        case _:
            return table.set_column(names.index(one), field.with_type(kind), table[one].cast(kind))


@pytest.mark.filterwarnings("ignore")
def test_what_pandas_can_read_without_its_notes_it_can_read_with_them() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    for _ in range(150):
        table = to_table(frame(choose))
        for _ in range(choose.randrange(1, 4)):
            try:
                table = changed(table, choose)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a cast that is not to be had
                continue
        try:
            table.replace_schema_metadata().to_pandas()
        except (pa.ArrowException, ValueError, TypeError):
            continue
        assert to_table(table).to_pandas().shape[0] == table.num_rows

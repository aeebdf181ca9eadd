"""Tables that the newest pyarrow has made, in workers with older ones: all types come through, where they lie."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pyarrow as pa
import pytest
from small_engine import Engine, Table, open_table

ROWS = 20_000
DECIMALS = [decimal.Decimal(i) for i in range(ROWS)]
TEXTS = [f"text number {i}" for i in range(ROWS)]

COLUMNS: dict[str, pa.Array] = {
    "int64": pa.array(range(ROWS)),
    "float16": pa.array([float(i % 100) for i in range(ROWS)]).cast(pa.float16()),
    "string": pa.array(TEXTS),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "binary": pa.array([b"x" * (i % 9) for i in range(ROWS)]),
    "fixed binary": pa.array([b"abcd"] * ROWS, pa.binary(4)),
    "decimal128": pa.array(DECIMALS, pa.decimal128(20, 2)),
    "decimal256": pa.array(DECIMALS, pa.decimal256(50, 2)),
    "timestamp": pa.array(range(ROWS), pa.int64()).cast(pa.timestamp("ns", "Europe/Berlin")),
    "date": pa.array([datetime.date(2020, 1, 1)] * ROWS),
    "time": pa.array([datetime.time(1, 2, 3)] * ROWS),
    "duration": pa.array(range(ROWS), pa.int64()).cast(pa.duration("ms")),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3])] * ROWS),
    "list": pa.array([[i, None] for i in range(ROWS)]),
    "large list": pa.array([[text] for text in TEXTS], pa.large_list(pa.string())),
    "fixed list": pa.array([[1, 2]] * ROWS, pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"a": i, "b": text} for i, text in enumerate(TEXTS)]),
    "map": pa.array([[("k", i)] for i in range(ROWS)], pa.map_(pa.string(), pa.int64())),
    "dictionary": pa.array([f"c{i % 7}" for i in range(ROWS)]).dictionary_encode(),
    "bool": pa.array([True, None] * (ROWS // 2)),
    "null": pa.nulls(ROWS),
    "runs": pa.RunEndEncodedArray.from_arrays([ROWS // 2, ROWS], ["a", "b"]),
    "string view": pa.array(TEXTS, pa.string_view()),
    "binary view": pa.array([b"b" * 40] * ROWS, pa.binary_view()),
    "list view": pa.array([[1, 2]] * ROWS, pa.list_view(pa.int64())),
    "views within": pa.array([{"q": text} for text in TEXTS], pa.struct([("q", pa.string_view())])),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16] * ROWS, pa.binary(16))),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"] * ROWS)),
}


@pytest.fixture(scope="module")
def give(default_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Publishes a table in zerrow's own environment."""
    folder = tmp_path_factory.mktemp("types")

    def give(table: pa.Table) -> Table:
        with pa.OSFile(str(folder / "t.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        text = f"import pyarrow as pa\ndef model(): return pa.ipc.open_file({str(folder / 't.arrow')!r}).read_all()"
        (folder / "m.py").write_text(text)
        task = {"kind": "python", "folder": str(folder), "file": "m.py", "line": 1, "function": "model"}
        outcome = default_engine.run({**task, "arguments": []})
        assert outcome.table is not None, outcome.error
        return outcome.table

    return give


def test_columns_of_all_types_are_passed_on_where_they_lie(world: Any, give: Any) -> None:
    table = pa.table(COLUMNS)
    result = world.run("def model(t): return t", world.lend(give(table)))
    assert open_table(result).equals(table)
    assert {name for name, count in result.counts.items() if count} == {"reshared_bytes"}


@pytest.mark.parametrize("name", ["decimal32", "decimal64"])
def test_a_type_that_a_pyarrow_lacks_is_named_with_its_column(world: Any, give: Any, name: str) -> None:
    kind = getattr(pa, name)(5, 2)
    table = pa.table({"ok": [1], "price": pa.array([decimal.Decimal(1)], kind)})
    lent = world.lend(give(table))
    version = world.run("import pyarrow as pa\ndef model(): return [{'major': int(pa.__version__.split('.')[0])}]")
    if open_table(version)["major"][0].as_py() >= 18:
        assert open_table(world.run("def model(t): return t", lent)).equals(table)
        return
    error = world.fail("def model(t): return t", lent)
    assert error["kind"] == "input"
    assert f"the column 'price' of 'base' is of the type {name}, which this model's pyarrow" in error["message"]
    assert "cast it to decimal128 in the model that makes it, or ask for pyarrow 18 or newer" in error["message"]


def test_a_model_sees_no_field_ids_of_parquet(world: Any, tmp_path: Any, default_engine: Engine) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1], "s": [{"x": 1}]}), tmp_path / "t.parquet")
    task = {"kind": "scan", "table": "t", "files": [str(tmp_path / "t.parquet")], "columns": None, "filter": None}
    scan = default_engine.run({**task, "dictionary": []})
    assert scan.table is not None, scan.error
    seen = world.run("def model(t): return [{'text': t.schema.to_string()}]", world.lend(scan.table))
    assert "field_id" not in open_table(seen)["text"][0].as_py()

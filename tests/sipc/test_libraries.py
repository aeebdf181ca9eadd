"""What other libraries stream is published and read back by them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from abi import Engine
from columns import COLUMNS

ROWS = 5000


def test_pandas(engine: Engine) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": range(ROWS), "s": [f"t{i}" for i in range(ROWS)], "f": [i / 3 for i in range(ROWS)]})
    descriptor, counts = engine.publish(frame)
    assert counts.rows == ROWS
    assert engine.open(descriptor).to_pandas().equals(frame)


def test_polars(engine: Engine) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "a": [None if i % 5 == 0 else i for i in range(ROWS)],
            "s": [f"a text of some length {i}" if i % 3 else None for i in range(ROWS)],
            "l": [[i] * (i % 3) for i in range(ROWS)],
            "x": [{"y": i, "z": str(i)} for i in range(ROWS)],
            "b": [i % 2 == 0 for i in range(ROWS)],
            "c": polars.Series([f"c{i % 4}" for i in range(ROWS)], dtype=polars.Categorical),
        }
    )
    for window in (frame, frame.slice(3, 77), frame.slice(0, 0)):
        descriptor, _ = engine.publish(window)
        opened = engine.open(descriptor)
        opened.validate(full=True)
        assert polars.from_arrow(opened).equals(window)
        with engine.session() as session:
            again, counts = engine.publish(polars.DataFrame(session.open(descriptor)).select("s", "a", "l"), session)
        assert counts.copied == 0
        assert polars.from_arrow(engine.open(again)).equals(window.select("s", "a", "l"))


def test_duckdb(engine: Engine) -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql(f"select range as a, range::varchar as s, [range, 1] as l from range({ROWS})")
    descriptor, counts = engine.publish(relation)
    assert counts.rows == ROWS
    table = engine.open(descriptor)
    table.validate(full=True)
    assert table["s"].to_pylist() == [str(i) for i in range(ROWS)]
    assert duckdb.from_arrow(table).aggregate("sum(a)").fetchall() == [(ROWS * (ROWS - 1) // 2,)]


def test_datafusion_passes_its_input_on(engine: Engine) -> None:
    datafusion = pytest.importorskip("datafusion")
    names = ["int64", "string", "bool", "list", "struct"]
    descriptor, _ = engine.publish(pa.table({name: COLUMNS[name](ROWS) for name in names}))
    with engine.session() as session:
        table = session.open(descriptor).read_all()
        context = datafusion.SessionContext(datafusion.SessionConfig().with_batch_size(ROWS))
        context.from_arrow(table, "t")
        result, counts = engine.publish(context.sql('select "string", "int64", "struct" from t'), session)
    assert counts.bytes > 0 and counts.reshared > counts.bytes * 0.9
    result = engine.open(result)
    result.validate(full=True)
    assert result["struct"].to_pylist() == COLUMNS["struct"](ROWS).to_pylist()

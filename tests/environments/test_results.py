"""What models return with older libraries. The oracle is the library itself: the same function, run by the same
interpreter without zerrow, and its own way to Arrow."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_engine import Engine, Table, open_table

ROWS = 20_000
SOURCE = pa.table(
    {
        "a": pa.array(range(ROWS), pa.int64()),
        "f": pa.array([i / 3 for i in range(ROWS)]),
        "s": pa.array([f"a text that is no short one: {i}" for i in range(ROWS)]),
        "k": pa.array([f"k{i % 3}" for i in range(ROWS)]).dictionary_encode(),
    }
)

MODELS = {
    "pyarrow": ("pyarrow", "import pyarrow.compute as pc\ndef model(t): return t.filter(pc.less(t['a'], 5_000))"),
    "sort": ("pyarrow", "def model(t): return t.sort_by([('f', 'descending')]).select(['f', 's'])"),
    "batch": ("pyarrow", "def model(t): return t.slice(10, 20).combine_chunks().to_batches()[0]"),
    "reader": ("pyarrow", "def model(t): return t.to_reader()"),
    "rows": ("pyarrow", "def model(t): return [{'x': i, 's': None if i == 3 else 'text'} for i in range(3000)]"),
    "columns": ("pyarrow", "import pyarrow as pa\ndef model(t): return {'x': [1, None], 'p': pa.array(['a', 'b'])}"),
    "numpy": ("numpy", "def model(t): return {'x': t['a'].to_numpy() * 2.5}"),
    "pandas": ("pandas", "def model(t): return t.to_pandas().assign(u=lambda f: f.s.str.upper()).query('a % 2 == 0')"),
    "pandas group": ("pandas", "def model(t): return t.to_pandas().groupby('k', observed=True).f.sum().reset_index()"),
    "pandas index": ("pandas", "def model(t): return t.to_pandas().set_index('a').head(100)"),
    "polars": ("polars", "import polars as pl\ndef model(t): return pl.from_arrow(t).filter(pl.col('a') % 2 == 0)"),
    "polars lazy": ("polars", "import polars as pl\ndef model(t): return pl.from_arrow(t).lazy().sort('f')"),
    "duckdb relation": ("duckdb", "import duckdb\ndef model(t): return duckdb.sql('select s, a * 2 as b from t')"),
    "duckdb arrow": ("duckdb", "import duckdb\ndef model(t): return duckdb.sql('select sum(a) as b from t').arrow()"),
    "duckdb query": ("duckdb", "import duckdb\ndef model(t): return duckdb.connect().execute('from t limit 9')"),
}

ORACLE = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq
from models import model

result = model(pq.read_table(sys.argv[1], read_dictionary=["k"]))
kind = type(result)
if hasattr(result, "collect"):
    result = result.collect()
if kind.__module__.startswith("pandas"):
    # Row labels that have a name come first.
    count, result = result.columns.size, pa.Table.from_pandas(result)
    result = result.select([*result.column_names[count:], *result.column_names[:count]])
elif kind.__module__.startswith("polars"):
    result = result.to_arrow()
elif kind.__name__.startswith("DuckDBPy"):
    result = result.arrow() if hasattr(result, "arrow") else result.to_arrow_reader()
if isinstance(result, pa.RecordBatchReader):
    result = result.read_all()
if isinstance(result, pa.RecordBatch):
    result = pa.Table.from_batches([result])
if isinstance(result, list):
    result = pa.Table.from_pylist(result)
if isinstance(result, dict):
    result = pa.table(result)
with pa.OSFile(sys.argv[2], "wb") as file, pa.ipc.new_stream(file, result.schema) as writer:
    writer.write_table(result)
"""


@pytest.fixture(scope="module")
def source(default_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    """A Parquet file, and its scan, which runs in zerrow's own environment."""
    path = tmp_path_factory.mktemp("source") / "t.parquet"
    pq.write_table(SOURCE, path)
    task = {"kind": "scan", "table": "t", "files": [str(path)], "columns": None, "filter": None, "dictionary": ["k"]}
    outcome = default_engine.run(task)
    assert outcome.table is not None, outcome.error
    return path, outcome.table


def plain(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table[name].to_pylist() for name in table.column_names}


@pytest.mark.parametrize("case", MODELS)
def test_a_result_is_what_the_library_makes_of_it_and_is_not_copied(
    world: Any, source: tuple[Path, Table], case: str
) -> None:
    library, text = MODELS[case]
    if library not in world.libraries:
        pytest.skip(f"no {library} there")
    path, table = source
    result = world.run(text, world.lend(table))
    opened = open_table(result)
    opened.validate(full=True)
    (world.folder / "oracle.py").write_text(ORACLE)
    told = world.folder / "oracle.arrow"
    command = [world.python, "-B", world.folder / "oracle.py", path, told]
    subprocess.run(command, check=True, cwd=world.folder)
    expected = pa.ipc.open_stream(told.read_bytes()).read_all()
    if case == "pandas":
        # The labels that a filter leaves have no name: they come last.
        expected = expected.select(opened.column_names)
    assert opened.column_names == expected.column_names and plain(opened) == plain(expected)
    assert result.counts["copied_bytes"] == 0, result.counts


def test_columns_that_are_passed_on_by_a_filterless_model_are_the_inputs_own(
    world: Any, source: tuple[Path, Table]
) -> None:
    result = world.run("def model(t): return t.select(['s', 'a'])", world.lend(source[1]))
    assert {name for name, count in result.counts.items() if count} == {"reshared_bytes"}


FRAME = """
import numpy as np, pandas as pd, pyarrow as pa

def frame():
    days = pd.date_range("2020-01-01", periods=4)
    return pd.DataFrame({
        "i": [1, 2, 3, 4], "f": [1.5, None, 2.5, 3.5], "s": ["a", None, "c", "d"], "b": [True, False, True, False],
        "t": days, "z": days.tz_localize("Europe/Berlin"), "d": days - days[0], "c": pd.Categorical(list("xyxz")),
        "o": pd.Categorical(list("xyxz"), categories=list("zyx"), ordered=True),
        "n": pd.array([1, None, 3, 4], dtype="Int64"), "st": pd.array(["q", None, "r", "s"], dtype="string"),
        "bo": pd.array([True, None, False, True], dtype="boolean"),
        "p": pd.period_range("2020-01", periods=4, freq="M"),
        "iv": pd.interval_range(0, 4), "u8": np.arange(4, dtype="uint8"), "f32": np.arange(4, dtype="float32"),
    }, index=pd.Index([7, 5, 3, 1], name="label"))
"""


def test_a_frame_comes_back_as_pandas_own_way_through_arrow_gives_it(world: Any) -> None:
    if "pandas" not in world.libraries:
        pytest.skip("no pandas there")
    (world.folder / "frames.py").write_text(FRAME)
    first = world.run("from frames import frame\ndef model(): return frame()")
    text = """
import pandas as pd, pyarrow as pa
from frames import frame

def model(t):
    expected = pa.Table.from_pandas(frame()).to_pandas()
    found = t.to_pandas()
    pd.testing.assert_frame_equal(found, expected)
    return {"dtypes": [str(each) for each in found.dtypes]}
"""
    second = world.run(text, first)
    assert "Int64" in open_table(second)["dtypes"].to_pylist()

"""What a library's types become from one model to the next: what its own way through Arrow makes of them, or an error.

Each case goes through the real publishing and opening; and all columns of a library at once go through real workers.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
import small_engine
from small_engine import ARENA_BYTES_MAX, ARENA_FILE_BYTES, Engine
from zerrow.worker.abi import WorkerLibrary
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.results import to_stream, to_table

FOLDER = Path(__file__).parent / "libraries"
MODULES = ["pandas_frames", "polars_frames", "arrow_tables", "duckdb_queries", "datafusion_frames"]

LIBRARIES: dict[str, ModuleType] = {name: importlib.import_module(name) for name in MODULES}
CASES = [(name, case) for name, module in LIBRARIES.items() for case in module.CASES]

REFUSED = {
    ("pandas_frames", "columns: repeated as text"): "more than one column named '1'",
    ("pandas_frames", "columns: with NUL"): r"'a\\x00b' has a NUL",
    ("polars_frames", "Int128"): "polars type Int128.*Decimal",
    ("polars_frames", "Int128: no rows"): "polars type Int128.*Decimal",
    ("polars_frames", "UInt128"): "polars type UInt128.*Decimal",
    ("polars_frames", "UInt128: no rows"): "polars type UInt128.*Decimal",
    ("polars_frames", "Object"): "'c' is of the polars type Object",
    ("polars_frames", "NUL in a name"): r"'a\\x00b' has a NUL",
    ("polars_frames", "NUL in the name of a field"): r"'a\\x00b' has a NUL",
    ("arrow_tables", "NUL in a name"): r"'a\\x00b' has a NUL",
    ("arrow_tables", "NUL in the name of a field"): r"'a\\x00b' has a NUL",
}
"""What a library keeps and zerrow refuses, and by which words."""

KEPT_BEYOND = {
    ("pandas_frames", case)
    for case in (
        "ArrowDtype list", "ArrowDtype struct", "ArrowDtype map", "ArrowDtype dictionary", "ArrowDtype fixed list",
        "columns: categories", "columns: periods",
    )
} | {("arrow_tables", "dictionary of points")}  # fmt: skip
"""What a library cannot read back itself, and zerrow passes on: as what it is without that library's notes."""


@pytest.fixture(scope="module")
def library() -> WorkerLibrary:
    return WorkerLibrary(small_engine.built("libzerrow_worker.so"))


def travel(library: WorkerLibrary, table: pa.Table) -> pa.Table:
    """The table, published and opened."""
    output = small_engine.memory_file(size=ARENA_FILE_BYTES)
    session = library.session()
    session.output(os.dup(output), ARENA_FILE_BYTES, ARENA_BYTES_MAX)
    _, descriptor = session.publish(to_stream(table))
    return small_engine.open_table(small_engine.adopted(descriptor, output))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "case"), CASES)
def test_a_value_is_what_its_library_makes_of_it_or_refused(library: WorkerLibrary, module: str, case: str) -> None:
    frames = LIBRARIES[module]
    verdict, expected = frames.verdict(case)
    if (module, case) in REFUSED or (verdict == "refused" and (module, case) not in KEPT_BEYOND):
        with pytest.raises(WorkerFailure, match=REFUSED.get((module, case), "")) as caught:
            to_table(frames.CASES[case]())
        assert caught.value.kind == "result"
        return
    table = travel(library, to_table(frames.CASES[case]()))
    if verdict == "kept":
        assert frames.difference(table, expected) == ""
    elif module == "pandas_frames":
        assert table.to_pandas().shape == frames.CASES[case]().shape
    else:
        assert table.equals(pa.table(frames.CASES[case]()))


MODEL = """
import {module} as frames
import warnings
warnings.simplefilter("ignore")
def write():
    return frames.wide()
def read(t):
    return {{"difference": [frames.difference(t, frames.own(frames.wide()))], "columns": [t.num_columns]}}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("libraries")
    for file in [*FOLDER.glob("*.py"), FOLDER.parent / "nested_columns.py"]:
        shutil.copy(file, folder)
    yield folder


def task(folder: Path, file: str, function: str, *inputs: str) -> dict:
    arguments = [{"name": name, "input": number} for number, name in enumerate(inputs)]
    return {
        "kind": "python", "model": "m", "folder": str(folder), "file": file, "line": 1, "function": function,
        "arguments": arguments,
    }  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_all_columns_of_a_library_at_once_go_from_worker_to_worker(engine: Engine, models: Path, module: str) -> None:
    (models / f"{module}_models.py").write_text(MODEL.format(module=module))
    written = engine.run(task(models, f"{module}_models.py", "write"))
    assert written.error is None, written.error
    read = engine.run(task(models, f"{module}_models.py", "read", "t"), [written.table])
    assert read.error is None, read.error
    (answer,) = small_engine.open_table(read.table).to_pylist()
    assert answer["difference"] == "" and answer["columns"] > 25


WRITES_PERIODS = """
import pandas as pd
def write():
    return pd.DataFrame({"month": pd.period_range("2024-01", periods=2, freq="M")})
"""
READS_PERIODS = (
    "def read(t): return {'kind': [str(t.schema.field('month').type)], 'dtype': [str(t.to_pandas()['month'].dtype)]}"
)


@pytest.mark.parametrize("preloaded", ["pyarrow", "pyarrow,pandas"])
def test_types_of_pandas_are_there_for_a_model_that_imports_nothing(models: Path, preloaded: str) -> None:
    (models / "writes.py").write_text(WRITES_PERIODS)
    (models / "reads.py").write_text(READS_PERIODS)
    engine = Engine(modules=preloaded).wait_ready()
    written = engine.run(task(models, "writes.py", "write"))
    read = engine.run(task(models, "reads.py", "read", "t"), [written.table])
    (answer,) = small_engine.open_table(read.table).to_pylist()
    assert engine.close() == ""
    assert answer["dtype"] == "period[M]" and "pandas.period" in answer["kind"]


def test_a_dtype_that_the_reader_does_not_know_is_left_out(engine: Engine, models: Path) -> None:
    (models / "foreign.py").write_text(FOREIGN)
    written = engine.run(task(models, "foreign.py", "write"))
    read = engine.run(task(models, "foreign.py", "read", "t"), [written.table])
    assert read.error is None, read.error
    assert small_engine.open_table(read.table).to_pylist() == [{"x": 1, "dtypes": "int64 Int64"}]


FOREIGN = """
import json
import pandas as pd
import pyarrow as pa
def write():
    table = pa.Table.from_pandas(pd.DataFrame({"x": [1], "y": pd.array([2], "Int64")}))
    noted = json.loads(table.schema.metadata[b"pandas"])
    noted["columns"][0]["numpy_type"] = "length[m]"
    return table.replace_schema_metadata({b"pandas": json.dumps(noted)})
def read(t):
    frame = t.to_pandas()
    return {"x": frame["x"].tolist(), "dtypes": [" ".join(map(str, frame.dtypes))]}
"""

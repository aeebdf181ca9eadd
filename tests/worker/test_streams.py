"""A SQL model gives the same table whether an engine reads the files of its source by itself or gets them decoded."""

from __future__ import annotations

import datetime
import decimal
import math
import random
import struct
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zerrow.plan import plan_project
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.tasks import execute, prepare_arguments

ENGINES = ("datafusion", "duckdb")
NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))[0]
FLOATS = [0.0, -0.0, 1.5, -1.5, math.nan, NEGATIVE_NAN, math.inf, -math.inf]
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "i8": (pa.int8(), [0, 1, -1, 127, -128]),
    "i32": (pa.int32(), [0, 1, -1, 2**31 - 1, -(2**31)]),
    "i64": (pa.int64(), [0, 1, -1, 2**63 - 1, -(2**63)]),
    "u8": (pa.uint8(), [0, 1, 127, 128, 255]),
    "u32": (pa.uint32(), [0, 1, 2**31 - 1, 2**31, 2**32 - 1]),
    "u64": (pa.uint64(), [0, 1, 2**63 - 1, 2**63, 2**64 - 1]),
    "f32": (pa.float32(), FLOATS),
    "f64": (pa.float64(), FLOATS),
    "b": (pa.bool_(), [True, False]),
    "s": (pa.string(), ["", "a", "b", "z" * 100, "z" * 100 + "b", "é", "\U0001f600" * 30, "\uffff" * 40]),
    "d": (pa.date32(), [0, 1, -1, 19000, 2932896, -719162]),
    "tu": (pa.timestamp("us"), [0, 1, -1, 10**15, 253402300799999999, -62135596800000000]),
    "tn": (pa.timestamp("ns"), [0, 1, -1, 10**18, 2**63 - 1, 1 - 2**63]),
    "zu": (pa.timestamp("us", "UTC"), [0, 1, -1, 10**15, 253402300799999999]),
    "dc": (pa.decimal128(9, 2), [decimal.Decimal(each) for each in ("0.00", "1.25", "-1.25", "9999999.99")]),
    "dw": (pa.decimal128(30, 3), [decimal.Decimal(each) for each in ("0.000", "1.250", f"{'9' * 27}.999")]),
}
LITERALS = {
    "int": ["0", "1", "-1", "127", "2147483648", "9223372036854775807"],
    "float": ["0.0", "1.5", "0", "cast('NaN' as double)", "cast('inf' as double)"],
    "string": ["''", "'a'", "'b'", "'z'", f"'{'z' * 100}'", "'é'"],
    "date": ["date '1970-01-01'", "date '2022-01-08'", "date '9999-12-31'"],
    "timestamp": ["timestamp '1970-01-01 00:00:00'", "timestamp '2001-09-09 01:46:40'"],
    "decimal": ["0", "1.25", "-1.25", "9999999.99"],
}


def literal(column: str, chance: random.Random) -> str:
    kind = str(VALUES[column][0])
    found = next((each for each in ("date", "timestamp", "decimal", "string", "int") if each in kind), "float")
    return chance.choice(LITERALS["float" if kind in ("float", "double") else found])


def condition(chance: random.Random, depth: int = 0) -> str:
    if depth < 2 and chance.random() < 0.5:
        return f"({condition(chance, depth + 1)} {chance.choice(['and', 'or'])} {condition(chance, depth + 1)})"
    column = chance.choice([name for name in VALUES if name != "b"])
    way = chance.random()
    if way < 0.1:
        return f"{column} is {chance.choice(['', 'not '])}null"
    if way < 0.2:
        return f"{column} not in ({literal(column, chance)}, {literal(column, chance)})"
    return f"{column} {chance.choice(['<', '<=', '>', '>=', '=', '<>'])} {literal(column, chance)}"


def query(chance: random.Random) -> str:
    where = "" if chance.random() < 0.1 else f" where {condition(chance)}"
    one, two = chance.sample(list(VALUES), 2)
    return chance.choice(
        [
            f"select n, {one}, {two} from t{where}",
            f"select count(*) as c, min({one}) as low, max({one}) as high from t{where}",
            f"select {one}, n from t{where} order by {one} {chance.choice(['', 'desc'])}, n limit 5",
            f"select {one}, count(*) as c, min(n) as m from t{where} group by {one} order by m",
            f"select count(*) as c, sum(f64) as s from t where {one} is not null",
        ]
    )


def write(folder: Path, chance: random.Random) -> None:
    rows, arrays = chance.choice([0, 1, 300, 1000]), []
    for kind, values in VALUES.values():
        few = chance.choice([values, chance.sample(values, 2), [*values, None]])
        run = chance.choice([1, 40])
        column = [chance.choice(few) for _ in range(rows // run + 1) for _ in range(run)][:rows]
        base = pa.int64() if pa.types.is_timestamp(kind) else pa.int32() if pa.types.is_date(kind) else kind
        arrays.append(pa.array(column, base).cast(kind))
    fields = [pa.field(name, kind) for name, (kind, _) in VALUES.items()]
    table = pa.Table.from_arrays([*arrays, pa.array(range(rows))], schema=pa.schema([*fields, pa.field("n", "int64")]))
    files = chance.choice([1, 3])
    (folder / "data").mkdir(exist_ok=True)
    for old in (folder / "data").iterdir():
        old.unlink()
    options = {
        "row_group_size": chance.choice([7, 50, 1000]),
        "use_dictionary": chance.random() < 0.5,
        "write_page_index": chance.random() < 0.5,
        "store_schema": chance.random() < 0.5,
        "data_page_size": chance.choice([64, 1 << 20]),
    }
    for number in range(files):
        part = table.slice(number * (rows // files), rows // files if number < files - 1 else None)
        pq.write_table(part, folder / "data" / f"{number}.parquet", **options)


def run(models: list[dict[str, Any]], cpus: int = 2) -> pa.Table | str:
    """What the last model gives, or how it fails."""
    tables = {}
    for model in models:
        inputs = [tables[name] for name in model["inputs"]]
        try:
            arguments = prepare_arguments(model["task"], inputs, cpus)
            tables[model["name"]] = execute(model["task"], arguments, inputs, cpus)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return tables[models[-1]["name"]]


def planned(folder: Path, sql: str, engine: str = "datafusion", **options: Any) -> list[dict[str, Any]]:
    (folder / "zerrow_project.yml").write_text("sources:\n  t: data\n")
    (folder / "q.sql").write_text(f"-- zerrow: engine = {engine}\n{sql}")
    return plan_project(folder, **options)["models"]


def rows(table: pa.Table) -> list[list[str]]:
    """Values that can be compared: all NaNs are one, and the zeros are two."""
    columns = [column.cast("int64") if pa.types.is_timestamp(column.type) else column for column in table.columns]
    return [[repr(value) for value in column.to_pylist()] for column in columns]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(2))
def test_random_queries_over_random_files_give_the_same(tmp_path: Path, engine: str, seed: int) -> None:
    chance, streamed = random.Random(seed), 0
    for turn in range(40):
        if turn % 15 == 0:
            write(tmp_path, chance)
        sql = query(chance)
        decoded, own = planned(tmp_path, sql, engine), planned(tmp_path, sql, engine, may_stream=True)
        assert decoded[-1]["key"] == own[-1]["key"]
        if len(own) > 1:
            continue
        streamed += 1
        cpus = chance.choice([1, 2, 3])
        expected, found = run(decoded, cpus), run(own, cpus)
        if isinstance(expected, str) or isinstance(found, str):
            assert isinstance(expected, str) and isinstance(found, str), (seed, sql, expected, found)
            continue
        assert found.schema.equals(expected.schema, check_metadata=True), (seed, sql)
        assert rows(found) == rows(expected), (seed, sql)
    assert streamed > 10, seed


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_read_by_itself_is_what_the_engine_itself_says(tmp_path: Path, engine: str) -> None:
    chance = random.Random(1)
    write(tmp_path, chance)
    files = f"read_parquet('{tmp_path}/data/*.parquet')"
    for sql in ("select count(*) as c from {}", "select n, s, d, dc from {} where d > date '1970-01-01' order by n"):
        models = planned(tmp_path, sql.format("t"), engine, may_stream=True)
        assert [model["streamed"][0]["table"] for model in models] == ["t"]
        assert run(models).to_pylist() == duckdb.sql(sql.format(files)).to_arrow_table().to_pylist()


def test_no_folder_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for number in range(3):
        pq.write_table(pa.table({"n": [number]}), tmp_path / "data" / f"{number}.parquet")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    table = run(planned(tmp_path, "select n from t", may_stream=True))
    assert isinstance(table, pa.Table) and table["n"].to_pylist() == [0, 1, 2]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_only_the_reader_that_nobody_shares_a_source_with_reads_it_itself(tmp_path: Path) -> None:
    write(tmp_path, random.Random(3))
    (tmp_path / "other.sql").write_text("select count(*) as c from t")
    models = planned(tmp_path, "select n from t", may_stream=True)
    assert [model["kind"] for model in models] == ["scan", "sql", "sql"]
    large = planned(tmp_path, "select n from t", may_stream=True, memory_bytes=1)
    assert [model["kind"] for model in large] == ["sql", "sql"]
    assert [model["key"] for model in large] == [model["key"] for model in models if model["kind"] == "sql"]


@pytest.mark.parametrize(
    ("column", "engine"),
    [
        (pa.array([b"x"]), "datafusion"),
        (pa.array([[1]]), "duckdb"),
        (pa.array([1], pa.time64("us")), "datafusion"),
        (pa.array([1], pa.timestamp("ms")), "duckdb"),
        (pa.array([1], pa.timestamp("us", "Asia/Tokyo")), "duckdb"),
        (pa.array(["x"], pa.large_string()), "datafusion"),
        (pa.array([datetime.timedelta(1)]), "datafusion"),
    ],
)
def test_types_that_are_not_proven_are_decoded(tmp_path: Path, column: pa.Array, engine: str) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"n": [1], "x": column}), tmp_path / "data" / "0.parquet")
    assert len(planned(tmp_path, "select n, x from t", engine, may_stream=True)) == 2
    assert len(planned(tmp_path, "select n from t", engine, may_stream=True)) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_texts_stay_dictionaries_where_a_scan_would_give_them(tmp_path: Path, engine: str) -> None:
    (tmp_path / "data").mkdir()
    table = pa.table({"s": [f"s{number % 3}" for number in range(3000)], "n": range(3000)})
    pq.write_table(table, tmp_path / "data" / "0.parquet", row_group_size=500)
    sql = "select s, upper(s) as u, count(*) as c from t group by s order by s"
    expected, found = run(planned(tmp_path, sql, engine)), run(planned(tmp_path, sql, engine, may_stream=True))
    assert found.schema.equals(expected.schema, check_metadata=True) and found.equals(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_broken_file_is_named(tmp_path: Path, engine: str) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "0.parquet"
    pq.write_table(pa.table({"n": range(10000), "s": [str(each) for each in range(10000)]}), file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[4:60] = b"\xff" * 56
    file.write_bytes(content)
    models = planned(tmp_path, "select sum(n) as n, max(s) as s from t", engine, may_stream=True)
    assert len(models) == 1
    with pytest.raises(WorkerFailure, match=r"data/0\.parquet cannot be read") as raised:
        execute(models[0]["task"], prepare_arguments(models[0]["task"], []), [], 2)
    assert raised.value.kind == "input"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_another_one_than_the_planned_is_refused(tmp_path: Path, engine: str) -> None:
    write(tmp_path, random.Random(3))
    models = planned(tmp_path, "select count(*) as c from t", engine, may_stream=True)
    write(tmp_path, random.Random(4))
    with pytest.raises(WorkerFailure, match=r"has changed since the run was planned|does not exist"):
        execute(models[0]["task"], prepare_arguments(models[0]["task"], []), [], 2)

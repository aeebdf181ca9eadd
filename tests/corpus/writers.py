"""A corpus of Parquet files: many types, by many writers and in all their ways, and copies that are damaged."""

from __future__ import annotations

import datetime
import decimal
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 300
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"compression": "none", "use_dictionary": False},
    "pages1": {"data_page_version": "1.0", "compression": "snappy", "data_page_size": 500},
    "pages2": {"data_page_version": "2.0", "compression": "zstd", "row_group_size": 70},
    "gzip": {"compression": "gzip", "version": "1.0", "allow_truncated_timestamps": True},
    "brotli": {"compression": "brotli", "version": "2.4", "row_group_size": 20, "allow_truncated_timestamps": True},
    "lz4": {"compression": "lz4", "write_statistics": False},
    "bare": {"store_schema": False, "write_page_index": True},
    "checked": {"write_page_checksum": True, "use_compliant_nested_type": False},
    "decimals": {"store_decimal_as_integer": True, "write_statistics": ["d9", "d18"]},
    "zoned": {"coerce_timestamps": "ms", "allow_truncated_timestamps": True},
}


def make_corpus(folder: Path, seed: int, damaged: int) -> None:
    """Fill a folder; the same files for the same seed and packages."""
    chance = random.Random(seed)
    for name, write in _writers(chance):
        try:
            write(folder / f"{name}.parquet")
        except (pa.ArrowException, NotImplementedError):
            (folder / f"{name}.parquet").unlink(missing_ok=True)  # not every writer has every type in every way
    whole = sorted(folder.iterdir())
    for number in range(damaged):
        origin = chance.choice(whole)
        how, content = _damage(origin.read_bytes(), chance)
        (folder / f"damaged-{number:03}-{how}-{origin.name}").write_bytes(content)
    for name, content in (
        ("empty", b""),
        ("text", b"a,b\n1,2\n"),
        ("magic", b"PAR1PAR1"),
        ("short", b"PAR1\0\0\0\0PAR1"),
    ):
        (folder / f"{name}.parquet").write_bytes(content)


def _writers(chance: random.Random) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    columns = dict(_columns(chance))
    for way, options in WAYS.items():
        table = pa.table({name: column for name, column in columns.items() if way != "zoned" or name[:2] == "ts"})
        yield f"all-{way}", lambda path, table=table, options=options: pq.write_table(table, path, **options)
    for name, column in columns.items():
        table, options = pa.table({name: column}), chance.choice(list(WAYS.values())[:8])
        yield f"one-{name}", lambda path, table=table, options=options: pq.write_table(table, path, **options)
    yield from _encodings(chance)
    yield from _odd_shapes(columns)
    yield from _libraries(columns)


def _columns(chance: random.Random) -> Iterator[tuple[str, pa.Array]]:
    def some(values: Any, kind: pa.DataType | None = None) -> pa.Array:
        return pa.array([None if chance.random() < 0.2 else value for value in values], kind)

    rows = range(ROWS)
    for bits in (8, 16, 32, 64):
        yield (
            f"i{bits}",
            some((chance.randrange(-(1 << bits - 1), 1 << bits - 1) for _ in rows), getattr(pa, f"int{bits}")()),
        )
        yield f"u{bits}", some((chance.randrange(1 << bits) for _ in rows), getattr(pa, f"uint{bits}")())
    for bits in (16, 32, 64):
        odd = [float("nan"), float("inf"), -0.0, 0.0, 1.5]
        yield f"f{bits}", some((chance.choice(odd) for _ in rows), getattr(pa, f"float{bits}")())
    yield "b", some(chance.random() < 0.5 for _ in rows)
    yield "s", some(f"text {chance.randrange(40)} é" for _ in rows)
    yield "ls", some((f"{chance.random()}" for _ in rows), pa.large_string())
    yield "sv", some((f"{chance.random()}" for _ in rows), pa.string_view())
    yield "bin", some((chance.randbytes(chance.randrange(9)) for _ in rows), pa.binary())
    yield "fixed", some((chance.randbytes(5) for _ in rows), pa.binary(5))
    yield "dict", some(f"word {chance.randrange(7)}" for _ in rows).dictionary_encode()
    yield "date", some(datetime.date(2024, 1, 1) + datetime.timedelta(chance.randrange(-9999, 9999)) for _ in rows)
    for unit in ("s", "ms", "us", "ns"):
        yield f"ts_{unit}", some((chance.randrange(-(10**9), 10**9) for _ in rows), pa.timestamp(unit))
        yield f"tz_{unit}", some((chance.randrange(10**9) for _ in rows), pa.timestamp(unit, "Europe/Rome"))
    yield "time32", some((chance.randrange(86_400_000) for _ in rows), pa.time32("ms"))
    yield "time64", some((chance.randrange(86_400_000_000) for _ in rows), pa.time64("us"))
    yield "dur", some((chance.randrange(10**9) for _ in rows), pa.duration("us"))
    for digits in (9, 18, 38):
        values = (decimal.Decimal(chance.randrange(-(10**digits) + 1, 10**digits)).scaleb(-3) for _ in rows)
        yield f"d{digits}", some(values, pa.decimal128(digits, 3))
    yield "d256", some((decimal.Decimal(chance.randrange(10**50)) for _ in rows), pa.decimal256(60, 0))
    yield "null", pa.nulls(ROWS)
    yield "list", some((list(range(chance.randrange(4))) for _ in rows), pa.list_(pa.int32()))
    yield "list_null", some([None] * chance.randrange(3) for _ in rows).cast(pa.list_(pa.null()))
    yield "list2", some([1.0, None] for _ in rows).cast(pa.list_(pa.float32(), 2))
    yield "struct", some({"a": 1, "b": None if chance.random() < 0.5 else "x", "n": None} for _ in rows)
    yield (
        "map",
        some(([(f"k{i}", i) for i in range(chance.randrange(3))] for _ in rows), pa.map_(pa.string(), pa.int64())),
    )
    yield (
        "map_of_date",
        some(([(datetime.date(2024, 1, 1), [1])] for _ in rows), pa.map_(pa.date32(), pa.list_(pa.int8()))),
    )
    yield "deep", some([[{"x": [{"y": i, "z": ["s", None]}]}]] for i in rows)
    yield "uuid", some((chance.randbytes(16) for _ in rows), pa.uuid())
    yield "json", pa.ExtensionArray.from_storage(pa.json_(), some('{"a": 1}' for _ in rows))
    flat = pa.array([[float(i), 0.5, 1.0, 2.0] for i in rows], pa.list_(pa.float32(), 4))
    yield "tensor", pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2, 2]), flat)
    yield "bool8", pa.ExtensionArray.from_storage(pa.bool8(), pa.array([i % 2 for i in rows], pa.int8()))


def _encodings(chance: random.Random) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    rows = range(ROWS)
    for encoding, column in (
        ("DELTA_BINARY_PACKED", pa.array([chance.randrange(1000) for _ in rows])),
        ("DELTA_LENGTH_BYTE_ARRAY", pa.array([f"x{i}" for i in rows])),
        ("DELTA_BYTE_ARRAY", pa.array([f"prefix {i}" for i in rows])),
        ("BYTE_STREAM_SPLIT", pa.array([chance.random() for _ in rows])),
        ("PLAIN", pa.array([None, "x", ""] * 100)),
    ):
        table = pa.table({"c": column})
        options: dict[str, Any] = {"use_dictionary": False, "column_encoding": encoding, "data_page_size": 400}
        yield f"encoding-{encoding}", lambda path, table=table, options=options: pq.write_table(table, path, **options)
    stamps = pa.table({"t": pa.array([1_700_000_000_000_000_000 + i for i in rows], pa.timestamp("ns"))})
    yield "int96", lambda path: pq.write_table(stamps, path, use_deprecated_int96_timestamps=True)


def _odd_shapes(columns: dict[str, pa.Array]) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    shapes = {
        "no-rows": pa.table({"a": pa.array([], pa.int64()), "t": pa.array([], pa.string())}),
        "no-columns": pa.table({}),
        "same-names": pa.table([[1], [2]], names=["a", "a"]),
        "dots": pa.table({"a.b": [1], "a": [{"b": 2, "c": 3}], "": [4], " ": [5], "ß\n": [6]}),
        "names": pa.table({"\U0001f600": [1], "x" * 70_000: [2]}),
        "nul": pa.table({"a\0b": [1]}),
        "nul-within": pa.table({"s": pa.array([{"a\0b": 1}])}),
        "fields-of-one-name": pa.table({"s": pa.StructArray.from_arrays([[1], ["x"]], names=["a", "a"])}),
        "wide": pa.table({f"c{i}": [i] for i in range(2000)}),
        "not-null": pa.table([[1, 2]], schema=pa.schema([pa.field("a", pa.int8(), nullable=False)])),
        "noted": pa.table({"a": [1]}).replace_schema_metadata({"k": "v", b"\xff": b"\xfe"}),
    }
    for name, table in shapes.items():
        yield name, lambda path, table=table: pq.write_table(table, path)
    key = "".join(f"{i:x}" for i in range(16)).encode()
    for depth in (60, 110):
        kind = pa.int8()
        for level in range(depth):
            kind = pa.list_(kind) if level % 2 and depth < 100 else pa.struct([("f", kind)])
        table = pa.table({"d": pa.nulls(3, kind)})
        yield f"deep-{depth}", lambda path, table=table: pq.write_table(table, path)
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff\xfe", b"ok"]).buffers())
    yield "no-text", lambda path: pq.write_table(pa.table({"s": text, "d": text.dictionary_encode()}), path)
    yield "many-groups", lambda path: pq.write_table(pa.table({"a": range(3000)}), path, row_group_size=1)
    yield "reversed-magic", lambda path: path.write_bytes(b"PARE" + key + struct.pack("<I", 16) + b"PARE")


def _libraries(columns: dict[str, pa.Array]) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    import datafusion
    import duckdb
    import pandas as pd
    import polars as pl

    simple = pa.table(
        {name: columns[name] for name in ("i64", "f64", "s", "b", "date", "ts_us", "d18", "list", "struct")}
    )
    frame = pl.from_arrow(simple.drop_columns(["struct"]))
    more = frame.with_columns(pl.col("s").cast(pl.Categorical).alias("c"), pl.lit(None).alias("none"))
    yield "polars", lambda path: more.write_parquet(path)
    yield "polars-small", lambda path: frame.write_parquet(path, compression="lz4", statistics=False, row_group_size=40)
    connection = duckdb.connect()
    connection.register("t", simple)
    own = "1::hugeint as h, uuid() as u, interval 3 day as iv, map {'k': 1} as m, 'a'::enum('a', 'b') as e"
    query = f"select *, {own} from t"
    yield "duckdb", lambda path: connection.sql(query).write_parquet(str(path))
    yield (
        "duckdb-v2",
        lambda path: connection.execute(
            f"copy t to '{path}' (format parquet, parquet_version v2, compression zstd, row_group_size 100)"
        ),
    )
    labelled = pd.DataFrame({"a": [1, None], "o": [None, None], "c": pd.Categorical(["x", "y"])}, index=["p", "q"])
    yield "pandas", lambda path: labelled.to_parquet(path)
    yield "pandas-levels", lambda path: labelled.set_index("a", append=True).to_parquet(path)
    context = datafusion.SessionContext()
    yield "datafusion", lambda path: _datafusion(context.create_dataframe([simple.to_batches()]), path)


def _datafusion(frame: Any, path: Path) -> None:
    folder = path.with_suffix(".folder")
    frame.write_parquet(str(folder))
    written = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    written[0].rename(path)
    for rest in written[1:]:
        rest.unlink()
    if folder.is_dir():
        folder.rmdir()


def _damage(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """What was done, and the content after that."""
    changed = bytearray(content)
    length = int.from_bytes(content[-8:-4], "little")
    footer = (max(0, len(content) - 8 - length), len(content) - 8)
    how = chance.choice(["footer", "footer", "pages", "pages", "tail", "cut", "zeros", "moved", "noise"])
    start, stop = {"footer": footer, "pages": (4, max(5, footer[0])), "tail": (len(content) - 8, len(content))}.get(
        how, (0, len(content))
    )
    place = chance.randrange(start, max(start + 1, stop))
    if how in ("footer", "pages", "tail"):
        for _ in range(chance.choice([1, 1, 2, 8])):
            changed[min(place, len(changed) - 1)] ^= 1 << chance.randrange(8)
            place = chance.randrange(start, max(start + 1, stop))
    elif how == "cut":
        del changed[place : place + chance.choice([1, 100, len(content)])]
    elif how == "zeros":
        changed[place : place + 16] = bytes(len(changed[place : place + 16]))
    elif how == "moved":
        piece = changed[place : place + 32]
        changed[(place // 2) : (place // 2) + len(piece)] = piece
    else:
        changed[place : place + 8] = chance.randbytes(len(changed[place : place + 8]))
    return how, bytes(changed)

"""A table of every Arrow type and registered extension type, numpy's columns too, and pyarrow's own way through IPC."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import nested_columns
import numpy as np
import pyarrow as pa


class Points(pa.ExtensionType):
    """A type as geospatial libraries register it: a struct, with JSON for parameters."""

    def __init__(self, crs: str = "EPSG:4326") -> None:
        self.crs = crs
        super().__init__(pa.struct([("x", pa.float64()), ("y", pa.float64())]), "test.points")

    def __arrow_ext_serialize__(self) -> bytes:
        return json.dumps({"crs": self.crs}).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Points:
        return cls(json.loads(serialized)["crs"])


class Sealed(pa.ExtensionType):
    """A type of binary storage whose parameters are bytes that are no text."""

    def __init__(self) -> None:
        super().__init__(pa.binary(), "test.sealed")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"\xff\x00\xfe"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Sealed:
        assert serialized == b"\xff\x00\xfe"
        return cls()


class Listed(pa.ExtensionType):
    """A type whose storage holds another extension type."""

    def __init__(self) -> None:
        super().__init__(pa.list_(Points()), "test.listed")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Listed:
        return cls()


for kind in (Points(), Sealed(), Listed()):
    pa.register_extension_type(kind)


def _extensions() -> Iterable[tuple[str, pa.Array]]:
    def made(kind: pa.DataType, storage: pa.Array) -> pa.Array:
        return pa.ExtensionArray.from_storage(kind, storage)

    points = pa.array([{"x": 1.0, "y": 2.0}, None], Points().storage_type)
    yield "uuid", made(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16)))
    yield "json", made(pa.json_(), pa.array(['{"a": 1}', None]))
    yield "json of large text", made(pa.json_(pa.large_string()), pa.array(["[]", None], pa.large_string()))
    yield "bool8", made(pa.bool8(), pa.array([1, None], pa.int8()))
    yield "opaque", made(pa.opaque(pa.binary(), "geometry", "postgis"), pa.array([b"x", None]))
    tensor = pa.fixed_shape_tensor(pa.int32(), [2, 2], dim_names=["h", "w"], permutation=[1, 0])
    yield "tensor", made(tensor, pa.array([[1, 2, 3, 4], None], tensor.storage_type))
    yield "points", made(Points("EPSG:3857"), points)
    yield "sealed", made(Sealed(), pa.array([b"s", None]))
    inner = made(Points(), points)
    yield "listed", made(Listed(), pa.ListArray.from_arrays(pa.array([0, 2, 2], pa.int32()), inner))
    yield "struct of points", pa.StructArray.from_arrays([inner], ["p"])
    yield "list of points", pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), inner)
    yield (
        "map of uuids",
        pa.MapArray.from_arrays(
            pa.array([0, 1], pa.int32()), pa.array(["k"]), made(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))
        ),
    )
    yield "dictionary of points", pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), inner)
    unknown = pa.field(
        "c", pa.int64(), metadata={"ARROW:extension:name": "nobody.knows", "ARROW:extension:metadata": "{}"}
    )
    yield "a type nobody registered", pa.Table.from_arrays([pa.array([1])], schema=pa.schema([unknown]))


def _types() -> Iterable[tuple[str, Any]]:
    names = pa.array(["x", None, "yy"])
    yield "ordered dictionary", pa.DictionaryArray.from_arrays(pa.array([2, 0, None], pa.uint8()), names, ordered=True)
    yield "dictionary of numbers", pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int64()), pa.array([0.5, 1.5]))
    yield "views", pa.array(["short", None, "long" * 20], pa.string_view())
    yield "binary views", pa.array([b"short", None, b"long" * 20], pa.binary_view())
    yield "list views", pa.array([[1, 2], None], pa.list_view(pa.int64()))
    yield "decimals", pa.array([1, None], pa.decimal256(76, 5))
    yield "small decimals", pa.array([1, None], pa.decimal32(5, 2))
    yield "half floats", pa.array([np.float16(0.5), None], pa.float16())
    yield "intervals", pa.array([pa.MonthDayNano([1, 2, 3]), None])
    yield "sorted maps", pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64(), keys_sorted=True))
    for unit in ("s", "ms", "us", "ns"):
        yield f"timestamp {unit}", pa.array([1, None], pa.timestamp(unit, "America/New_York"))
        yield f"duration {unit}", pa.array([1, None], pa.duration(unit))
    required = pa.field(
        "c", pa.struct([pa.field("a", pa.int64(), nullable=False, metadata={"unit": "m"})]), False, {"k": "v"}
    )
    yield (
        "required fields with metadata",
        pa.Table.from_arrays([pa.array([{"a": 1}], required.type)], schema=pa.schema([required], {"made": "by hand"})),
    )
    for name in ("struct<list<map>>", "dense<struct<sparse>>", "runs<struct<fixed>>", "list<dictionary<struct>>"):
        yield name, nested_columns.COLUMNS[name](9)
    yield (
        "names",
        pa.table({"": [1], "é😀 \"'.`\\\n": [2], "n" * 10_000: [3], "A": [4], "a": [5], "__index_level_0__": [6]}),
    )
    yield "NUL in a name", pa.table({"a\0b": [1]})
    yield "NUL in the name of a field", pa.table({"s": [{"a\0b": 1}]})


def _numpy() -> Iterable[tuple[str, Any]]:
    for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "?", "S3", "U3"):
        yield f"numpy {kind}", {"c": np.array([0, 1, 1]).astype(kind)}
    for unit in ("D", "s", "ms", "us", "ns"):
        yield f"numpy datetime64[{unit}]", {"c": np.array(["2024-02-29", "NaT"], f"M8[{unit}]")}
    for unit in ("s", "ms", "us", "ns"):
        yield f"numpy timedelta64[{unit}]", {"c": np.array([1, "NaT"], f"m8[{unit}]")}
    yield "numpy objects", {"c": np.array(["a", None], object)}
    yield "numpy records in a column", {"c": np.array([(1, 0.5)], [("a", "i8"), ("b", "f4")])}
    yield "numpy every second", {"c": np.arange(6)[::2]}
    yield "numpy complex", {"c": np.array([1j])}
    yield "numpy two dimensions", {"c": np.zeros((2, 2))}
    yield "numpy big endian", {"c": np.array([1], ">i8")}
    yield "numpy Python objects", {"c": np.array([object()], object)}
    yield "numpy records", np.array([(1, 0.5)], [("a", "i8"), ("b", "f4")])


def _cases() -> Iterable[tuple[str, Callable[[], Any]]]:
    for name, value in (*_extensions(), *_types(), *_numpy()):
        table = pa.table({"c": value}) if isinstance(value, pa.Array) else value
        yield name, lambda table=table: table


CASES = dict(_cases())


def own(result: Any) -> pa.Table:
    """The table after pyarrow's own way through IPC."""
    table = pa.table(result)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def difference(table: pa.Table, expected: pa.Table) -> str:
    """What is other in the table; nothing where it is the same."""
    table.validate(full=True)
    if not table.schema.equals(expected.schema, check_metadata=True):
        return f"{table.schema} instead of {expected.schema}"
    return "" if table.equals(expected) else f"{table} instead of {expected}"


def verdict(name: str) -> tuple[str, Any]:
    """Whether pyarrow itself keeps the case, and what it makes of it."""
    try:
        return "kept", own(CASES[name]())
    except Exception as error:
        return "refused", f"{type(error).__name__}: {error}"


def wide() -> pa.Table:
    """One table of all columns that pyarrow keeps, cut to their first row."""
    tables = {name: pa.table(make()) for name, make in CASES.items() if verdict(name)[0] == "kept"}
    chosen = {name: table for name, table in tables.items() if table.column_names == ["c"]}
    fields = [table.schema.field("c").with_name(name) for name, table in chosen.items()]
    return pa.Table.from_arrays([table.column("c").slice(0, 1) for table in chosen.values()], schema=pa.schema(fields))

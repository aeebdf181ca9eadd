"""One column of every Arrow type, with nulls, and of types that nest them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa

Column = Callable[[int], pa.Array]


class Tagged(pa.ExtensionType):
    """An extension type with bytes for metadata."""

    def __init__(self, storage: pa.DataType) -> None:
        super().__init__(storage, "zerrow.test.tagged")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"\xff\x00tag"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Tagged:
        assert serialized == b"\xff\x00tag"
        return cls(storage_type)


pa.register_extension_type(Tagged(pa.utf8()))


def some(values: Callable[[int], object], kind: pa.DataType) -> Column:
    """A column with a null in every third place."""
    return lambda n: pa.array([None if i % 3 == 1 else values(i) for i in range(n)], kind)


def all_present(values: Callable[[int], object], kind: pa.DataType) -> Column:
    """A column without a null."""
    return lambda n: pa.array([values(i) for i in range(n)], kind)


def text(i: int) -> str:
    """Strings short and long, so that views have both kinds."""
    return "é" * (i % 5) + str(i) * (i % 9)


def dictionary(index: pa.DataType, values: pa.Array, ordered: bool = False) -> Column:
    """Indices with nulls into the values."""
    count = len(values)

    def column(n: int) -> pa.Array:
        indices = pa.array([None if i % 4 == 2 else i % count for i in range(n)], index)
        return pa.DictionaryArray.from_arrays(indices, values, ordered=ordered)

    return column


def union(mode: str) -> Column:
    """A union of integers and strings, with gaps in its type ids."""

    def column(n: int) -> pa.Array:
        types = pa.array([5 if i % 2 else 2 for i in range(n)], pa.int8())
        if mode == "sparse":
            children = [some(int, pa.int64())(n), some(text, pa.utf8())(n)]
            return pa.UnionArray.from_sparse(types, children, ["a", "b"], [2, 5])
        offsets = pa.array([i // 2 for i in range(n)], pa.int32())
        children = [some(int, pa.int64())((n + 1) // 2), some(text, pa.utf8())(n // 2)]
        return pa.UnionArray.from_dense(types, offsets, children, ["a", "b"], [2, 5])

    return column


def runs(kind: pa.DataType, values: Column) -> Column:
    """Runs of three slots."""

    def column(n: int) -> pa.Array:
        ends = [min(i + 3, n) for i in range(0, n, 3)]
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind), values(len(ends)))

    return column


def list_view(kind: Callable[[pa.DataType], pa.DataType]) -> Column:
    """Views that overlap and go backwards."""

    def column(n: int) -> pa.Array:
        large = kind is pa.large_list_view
        index = pa.int64() if large else pa.int32()
        values = some(int, pa.int16())(n + 4)
        maker = pa.LargeListViewArray if large else pa.ListViewArray
        offsets = pa.array([n - i for i in range(n)], index)
        sizes = pa.array([i % 4 for i in range(n)], index)
        mask = pa.array([i % 5 == 3 for i in range(n)], pa.bool_())
        return maker.from_arrays(offsets, sizes, values, mask=mask)

    return column


def struct_of(*columns: Column) -> Column:
    """A struct with nulls of its own."""

    def column(n: int) -> pa.Array:
        arrays = [make(n) for make in columns]
        mask = pa.array([i % 4 == 3 for i in range(n)], pa.bool_())
        return pa.StructArray.from_arrays(arrays, [f"f{i}" for i in range(len(arrays))], mask=mask)

    return column


def list_of(values: Column, kind: str = "list") -> Column:
    """Lists of other columns, some null, some empty."""

    def column(n: int) -> pa.Array:
        lengths = [i % 4 for i in range(n)]
        offsets = [sum(lengths[:i]) for i in range(n + 1)]
        marked: list[int | None] = [None if i % 6 == 5 else offset for i, offset in enumerate(offsets[:-1])]
        marked.append(offsets[-1])
        index = pa.int64() if kind == "large" else pa.int32()
        maker = pa.LargeListArray if kind == "large" else pa.ListArray
        return maker.from_arrays(pa.array(marked, index), values(offsets[-1]))

    return column


def fixed_list_of(values: Column, size: int) -> Column:
    """Fixed-size lists of other columns, some null."""
    return lambda n: pa.FixedSizeListArray.from_arrays(
        values(n * size), size, mask=pa.array([i % 3 == 0 for i in range(n)], pa.bool_())
    )


def tagged(values: Column) -> Column:
    """An extension array."""

    def column(n: int) -> pa.Array:
        storage = values(n)
        return pa.ExtensionArray.from_storage(Tagged(storage.type), storage)

    return column


DAY = datetime.date(2020, 1, 1)
STRINGS = pa.array(["x", None, "yy", "zzz"])
INNER = dictionary(pa.int16(), STRINGS)

COLUMNS: dict[str, Column] = {
    "null": lambda n: pa.nulls(n),
    "bool": some(lambda i: i % 2 == 0, pa.bool_()),
    "bool_present": all_present(lambda i: i % 2 == 0, pa.bool_()),
    **{
        str(kind): some(lambda i: i % 100, kind)
        for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64())
    },
    "int64_present": all_present(int, pa.int64()),
    **{str(kind): some(float, kind) for kind in (pa.float16(), pa.float32(), pa.float64())},
    **{
        str(kind): some(lambda i: Decimal(i).scaleb(-2), kind)
        for kind in (pa.decimal32(7, 2), pa.decimal64(12, 2), pa.decimal128(30, 2), pa.decimal256(60, 2))
    },
    "decimal_negative_scale": some(lambda i: Decimal(i).scaleb(3), pa.decimal128(20, -3)),
    **{str(kind): some(lambda i: DAY + datetime.timedelta(i), kind) for kind in (pa.date32(), pa.date64())},
    **{
        str(kind): some(lambda i: i, kind)
        for kind in (
            pa.time32("s"),
            pa.time32("ms"),
            pa.time64("us"),
            pa.time64("ns"),
            *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
            pa.timestamp("us", "Europe/Paris"),
            *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
        )
    },
    "month_day_nano": some(lambda i: pa.MonthDayNano([i, -i, i * 7]), pa.month_day_nano_interval()),
    **{
        str(kind): some(lambda i: text(i).encode(), kind) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())
    },
    **{str(kind): some(text, kind) for kind in (pa.utf8(), pa.large_utf8(), pa.string_view())},
    "string_present": all_present(text, pa.utf8()),
    "string_all_empty": all_present(lambda i: "", pa.utf8()),
    "fixed_binary": some(lambda i: bytes([i % 256] * 3), pa.binary(3)),
    "fixed_binary_0": some(lambda i: b"", pa.binary(0)),
    "list": list_of(some(int, pa.int32())),
    "large_list": list_of(some(text, pa.utf8()), "large"),
    "list_list_bool": list_of(list_of(some(lambda i: i % 2 == 0, pa.bool_()))),
    "list_view": list_view(pa.list_view),
    "large_list_view": list_view(pa.large_list_view),
    "fixed_list": fixed_list_of(some(lambda i: i % 100, pa.int8()), 3),
    "fixed_list_0": some(lambda i: [], pa.list_(pa.int8(), 0)),
    "fixed_list_of_fixed_list": fixed_list_of(fixed_list_of(some(lambda i: i % 2 == 0, pa.bool_()), 3), 5),
    "struct": struct_of(some(int, pa.int64()), some(text, pa.utf8()), some(bool, pa.bool_())),
    "struct_present": lambda n: pa.StructArray.from_arrays([some(int, pa.int64())(n)], ["x"]),
    "struct_empty": lambda n: pa.array([None if i % 3 == 1 else {} for i in range(n)], pa.struct([])),
    "struct_struct": struct_of(
        struct_of(some(bool, pa.bool_()), some(text, pa.string_view())), list_of(some(lambda i: i % 100, pa.int8()))
    ),
    "map": some(lambda i: [(text(j), j) for j in range(i % 3)], pa.map_(pa.utf8(), pa.int32())),
    "map_sorted": some(lambda i: [(j, None) for j in range(i % 3)], pa.map_(pa.int8(), pa.bool_(), keys_sorted=True)),
    "sparse_union": union("sparse"),
    "dense_union": union("dense"),
    "struct_of_unions": struct_of(union("sparse"), union("dense")),
    "dictionary": dictionary(pa.int8(), STRINGS),
    "dictionary_ordered": dictionary(pa.uint32(), pa.array([1.5, 2.5]), ordered=True),
    "dictionary_of_struct": dictionary(pa.int32(), struct_of(some(text, pa.utf8()), INNER)(7)),
    "dictionary_of_dictionary": dictionary(pa.int64(), INNER(9)),
    "dictionary_of_extension": dictionary(pa.int8(), tagged(some(text, pa.utf8()))(5)),
    "dictionary_of_list": dictionary(pa.uint8(), list_of(some(lambda i: i % 100, pa.int8()))(6)),
    "list_of_dictionary": list_of(dictionary(pa.int8(), STRINGS)),
    "struct_of_dictionary": struct_of(dictionary(pa.uint16(), STRINGS), dictionary(pa.int8(), pa.array([7, 8]))),
    "runs_16": runs(pa.int16(), some(text, pa.utf8())),
    "runs_32": runs(pa.int32(), all_present(int, pa.int64())),
    "runs_64": runs(pa.int64(), some(bool, pa.bool_())),
    "struct_of_runs": struct_of(runs(pa.int32(), some(text, pa.utf8())), some(lambda i: i % 100, pa.int8())),
    "fixed_list_of_runs": fixed_list_of(runs(pa.int16(), some(lambda i: i % 100, pa.int8())), 2),
    "list_of_runs": list_of(runs(pa.int32(), struct_of(some(bool, pa.bool_())))),
    "extension": tagged(some(text, pa.utf8())),
    "extension_of_struct": tagged(struct_of(some(int, pa.int64()), some(bool, pa.bool_()))),
    "extension_of_dictionary": tagged(dictionary(pa.int8(), STRINGS)),
    "struct_of_everything": struct_of(
        fixed_list_of(some(bool, pa.bool_()), 3),
        fixed_list_of(struct_of(runs(pa.int32(), some(lambda i: i % 100, pa.int8())), union("sparse")), 2),
        struct_of(struct_of(some(text, pa.large_utf8()), runs(pa.int64(), INNER))),
        list_view(pa.list_view),
        INNER,
    ),
}

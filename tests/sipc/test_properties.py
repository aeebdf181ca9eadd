"""Arbitrary nested tables, cut and cut again, travel without a change."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
from abi import Engine
from columns import Tagged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_types import assert_same

# A maker gives an array of n slots out of a source of randomness.
Maker = Callable[[random.Random, int], pa.Array]

PRESENCE = (1.0, 0.8, 0.3, 0.0)


def leaf(kind: pa.DataType, value: Callable[[random.Random], object]) -> Maker:
    """Arrays of a flat type; how many values are null differs from array to array."""

    def make(source: random.Random, n: int) -> pa.Array:
        presence = source.choice(PRESENCE)
        return pa.array([value(source) if source.random() < presence else None for _ in range(n)], kind)

    return make


def some_text(source: random.Random) -> str:
    """Nothing, short, long, not ASCII."""
    return source.choice(["", "a", "é" * 7, "inline 12 by", "longer than a view holds inside itself"])


def some_int(source: random.Random) -> int:
    """Fits a byte."""
    return source.randrange(100)


def mask(source: random.Random, n: int) -> pa.Array | None:
    """Which slots are null; sometimes no mask at all."""
    presence = source.choice(PRESENCE)
    return pa.array([source.random() >= presence for _ in range(n)], pa.bool_()) if presence < 1 else None


LEAVES: list[Maker] = [
    lambda source, n: pa.nulls(n),
    leaf(pa.bool_(), lambda source: source.random() < 0.5),
    *(leaf(kind, some_int) for kind in (pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.float64())),
    *(leaf(kind, some_int) for kind in (pa.date32(), pa.timestamp("us", "UTC"), pa.duration("ns"), pa.time32("ms"))),
    leaf(pa.decimal128(20, 2), lambda source: Decimal(some_int(source))),
    leaf(pa.month_day_nano_interval(), lambda source: pa.MonthDayNano([some_int(source), 1, 2])),
    *(leaf(kind, some_text) for kind in (pa.utf8(), pa.large_utf8(), pa.string_view())),
    *(leaf(kind, lambda source: some_text(source).encode()) for kind in (pa.binary(), pa.binary_view())),
    leaf(pa.binary(3), lambda source: source.randbytes(3)),
]


def cut(make: Maker) -> Maker:
    """The same as a window of a longer array."""

    def inner(source: random.Random, n: int) -> pa.Array:
        before, after = source.randrange(11), source.randrange(11)
        return make(source, before + n + after).slice(before, n)

    return inner


def structs(makers: list[Maker]) -> Maker:
    """Structs of one to three fields."""

    def make(source: random.Random, n: int) -> pa.Array:
        arrays = [maker(source, n) for maker in makers]
        return pa.StructArray.from_arrays(arrays, [f"f{i}" for i in range(len(arrays))], mask=mask(source, n))

    return make


def lists(maker: Maker, large: bool) -> Maker:
    """Lists that begin and end anywhere in their values."""

    def make(source: random.Random, n: int) -> pa.Array:
        offsets = [source.randrange(4)]
        for _ in range(n):
            offsets.append(offsets[-1] + source.choice([0, 0, 1, 3]))
        values = maker(source, offsets[-1] + source.randrange(4))
        index, kind = (pa.int64(), pa.LargeListArray) if large else (pa.int32(), pa.ListArray)
        return kind.from_arrays(pa.array(offsets, index), values, mask=mask(source, n))

    return make


def list_views(maker: Maker) -> Maker:
    """Views of any window of their values."""

    def make(source: random.Random, n: int) -> pa.Array:
        values = maker(source, 8)
        offsets = [source.randrange(9) for _ in range(n)]
        sizes = [source.randrange(9 - offset) for offset in offsets]
        nulls = mask(source, n)
        return pa.ListViewArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(sizes, pa.int32()), values, mask=nulls
        )

    return make


def fixed_lists(maker: Maker, size: int) -> Maker:
    """Fixed-size lists."""
    return lambda source, n: pa.FixedSizeListArray.from_arrays(maker(source, n * size), size, mask=mask(source, n))


def unions(makers: list[Maker], dense: bool) -> Maker:
    """Unions of one to three types."""

    def make(source: random.Random, n: int) -> pa.Array:
        ids = [source.randrange(len(makers)) for _ in range(n)]
        types = pa.array(ids, pa.int8())
        names = [f"u{i}" for i in range(len(makers))]
        if not dense:
            return pa.UnionArray.from_sparse(types, [maker(source, n) for maker in makers], names)
        offsets = [ids[:i].count(kind) for i, kind in enumerate(ids)]
        children = [maker(source, ids.count(kind)) for kind, maker in enumerate(makers)]
        return pa.UnionArray.from_dense(types, pa.array(offsets, pa.int32()), children, names)

    return make


def dictionaries(maker: Maker) -> Maker:
    """Indices into a dictionary of any values."""

    def make(source: random.Random, n: int) -> pa.Array:
        values = maker(source, source.randrange(1, 9))
        indices = leaf(pa.int8(), lambda source: source.randrange(len(values)))(source, n)
        return pa.DictionaryArray.from_arrays(indices, values)

    return make


def run_ends(maker: Maker) -> Maker:
    """Runs of one to five slots, and some past the end."""

    def make(source: random.Random, n: int) -> pa.Array:
        ends: list[int] = []
        while not ends or ends[-1] < n:
            ends.append((ends[-1] if ends else 0) + source.randrange(1, 6))
        values = maker(source, len(ends))
        if pa.types.is_run_end_encoded(values.type):
            return maker(source, n)  # pyarrow refuses runs of runs
        array = pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), values)
        return array.slice(ends[-1] - n, n)

    return make


def tagged(maker: Maker) -> Maker:
    """An extension type over flat storage."""

    def make(source: random.Random, n: int) -> pa.Array:
        storage = maker(source, n)
        if storage.type.num_fields or pa.types.is_null(storage.type) or isinstance(storage.type, pa.BaseExtensionType):
            return storage  # pyarrow cannot export or validate all of these
        return pa.ExtensionArray.from_storage(Tagged(storage.type), storage)

    return make


def nest(inner: st.SearchStrategy[Maker]) -> st.SearchStrategy[Maker]:
    """One more level."""
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        several.map(structs),
        st.builds(lists, inner, st.booleans()),
        inner.map(list_views),
        st.builds(fixed_lists, inner, st.integers(1, 3)),
        st.builds(unions, several, st.booleans()),
        inner.map(dictionaries),
        inner.map(run_ends),
        inner.map(tagged),
        inner.map(cut),
    )


MAKERS = st.recursive(st.sampled_from(LEAVES), nest, max_leaves=6)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Up to four columns, in up to three batches of up to 40 rows, each a window of something longer."""
    makers = draw(st.lists(MAKERS, max_size=4))
    source = random.Random(draw(SEEDS))
    names = [f"c{i}" for i in range(len(makers))]
    batches = []
    for rows in draw(st.lists(st.integers(0, 40), min_size=1, max_size=3)):
        arrays = [cut(make)(source, rows) for make in makers]
        # The types of two batches are one: no maker draws its type from the source.
        batches.append(pa.RecordBatch.from_arrays(arrays, names))
    return pa.Table.from_batches(batches, batches[0].schema)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables(), start=st.integers(0, 40), count=st.integers(0, 120), again=st.integers(0, 20))
def test_any_table_and_any_slice_of_it_travels_unchanged(table: pa.Table, start: int, count: int, again: int) -> None:
    engine = Engine()
    try:
        descriptor, counts = engine.publish(table, bytes_max=1 << 21)
        assert counts.bytes == counts.packed
        assert_same(engine.open(descriptor), table)
        for begin, rows in ((start, count), (again, count)):
            with engine.session() as session:
                opened = session.open(descriptor).read_all()
                descriptor, counts = engine.publish(opened.slice(begin, rows), session, bytes_max=1 << 21)
            assert counts.bytes == counts.reshared
            table = table.slice(begin, rows)
            assert_same(engine.open(descriptor), table)
        if can_be_standard(table.schema):
            with engine.session() as session:
                assert_same(pa.ipc.open_stream(session.stream(descriptor)).read_all(), table)
    finally:
        engine.close()


def can_be_standard(schema: pa.Schema) -> bool:
    """Whether Arrow's own metadata has words for it: not for a dictionary or an extension right inside a dictionary."""

    def inner(kind: pa.DataType) -> list[pa.DataType]:
        if isinstance(kind, pa.BaseExtensionType):
            return [kind.storage_type]
        if pa.types.is_dictionary(kind):
            return [kind.value_type]
        if pa.types.is_run_end_encoded(kind):
            return [kind.value_type]
        return [kind.field(i).type for i in range(kind.num_fields)]

    def fine(kind: pa.DataType) -> bool:
        parts = inner(kind)
        if pa.types.is_dictionary(kind) and (
            pa.types.is_dictionary(parts[0]) or isinstance(parts[0], pa.BaseExtensionType)
        ):
            return False
        return all(fine(part) for part in parts)

    return all(fine(field.type) for field in schema)

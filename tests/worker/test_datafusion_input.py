"""Nested columns in DataFusion: the oracles are pyarrow's values, and DataFusion on columns as Parquet gives them."""

from __future__ import annotations

import datafusion
import nested_columns as nested
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from zerrow.worker.datafusion_input import partitions
from zerrow.worker.failures import WorkerFailure

ROWS = 61
WINDOWS = [(0, ROWS), (7, 50), (8, 16), (33, 1)]


def ask(sql: str, runs: list[list[pa.RecordBatch]]) -> pa.Table:
    """What DataFusion answers about the table `t`, its partitions in order."""
    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(len(runs)))
    context.register_record_batches("t", runs)
    batches = [batch for part in context.sql(sql).collect_partitioned() for batch in part]
    return pa.Table.from_batches(batches)


def plainly(table: pa.Table, count: int) -> list[list[pa.RecordBatch]]:
    """What `partitions` would be if DataFusion took Arrow tables as they are."""
    rows = -(-table.num_rows // count)
    return [table.slice(start, rows).to_batches() for start in range(0, table.num_rows, rows)]


def from_parquet(table: pa.Table) -> pa.Table:
    """The table after a way through Parquet, which has nothing at an offset, and nothing under a null."""
    file = pa.BufferOutputStream()
    pq.write_table(table, file)
    return pq.read_table(pa.BufferReader(file.getvalue()))


@pytest.mark.parametrize(("start", "length", "count"), [(0, ROWS, 2), (7, 50, 1), (8, 16, 3)])
def test_every_nested_column_arrives_as_it_is(start: int, length: int, count: int) -> None:
    whole = pa.table({name: make(ROWS) for name, make in nested.COLUMNS.items()})
    table = whole.slice(start, length)
    runs = partitions(table, count)
    assert sum(batch.num_rows for run in runs for batch in run) == length
    answered = ask("select * from t", runs)
    answered.validate(full=True)
    assert answered.schema.types == table.schema.types
    different = [name for name in table.column_names if answered[name].to_pylist() != table[name].to_pylist()]
    assert different == []


@pytest.mark.parametrize("name", ["list<struct<map>>", "sparse<fixed<struct>>", "dense<struct<dense>>"])
def test_an_empty_table_keeps_its_types(name: str) -> None:
    table = pa.table({"c": nested.COLUMNS[name](9)})
    for empty in (table.slice(4, 0), pa.Table.from_batches([], schema=table.schema)):
        ((batch,),) = partitions(empty, 2)
        assert batch.schema == table.schema and batch.num_rows == 0
        assert ask("select count(*) as n from t", [[batch]])["n"].to_pylist() == [0]


EXPRESSIONS = {
    "s": ["s['f']", "s['g'] + 1", "coalesce(s['g'], -1)", "s['g'] is null"],
    "deep": ["deep['f']['f']", "deep['f']['g']"],
    "in_list": ["in_list[1]['g']", "in_list[2]['f']"],
    "list_in": ["list_in['f'][1]", "array_append(list_in['f'], 'x')"],
    "map_in": ["map_in['f']['k1']", "map_in['g']"],
    "list": ["array_append(list, 'x')", "array_length(list)", "list[1]"],
    "large": ["array_append(large, 'x')", "large[2]"],
    "map": ["map['k1']", "cardinality(map)"],
    "fixed_in": ["fixed_in['f'][1]"],
    "in_fixed": ["in_fixed[1]['g']"],
}


@pytest.fixture(scope="module")
def under_nulls() -> pa.Table:
    """Nulls of structs, lists and maps, with other values under them."""
    struct, lists, maps, fixed = nested.struct, nested.lists, nested.maps, nested.fixed_lists
    makers = {
        "s": struct(nested.texts), "deep": struct(struct(nested.texts)), "in_list": lists(struct(nested.texts)),
        "list_in": struct(lists(nested.texts)), "map_in": struct(maps(nested.texts)), "list": lists(nested.texts),
        "large": nested.large_lists(nested.texts), "map": maps(nested.texts), "fixed_in": struct(fixed(nested.texts)),
        "in_fixed": fixed(struct(nested.texts)),
    }  # fmt: skip
    return pa.table({name: make(ROWS) for name, make in makers.items()})


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("expression", [text for texts in EXPRESSIONS.values() for text in texts])
def test_nothing_under_a_null_is_seen(under_nulls: pa.Table, expression: str, count: int) -> None:
    sql = f"select {expression} as x from t"
    for start, length in WINDOWS:
        window = under_nulls.slice(start, length)
        expected = ask(sql, [from_parquet(window).to_batches()])
        assert ask(sql, partitions(window, count))["x"].to_pylist() == expected["x"].to_pylist()


@pytest.mark.parametrize("name", ["runs", "sparse", "dense"])
def test_unions_and_runs_in_a_null_struct_are_null(name: str) -> None:
    """They have no nulls of their own, and are in no Parquet file: the oracle is pyarrow's values."""
    whole = pa.table({"s": nested.struct(nested.NESTING[name](nested.texts))(ROWS)})
    for start, length in WINDOWS:
        window = whole.slice(start, length)
        expected = [None if row is None else row["f"] for row in window["s"].to_pylist()]
        assert ask("select s['f'] as x from t", partitions(window, 2))["x"].to_pylist() == expected


def test_nulls_of_a_struct_reach_filters_counts_and_groups(under_nulls: pa.Table) -> None:
    valid = pc.sum(pc.is_valid(pc.struct_field(under_nulls["s"], "g"))).as_py()
    runs = partitions(under_nulls, 2)
    assert ask("select count(s['g']) as n from t", runs)["n"].to_pylist() == [valid]
    assert ask("select count(*) as n from t where s['g'] is null", runs)["n"].to_pylist() == [ROWS - valid]
    groups = ask("select s['g'] as g, count(*) as n from t group by s['g']", runs).to_pylist()
    assert {row["g"]: row["n"] for row in groups}[None] == ROWS - valid


def test_tables_that_are_right_are_handed_over_as_they_lie() -> None:
    clean = from_parquet(pa.table({"s": nested.struct(nested.texts)(ROWS), "l": nested.lists(nested.texts)(ROWS)}))
    flat = pa.table({"i": nested.integers(ROWS), "t": nested.texts(ROWS), "d": nested.texts(ROWS).dictionary_encode()})
    for table in (flat, clean):
        ((batch,),) = partitions(table, 1)
        theirs = [buffer.address for column in batch.columns for buffer in column.buffers() if buffer]
        assert theirs == [b.address for column in table.columns for b in column.chunk(0).buffers() if b]


def test_only_bits_are_new_for_structs_with_nulls(under_nulls: pa.Table) -> None:
    table = under_nulls.select(["s", "deep", "fixed_in"])
    known = {b.address for column in table.columns for b in column.chunk(0).buffers() if b}
    new = [b for run in partitions(table, 1) for column in run[0].columns for b in column.buffers() if b]
    assert all(buffer.address in known or buffer.size <= -(-ROWS // 8) for buffer in new)


def test_metadata_that_is_no_text_is_left_out_and_such_a_type_refused_by_name() -> None:
    field = pa.field("a", pa.int64(), metadata={b"\xff": b"x", b"note": b"kept"})
    schema = pa.schema([field], metadata={b"raw": b"\xfe", b"origin": b"test"})
    answered = ask("select a from t", partitions(pa.table([[1]], schema=schema), 1))
    assert answered.schema.field("a").metadata == {b"note": b"kept"}
    unknown = {b"ARROW:extension:name": b"my.type", b"ARROW:extension:metadata": b"\xff\x00"}
    inner = pa.struct([pa.field("x", pa.int64(), metadata=unknown)])
    with pytest.raises(WorkerFailure, match=r"'c'.*my\.type.*engine = duckdb"):
        partitions(pa.table([[{"x": 1}]], schema=pa.schema([("c", inner)])), 1)


HABITS = {
    "fields of null structs": lambda: (pa.table({"c": nested.struct(nested.texts)(ROWS)}), "c['g']"),
    "items of null maps": lambda: (pa.table({"c": nested.maps(nested.texts)(ROWS)}), "c['k1']"),
    "items of null lists": lambda: (pa.table({"c": nested.lists(nested.texts)(ROWS)}), "array_append(c, 'x')"),
    "structs at an offset": lambda: (pa.table({"c": nested.struct(nested.struct(nested.texts))(ROWS)[7:]}), "c"),
    "fixed lists at an offset": lambda: (
        pa.table({"c": nested.fixed_lists(nested.struct(nested.texts))(ROWS)[7:]}),
        "c",
    ),
    "sparse unions at an offset": lambda: (pa.table({"c": nested.sparse(nested.texts)(ROWS)[7:]}), "c"),
}


@pytest.mark.parametrize("habit", HABITS)
def test_datafusion_still_has_the_habit_that_its_input_is_changed_for(habit: str) -> None:
    table, expression = HABITS[habit]()
    sql = f"select {expression} as x from t"
    expected = ask(sql, partitions(table, 1))["x"].to_pylist()
    try:
        answered = ask(sql, plainly(table, 1))["x"].to_pylist()
    except BaseException as error:  # a panic is no Exception
        assert type(error).__name__ == "PanicException"
    else:
        assert answered != expected, f"DataFusion {datafusion.__version__} is right about {habit}: stop changing them"

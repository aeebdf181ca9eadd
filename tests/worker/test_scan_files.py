"""Scans of many files: their columns together, and what each one costs; against what pyarrow reads of each."""

from __future__ import annotations

import datetime
import decimal
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filters import filter_of
from zerrow.identity import identity
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.scan import scan

S, I = pa.string(), pa.int64()  # noqa: E741
MOMENT = pa.timestamp("us", "UTC")
UTC = datetime.UTC


def run(files: list[Path], **more: Any) -> pa.Table:
    names = [str(file) for file in files]
    return scan({"table": "t", "files": names, "columns": None, "filter": None, "dictionary": [], **more}, 2)


def write(folder: Path, *columns: pa.Array | None, **options: Any) -> list[Path]:
    """A file with a column `x` for each array, or without it; all have a column `n`."""
    files = []
    for number, column in enumerate(columns):
        table = pa.table({"n": [number] * (1 if column is None else len(column))})
        files.append(folder / f"{number}.parquet")
        pq.write_table(table if column is None else table.append_column("x", column), files[-1], **options)
    return files


def struct(*fields: Any) -> pa.DataType:
    return pa.struct(list(fields))


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ([pa.nulls(2), pa.array(["a"])], S),
        ([pa.array(["a"]), pa.nulls(2)], S),
        ([pa.nulls(1), pa.nulls(2)], pa.null()),
        ([pa.array([[None]], pa.list_(pa.null())), pa.array([["a"], None])], pa.list_(S)),
        ([pa.array([{"v": None}], struct(("v", pa.null()))), pa.array([{"v": [1]}])], struct(("v", pa.list_(I)))),
        ([pa.nulls(1), pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))], pa.list_(pa.float32(), 2)),
        ([pa.nulls(1), pa.array([b"0" * 16], pa.uuid())], pa.uuid()),
        ([pa.array([1], pa.int8()), pa.array([2**40]), pa.array([3], pa.int16())], I),
        ([pa.array([1], pa.uint8()), pa.array([-1], pa.int8())], pa.int16()),
        ([pa.array([1], pa.int32()), pa.array([0.5])], pa.float64()),
        ([pa.array([0.5], pa.float32()), pa.array([0.1])], pa.float64()),
        ([pa.array([decimal.Decimal("1.25")]), pa.array([decimal.Decimal("12345678.5")])], pa.decimal128(10, 2)),
        ([pa.array(["a"]), pa.array(["b"], pa.large_string())], pa.large_string()),
        ([pa.array(["a", "b"]), pa.array(["b", "a"]).dictionary_encode()], S),
        ([pa.array(["a"], pa.string_view()), pa.array(["b"])], S),
        ([pa.array([["a"]], pa.list_(pa.string_view())), pa.array([["b"]])], pa.list_(S)),
        ([pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("ns"))], pa.timestamp("ns")),
        (
            [pa.array([1], pa.timestamp("us", "UTC")), pa.array([1], pa.timestamp("ms", "Europe/Rome"))],
            pa.timestamp("us", "UTC"),
        ),
        ([pa.array([1], pa.date32()), pa.array([86_400_000], pa.date64())], pa.date32()),
        ([pa.array([1], pa.duration("ms")), pa.array([1], pa.duration("us"))], pa.duration("us")),
        ([pa.array([{"a": 1}]), None, pa.array([{"b": "x", "a": 2}])], struct(("a", I), ("b", S))),
        ([pa.array([[{"a": 1}]]), pa.array([[{"b": [None]}]])], pa.list_(struct(("a", I), ("b", pa.list_(pa.null()))))),
        ([pa.array([[1]]), pa.array([[2]], pa.large_list(pa.int8()))], pa.large_list(I)),
        ([pa.array([[1]], pa.list_(I, 1)), pa.array([[1, 2]], pa.list_(I, 2))], pa.list_(I)),
        ([pa.array([[("k", 1)]], pa.map_(S, pa.int8())), pa.array([[("k", 2)]], pa.map_(S, I))], pa.map_(S, I)),
        ([pa.array([b"a"], pa.binary(1)), pa.array([b"bc"], pa.binary(2))], pa.binary()),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_columns_of_several_types_become_one_that_holds_all_values(tmp_path: Path, columns: Any, kind: Any) -> None:
    files = write(tmp_path, *columns)
    table = run(files)
    table.validate(full=True)
    assert table.schema.field("x").type == kind and table.schema.field("x").nullable
    own = [pq.read_table(file) for file in files]
    wanted = [row.get("x") for each in own for row in each.to_pylist()]
    assert [_comparable(value) for value in table["x"].to_pylist()] == [_comparable(value) for value in wanted]
    for order in (files[::-1], [*files, *files]):
        assert run(order).schema.field("x").type in (kind, table.schema.field("x").type) or pa.types.is_nested(kind)


def _comparable(value: Any) -> Any:
    """Structs without the fields that are null, and moments without their zones."""
    if isinstance(value, dict):
        return {key: _comparable(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    return value.astimezone(UTC) if isinstance(value, datetime.datetime) and value.tzinfo else value


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (pa.array([1]), pa.array(["1"])),
        (pa.array([True]), pa.array([1])),
        (pa.array([1], pa.timestamp("us", "UTC")), pa.array([1], pa.timestamp("us"))),
        (pa.array([[1]]), pa.array([1])),
        (pa.array([{"a": 1}]), pa.array([{"a": "x"}])),
        (pa.array([b"0" * 16], pa.uuid()), pa.array([b"0" * 16], pa.binary(16))),
        (pa.array([1], pa.date32()), pa.array([1], pa.timestamp("us"))),
    ],
)
def test_types_that_do_not_fit_name_both_files_and_the_column(tmp_path: Path, a: pa.Array, b: pa.Array) -> None:
    with pytest.raises(WorkerFailure, match=r"column 'x' is .* in .*1\.parquet, which does not fit .* in .*0\.parquet"):
        run(write(tmp_path, a, b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (pa.array([2**53 + 1]), pa.array([0.5])),
        (pa.array([2**63], pa.uint64()), pa.array([-1])),
        (pa.array([2**60], pa.timestamp("us")), pa.array([1], pa.timestamp("ns"))),
    ],
)
def test_values_that_the_wider_type_does_not_hold_are_errors_and_not_changed(tmp_path: Path, a: Any, b: Any) -> None:
    with pytest.raises(WorkerFailure, match=r"0\.parquet does not fit the other files, in the column 'x'"):
        run(write(tmp_path, a, b))


def test_columns_in_another_order_and_some_that_may_not_be_null(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])
    pq.write_table(pa.table([[1], ["x"]], schema=schema), tmp_path / "0.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": [2]}), tmp_path / "1.parquet")
    table = run([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert table.to_pydict() == {"a": [1, 2], "b": ["x", "y"]} and table.schema.field("a").nullable
    assert run([tmp_path / "0.parquet"]).schema == schema


def test_many_small_files_are_large_chunks_and_few_descriptors(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:04}.parquet" for number in range(1500)]
    for number, file in enumerate(files):
        pq.write_table(pa.table({"a": [number], "s": pa.array([f"{number % 3}"])}), file)
    few, most = len(os.listdir("/proc/self/fd")) + 8, resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, most[1]))
    try:
        table = run(files, dictionary=["s"])
        some = run(files, filter=filter_of("a < 700", a="int"))
        assert run(files, columns=[]).num_rows == 1500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert table["a"].to_pylist() == list(range(1500)) and table["s"].to_pylist() == [f"{i % 3}" for i in range(1500)]
    assert table["a"].num_chunks == table["s"].num_chunks == some["a"].num_chunks == 1
    assert some["a"].to_pylist() == list(range(700))


def test_large_files_take_no_descriptors_either(tmp_path: Path) -> None:
    table = pa.table({"a": range(500_000)})
    files = [tmp_path / f"{number}.parquet" for number in range(3)]
    for file in files:
        pq.write_table(table, file, compression="none", use_dictionary=False)
    before = len(os.listdir("/proc/self/fd"))
    counts: list[int] = []

    def count(buffer: pa.Buffer) -> None:
        counts.append(len(os.listdir("/proc/self/fd")))

    read = scan({"table": "t", "files": [str(file) for file in files], "columns": None}, 2, None, count)
    assert read.num_rows == 1_500_000 and len(counts) == 3 and max(counts) <= before + 2
    assert len(os.listdir("/proc/self/fd")) == before


def cut(file: Path) -> None:
    os.truncate(file, os.path.getsize(file) // 2)


def swap(file: Path) -> None:
    os.replace(file.with_name("2.parquet"), file)


@pytest.mark.parametrize("change", [cut, swap, Path.unlink])
def test_a_file_that_changes_before_its_turn_is_named(tmp_path: Path, change: Callable[[Path], None]) -> None:
    files = write(tmp_path, *[pa.array([1])] * 3)
    known = [identity(str(file)) for file in files]
    seen: list[str | None] = []

    def blame(file: str | None) -> None:
        seen.append(file)
        if seen.count(str(files[0])) == 2 and len(seen) == seen.index(str(files[0]), 1) + 1:
            change(files[1])

    task = {"table": "t", "files": [str(file) for file in files[:2]], "columns": None, "identities": known[:2]}
    with pytest.raises(WorkerFailure, match=r"1\.parquet changed while it was read: run again"):
        scan(task, 2, None, None, blame)


def test_footers_that_lie_about_rows_are_told(tmp_path: Path) -> None:
    (file,) = write(tmp_path, pa.array([1, 2, 3]), store_schema=False)
    content, found = file.read_bytes(), False
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(start, len(content) - 8):
        if content[place] == 6:  # three, as Thrift writes it
            file.write_bytes(content[:place] + b"\x08" + content[place + 1 :])
            try:
                table = run([file])
            except WorkerFailure as error:
                assert str(file) in error.message
                found = found or "it has 3 rows where its footer says 4" in error.message
            else:
                assert table.equals(pq.read_table(file))
    assert found

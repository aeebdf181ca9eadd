"""Scans with DeCache through the protocol: what a worker asks for, takes, decodes and gives, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filters import filter_of
from small_engine import Engine, Piece, Table, built, open_table
from zerrow import identity
from zerrow.worker.blocks import Block
from zerrow.worker.decache import fitting
from zerrow.worker.ops import JSON_VALUES_MAX
from zerrow.worker.source import DECODING, Source

ROWS, GROUP_ROWS, GROUPS = 30_000, 5_003, 6
PLAIN, DICTIONARY = f"{DECODING} plain", f"{DECODING} dictionary"
SAMPLE = pa.table(
    {
        "a": pa.array(range(ROWS), pa.int64()),
        "b": pa.array([None if i % 7 == 0 else i % 3 == 0 for i in range(ROWS)]),
        "s": pa.array([None if i % 11 == 0 else f"row {i % 100}" for i in range(ROWS)]),
        "l": pa.array([[j for j in range(i % 4)] if i % 5 else None for i in range(ROWS)], pa.list_(pa.int32())),
        "n": pa.array([{"x": i, "y": f"{i}"} if i % 9 else None for i in range(ROWS)]),
    }
)


@pytest.fixture(scope="module")
def arena() -> Iterator[Engine]:
    engine = Engine(preload=built("libzerrow_arena.so")).wait_ready()
    yield engine
    assert engine.close() == ""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that nobody has touched for a while."""
    path = tmp_path_factory.mktemp("decache") / "t.parquet"
    pq.write_table(SAMPLE, path, row_group_size=GROUP_ROWS)
    return settle(path)


def settle(path: Path) -> Path:
    assert identity.settles(identity.identity(str(path)), time.time_ns())
    return path


def scan_task(*paths: Path, columns: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "kind": "scan", "table": "t", "files": [str(path) for path in paths],
        "identities": [identity.identity(str(path)) for path in paths],
        "columns": columns, "filter": None, "dictionary": [],
        **more,
    }  # fmt: skip


def at_least(value: int) -> dict[str, Any]:
    return filter_of(f"a >= {value}", a="int")


def block(*columns: str, groups: tuple[int, int] = (0, GROUPS), read: str = PLAIN, file: int = 0) -> dict[str, Any]:
    return {"file": file, "read": read, "columns": list(columns), "groups": [list(groups)]}


def rows_of(table: Table) -> pa.Table:
    opened = open_table(table)
    opened.validate(full=True)
    return opened


def assert_nothing_new(table: Table) -> None:
    assert table.counts["reshared_bytes"] == sum(table.counts.values())


@pytest.fixture(scope="module")
def pieces(arena: Engine, source: Path) -> list[Piece]:
    """The sample's pieces: all columns of all row groups, in two."""
    outcomes = [arena.scan(scan_task(source, columns=columns)) for columns in (["a", "b", "s"], ["l", "n"])]
    return [piece for outcome in outcomes for piece in outcome.decoded]


def test_what_is_decoded_is_given_and_shares_its_memory_with_the_result(arena: Engine, source: Path) -> None:
    outcome = arena.scan(scan_task(source, columns=["s", "a"]))
    assert outcome.wants == [block("s", "a")]
    assert [piece[0] for piece in outcome.decoded] == outcome.wants
    assert rows_of(outcome.table).equals(SAMPLE.select(["s", "a"]))
    assert rows_of(outcome.decoded[0][1]).equals(SAMPLE.select(["s", "a"]))
    named = sum(outcome.table.counts.values())
    assert outcome.decache.pop("wait_ms") > 0
    assert outcome.decache == {
        "wanted_units": 2 * GROUPS, "reused_units": 0, "decoded_units": 2 * GROUPS, "pieces_bytes": named,
    }  # fmt: skip
    assert outcome.table.ids == outcome.decoded[0][1].ids


def test_what_the_cache_has_is_used_where_it_lies(arena: Engine, source: Path, pieces: list[Piece]) -> None:
    outcome = arena.scan(scan_task(source), pieces)
    assert outcome.wants == [block(*SAMPLE.column_names)] and outcome.decoded == []
    assert rows_of(outcome.table).equals(SAMPLE)
    assert outcome.decache["reused_units"] == outcome.decache["wanted_units"] == 5 * GROUPS
    assert outcome.decache["decoded_units"] == outcome.decache["pieces_bytes"] == 0
    assert_nothing_new(outcome.table)


def test_only_what_is_missing_is_decoded(arena: Engine, source: Path, pieces: list[Piece]) -> None:
    outcome = arena.scan(scan_task(source, columns=["l", "a", "s"]), pieces[:1])
    assert [piece[0] for piece in outcome.decoded] == [block("l")]
    assert rows_of(outcome.table).equals(SAMPLE.select(["l", "a", "s"]))
    assert (outcome.decache["reused_units"], outcome.decache["decoded_units"]) == (2 * GROUPS, GROUPS)
    again = arena.scan(scan_task(source, columns=["l", "a"]), [*pieces[:1], *outcome.decoded])
    assert_nothing_new(again.table)
    assert rows_of(again.table).equals(SAMPLE.select(["l", "a"]))


def test_row_groups_that_statistics_rule_out_are_not_asked_for(arena: Engine, source: Path) -> None:
    first = 2 * GROUP_ROWS + 17
    outcome = arena.scan(scan_task(source, columns=["b", "n"], filter=at_least(first)))
    assert outcome.wants == [block("b", "n", "a", groups=(2, GROUPS))]
    assert rows_of(outcome.table).equals(SAMPLE.slice(first).select(["b", "n"]).combine_chunks())
    kept = SAMPLE.slice(2 * GROUP_ROWS)
    assert [piece[0] for piece in outcome.decoded] == outcome.wants
    assert rows_of(outcome.decoded[0][1]).equals(kept.select(["b", "n", "a"]))
    whole = arena.scan(scan_task(source, columns=["b", "a"]), outcome.decoded)
    assert [piece[0] for piece in whole.decoded] == [block("b", "a", groups=(0, 2))]
    assert rows_of(whole.table).equals(SAMPLE.select(["b", "a"]))


def test_a_filter_uses_pieces_of_more_than_it_wants(arena: Engine, source: Path, pieces: list[Piece]) -> None:
    first = 4 * GROUP_ROWS + 1
    outcome = arena.scan(scan_task(source, columns=["s"], filter=at_least(first)), pieces)
    assert outcome.wants == [block("s", "a", groups=(4, GROUPS))] and outcome.decoded == []
    assert rows_of(outcome.table).equals(SAMPLE.slice(first).select(["s"]).combine_chunks())


def test_a_dictionary_is_decoded_in_another_way_and_stays_one(arena: Engine, source: Path, pieces: list[Piece]) -> None:
    task = scan_task(source, columns=["a", "s"], dictionary=["s"])
    first = arena.scan(task, pieces)
    assert first.wants == [block("a"), block("s", read=DICTIONARY)]
    assert [piece[0] for piece in first.decoded] == [block("s", read=DICTIONARY)]
    again = arena.scan(task, [*pieces, *first.decoded])
    for outcome in (first, again):
        table = rows_of(outcome.table)
        assert pa.types.is_dictionary(table["s"].type) and table["s"].cast(pa.string()).equals(SAMPLE["s"])
    assert_nothing_new(again.table)
    filtered = arena.scan(scan_task(source, columns=["s"], dictionary=["s"], filter=at_least(ROWS - 5)), first.decoded)
    assert rows_of(filtered.table)["s"].cast(pa.string()).to_pylist() == SAMPLE["s"].to_pylist()[-5:]


def test_files_are_told_apart(arena: Engine, source: Path, pieces: list[Piece], tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32())}), other)
    settle(other)
    outcome = arena.scan(scan_task(other, source, columns=["a"]), [({**pieces[0][0], "file": 1}, pieces[0][1])])
    assert outcome.wants == [block("a", groups=(0, 1)), block("a", file=1)]
    assert [piece[0] for piece in outcome.decoded] == [block("a", groups=(0, 1))]
    assert rows_of(outcome.table)["a"].to_pylist() == [1, 2, *range(ROWS)]
    assert rows_of(outcome.decoded[0][1])["a"].type == pa.int32()


@pytest.mark.parametrize(
    "more", [{"columns": []}, {"columns": ["s"], "filter": at_least(ROWS)}], ids=["no column", "no row group"]
)
def test_a_scan_with_nothing_to_decode_does_not_ask(arena: Engine, source: Path, more: dict[str, Any]) -> None:
    outcome = arena.scan(scan_task(source, **more))
    assert outcome.error is None and outcome.wants is None and outcome.decoded == []
    assert outcome.table.rows == (0 if "filter" in more else ROWS)
    assert outcome.decache == {
        "wanted_units": 0,
        "reused_units": 0,
        "decoded_units": 0,
        "pieces_bytes": 0,
        "wait_ms": 0,
    }


def test_a_filtered_scan_keeps_no_more_than_it_may(arena: Engine, source: Path) -> None:
    task = scan_task(source, columns=["s"], filter=at_least(7))
    outcome = arena.scan(task, decache_bytes_max=1000)
    assert outcome.wants == [block("s", "a")] and outcome.decoded == []
    assert rows_of(outcome.table).equals(SAMPLE.slice(7).select(["s"]).combine_chunks())
    assert len(arena.scan(task, decache_bytes_max=64 << 20).decoded) == 1


def test_a_scan_without_the_cache_neither_asks_nor_gives(arena: Engine, source: Path) -> None:
    outcome = arena.run(scan_task(source, columns=["a"]))
    assert outcome.wants is None and outcome.decoded == [] and outcome.decache is None
    assert rows_of(outcome.table).equals(SAMPLE.select(["a"]))


def test_a_file_that_may_change_without_its_times_telling_is_not_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(SAMPLE, path)
    known = identity.identity(str(path))
    assert identity.settles(known, time.time_ns())
    assert Source(0, str(path), [], known).is_settled
    monkeypatch.setattr(identity, "has_fine_times", lambda *_: False)
    assert not Source(0, str(path), [], known).is_settled


def test_columns_of_folders_are_neither_asked_for_nor_given_and_share_pieces_of_other_values(
    arena: Engine, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number, path in enumerate(paths):
        pq.write_table(pa.table({"a": [number], "y": [-1]}), path)
    settle(paths[-1])
    task = scan_task(*paths, columns=["a", "y"])
    texts = {"y": {"type": "int32", "texts": ["1", "2", None]}}
    first = arena.scan({**task, "partitions": texts})
    assert [block["columns"] for block in first.wants] == [["a"]] * 3
    assert rows_of(first.table).to_pydict() == {"a": [0, 1, 2], "y": [1, 2, None]}
    again = arena.scan({**task, "partitions": {"y": {"type": "int32", "texts": ["7", "8", "9"]}}}, first.decoded)
    assert again.decoded == [] and rows_of(again.table).to_pydict() == {"a": [0, 1, 2], "y": [7, 8, 9]}
    some = arena.scan({**task, "partitions": texts, "filter": filter_of("y > 1", y="int")}, first.decoded)
    assert [block["file"] for block in some.wants] == [1]
    assert rows_of(some.table).to_pydict() == {"a": [1], "y": [2]}


def test_more_pieces_than_a_message_holds_travel_in_several(arena: Engine, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03}.parquet" for number in range(230)]
    for number, path in enumerate(paths):
        pq.write_table(pa.table({"a": [number]}), path)
    settle(paths[-1])
    task = scan_task(*paths)
    first = arena.scan(task)
    assert [piece[0]["file"] for piece in first.decoded] == list(range(230))
    again = arena.scan(task, first.decoded)
    assert again.decoded == [] and rows_of(again.table)["a"].to_pylist() == list(range(230))
    assert_nothing_new(again.table)


def rewrite(path: Path) -> None:
    """Other content of the same size at the same place, and the old time of change."""
    status, content = os.stat(path), bytearray(path.read_bytes())
    content[100] ^= 1
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    pq.write_table(SAMPLE.slice(1), path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    """As most writers do it: the file is empty first."""
    pq.write_table(SAMPLE.slice(0, 10), path)


CHANGES = [rewrite, replace, append, overwrite]


@pytest.mark.parametrize("change", [*CHANGES, os.unlink], ids=lambda change: change.__name__)
def test_a_file_that_changed_since_the_plan_is_an_error(
    arena: Engine, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(SAMPLE, path)
    task = scan_task(path)
    change(path)
    error = arena.scan(task).error
    assert error["kind"] == "input" and str(path) in error["message"], error
    assert "run again" in error["message"] or "does not exist" in error["message"]


@pytest.mark.parametrize("has_pieces", [False, True])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_changes_while_it_is_read_is_an_error_and_nothing_of_it_is_given(
    arena: Engine, tmp_path: Path, change: Callable[[Path], None], has_pieces: bool
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(SAMPLE, path, row_group_size=GROUP_ROWS)
    settle(path)
    task = scan_task(path, columns=["a", "l"])
    pieces = arena.scan(scan_task(path, columns=["a"])).decoded if has_pieces else []
    worker = arena.fork()
    output = arena.give(worker, task, [], decache=True)
    assert len(arena.wants(worker)) == 1
    change(path)
    arena.answer(worker, pieces)
    outcome = arena.finish(worker, output)
    assert outcome.table is None and outcome.decoded == []
    assert outcome.error["kind"] == "input" and f"{path} changed while it was read" in outcome.error["message"]


def asking(arena: Engine, source: Path) -> tuple[Any, int]:
    worker = arena.fork()
    output = arena.give(worker, scan_task(source, columns=["a", "s"]), [], decache=True)
    arena.wants(worker)
    return worker, output


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        ({"op": "dance"}, None),
        ({"op": "pieces", "last": True}, None),
        ({"op": "pieces"}, "[]"),
        ({"op": "pieces", "last": 1}, "[]"),
        ({"op": "pieces", "last": True}, "{"),
        ({"op": "pieces", "last": True}, "[" * 100_000),
        ({"op": "pieces", "last": True}, "[]"),
        ({"op": "pieces", "last": True}, '{"pieces": 5}'),
        ({"op": "pieces", "last": True}, json.dumps({"pieces": [block("a")]})),
        ({"op": "segments", "ids": [1, 2, 3]}, "[]"),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    arena: Engine, source: Path, body: dict[str, Any], blocks: str | None
) -> None:
    worker, output = asking(arena, source)
    worker.peer.send_files(body, *([blocks.encode()] if blocks is not None else []))
    outcome = arena.finish(worker, output)
    assert outcome.error["kind"] == "internal" and outcome.exited["status"] == 1, outcome


@pytest.mark.parametrize(
    "wrong",
    [
        {"file": 1},
        {"file": -1},
        {"file": True},
        {"file": "0"},
        {"read": 7},
        {"columns": []},
        {"columns": ["a", "a"]},
        {"columns": ["a", "s", "b"]},
        {"columns": ["s", "b", "a"]},
        {"columns": [1, "b", "s"]},
        {"groups": []},
        {"groups": [[0, GROUPS + 1]]},
        {"groups": [[0, 1 << 60]]},
        {"groups": [[0, 3], [2, GROUPS]]},
        {"groups": [[3, 3]]},
        {"groups": [[-1, GROUPS]]},
        {"groups": [[0, 1, 2]]},
        {"groups": [[0, GROUPS - 1]]},
        {"groups": [[0.0, 6.0]]},
        {"groups": 6},
    ],
    ids=str,
)
def test_a_piece_that_is_none_is_an_error(
    arena: Engine, source: Path, pieces: list[Piece], wrong: dict[str, Any]
) -> None:
    worker, output = asking(arena, source)
    arena.answer(worker, [({**pieces[0][0], **wrong}, pieces[0][1])])
    outcome = arena.finish(worker, output)
    assert outcome.error["kind"] == "internal" and outcome.exited["status"] == 1, outcome


def test_a_piece_of_another_type_or_no_table_is_an_error(arena: Engine, source: Path, pieces: list[Piece]) -> None:
    swapped = SAMPLE.select(["a", "b", "s"]).rename_columns(["s", "b", "a"]).select(["a", "b", "s"])
    path = source.with_name("swapped.parquet")
    pq.write_table(swapped, path, row_group_size=GROUP_ROWS)
    settle(path)
    other = arena.scan(scan_task(path, columns=["a", "b", "s"])).decoded[0][1]
    for table in (other.descriptor, b"no table", b""):
        worker, output = asking(arena, source)
        arena.lend(worker, [other])
        content = json.dumps({"pieces": [pieces[0][0]]}).encode()
        worker.peer.send_files({"op": "pieces", "last": True}, content, table)
        outcome = arena.finish(worker, output)
        assert outcome.error["kind"] == "internal" and outcome.exited["status"] == 1, outcome


def test_a_piece_that_is_decoded_otherwise_is_passed_over(arena: Engine, source: Path, pieces: list[Piece]) -> None:
    outcome = arena.scan(scan_task(source, columns=["a"]), [({**pieces[0][0], "read": "other"}, pieces[0][1])])
    assert outcome.decache["reused_units"] == 0 and [piece[0] for piece in outcome.decoded] == [block("a")]


def test_a_worker_that_waits_for_an_answer_leaves_when_the_engine_is_gone(arena: Engine, source: Path) -> None:
    worker, _ = asking(arena, source)
    worker.peer.socket.shutdown(2)
    assert arena.exited(worker)["status"] == 1


def test_without_the_arena_what_pieces_and_result_share_is_copied_once(engine: Engine, source: Path) -> None:
    outcome = engine.scan(scan_task(source))
    written = os.fstat(engine.segments[outcome.table.ids[0]]).st_blocks * 512
    assert written < 1.1 * sum(outcome.table.counts.values()) + (1 << 16)
    assert rows_of(outcome.decoded[0][1]).equals(SAMPLE) and rows_of(outcome.table).equals(SAMPLE)


def test_another_bus_error_still_ends_the_worker(engine: Engine, project: Any, source: Path) -> None:
    text = """
    import ctypes, mmap, os
    from zerrow.worker.abi import WorkerLibrary
    import pyarrow as pa
    def model():
        file = os.memfd_create("short")
        os.truncate(file, 8192)
        guarded, other = (pa.py_buffer(mmap.mmap(file, 8192, mmap.MAP_SHARED, mmap.PROT_READ)) for _ in range(2))
        WorkerLibrary(os.environ["ZERROW_WORKER_LIBRARY"]).guard(guarded)
        os.truncate(file, 4096)
        print(ctypes.string_at(guarded.address + 4096, 4096) == bytes(4096), flush=True)
        ctypes.string_at(other.address + 4096, 1)
    """
    outcome = engine.run(project(textwrap.dedent(text)))
    assert outcome.exited["signal"] == signal.SIGBUS and outcome.worker.text() == "True\n"


@pytest.mark.parametrize("end", ["os.abort()", "ctypes.string_at(0)", "in_a_thread(os.abort)"])
def test_where_a_library_ends_the_worker_its_last_message_is_sent(engine: Engine, project: Any, end: str) -> None:
    text = f"""
    import ctypes, os, socket, threading
    from zerrow.worker.abi import WorkerLibrary
    def in_a_thread(function):
        threading.Thread(target=function).start()
        threading.Event().wait()
    def model():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        library = WorkerLibrary(os.environ["ZERROW_WORKER_LIBRARY"])
        if os.fork() == 0:
            for message in (b"first", b"", b"last", b"very last"):
                library.last_words(theirs.fileno(), message)
            {end}
        print(ours.recv(100), os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
        library.last_words(theirs.fileno(), b"")
        os.abort()
    """
    outcome = engine.run(project(textwrap.dedent(text)))
    assert outcome.exited["signal"] == signal.SIGABRT and outcome.worker.text() == "b'very last' 1\n"


def test_blocks_of_many_values_fill_no_file_beyond_what_may_be_read():
    def values(part: Any) -> int:
        if isinstance(part, dict):
            return 1 + sum(1 + values(value) for value in part.values())
        return 1 + sum(map(values, part)) if isinstance(part, list) else 1

    def counted(kept: list[Block]) -> int:
        return values({"units": [block.as_json() for block in kept]})

    many = [Block(0, "", ("a",), tuple(range(0, 2000, 2))) for _ in range(200)]
    assert counted(many) > JSON_VALUES_MAX
    kept = fitting(many)
    assert len(kept) > 50 and counted(kept) <= JSON_VALUES_MAX
    few = [Block(0, "", ("a",), tuple(range(2000)))] * 200
    assert fitting(few) == few

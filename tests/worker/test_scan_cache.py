"""Any scans over one cache, in any order: what pyarrow reads, decoding only what is missing, copying nothing."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from filters import filter_of
from zerrow.identity import identity
from zerrow.worker import source
from zerrow.worker.blocks import Block, Piece, runs
from zerrow.worker.scan import scan

Unit = tuple[int, str, str, int]


class SmallCache:
    """Keeps all it is given, and answers with pieces in any order, some of which it has forgotten."""

    def __init__(self, chance: random.Random) -> None:
        self.bytes_max = 1 << 30
        self.pieces: list[Piece] = []
        self.wants: list[Block] = []
        self.answer: list[Piece] = []
        self.counted = (0, 0)
        self._chance = chance

    def ask(self, wants: list[Block]) -> list[tuple[Block, pa.Table]]:
        self.wants = wants
        self.answer = [piece for piece in self.pieces if self._chance.random() < 0.8]
        self._chance.shuffle(self.answer)
        return [(piece.block, piece.table) for piece in self.answer]

    def count(self, reused_units: int, decoded_units: int) -> None:
        self.counted = (self.counted[0] + reused_units, self.counted[1] + decoded_units)

    def give(self, piece: Piece) -> None:
        self.pieces.append(piece)


def units(blocks: list[Block]) -> set[Unit]:
    return {
        (block.file, block.read, name, group) for block in blocks for name in block.columns for group in block.groups
    }


def make_file(path: Path, chance: random.Random) -> pa.Table:
    rows = chance.randrange(1, 3000)

    def nulls(values: list[Any]) -> list[Any]:
        return [None if chance.random() < 0.2 else value for value in values]

    table = pa.table(
        {
            "i": pa.array(range(rows), pa.int32()),
            "b": pa.array(nulls([i % 3 == 0 for i in range(rows)])),
            "s": pa.array(nulls([f"text {i % 50}" for i in range(rows)])),
            "d": pa.array([f"{i // 40}" for i in range(rows)]),
            "l": pa.array(nulls([list(range(i % 4)) for i in range(rows)]), pa.list_(pa.int16())),
            "n": pa.array(nulls([{"x": i, "d": str(i % 3)} for i in range(rows)])),
        }
    )
    pq.write_table(table, path, row_group_size=chance.randrange(1, 700))
    return table


def buffers(column: pa.ChunkedArray) -> list[tuple[int, int]]:
    found = [buffer for chunk in column.chunks for buffer in arrays(chunk)]
    return [(buffer.address, buffer.address + buffer.size) for buffer in found if buffer is not None and buffer.size]


def arrays(chunk: pa.Array) -> list[pa.Buffer | None]:
    own = list(chunk.buffers())
    return own + (list(chunk.dictionary.buffers()) if pa.types.is_dictionary(chunk.type) else [])


def plain(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old."""
    monkeypatch.setattr(source, "time", type("Later", (), {"time_ns": staticmethod(lambda: time.time_ns() + 10**11)}))


@pytest.mark.parametrize("seed", range(60))
def test_scans_over_one_cache_give_what_pyarrow_reads(
    tmp_path: Path, settled: None, seed: int, monkeypatch: Any
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(source, "WINDOW_ROWS", chance.choice([1, 100, 1000, 1 << 20]))
    monkeypatch.setattr(source, "BATCH_ROWS_MAX", chance.choice([64, 1024, 1 << 20]))
    monkeypatch.setattr(source, "BATCH_ROWS_MIN", 64)
    paths = [tmp_path / f"{number}.parquet" for number in range(chance.randrange(1, 4))]
    tables = [make_file(path, chance) for path in paths]
    cache = SmallCache(chance)
    for _ in range(8):
        whole = pa.concat_tables(tables)
        columns = chance.sample(whole.column_names, chance.randrange(1, 7))
        low, high = sorted(chance.choices(range(3000), k=2))
        filter_ = chance.choice([None, filter_of(f"i < {low} or i >= {high}", i="int")])
        task = {
            "table": "t", "files": [str(path) for path in paths], "columns": columns, "filter": filter_,
            "identities": [identity(str(path)) for path in paths], "dictionary": ["d"] if chance.random() < 0.5 else [],
        }  # fmt: skip
        cache.bytes_max = chance.choice([0, 50_000, 1 << 30])
        before, reused, decoded = list(cache.pieces), *cache.counted
        cache.wants, cache.answer = [], []
        result = scan({**task, "dictionary": [name for name in task["dictionary"] if name in columns]}, 2, cache)
        result.validate(full=True)
        wanted = whole if filter_ is None else whole.filter((pc.field("i") < low) | (pc.field("i") >= high))
        assert plain(result) == plain(wanted.select(columns))

        had, wants = units([piece.block for piece in cache.answer]), units(cache.wants)
        own = units([piece.block for piece in cache.pieces[len(before) :]])
        assert len(own) == sum(piece.block.units for piece in cache.pieces[len(before) :])
        assert cache.counted == (reused + len(had & wants), decoded + len(wants - had))
        assert own <= wants - had
        if not task["dictionary"] and filter_ is not None:
            assert sum(piece.table.nbytes for piece in cache.pieces[len(before) :]) <= cache.bytes_max
        if filter_ is None:
            assert own == wants - had
            assert_in_place(result, cache)


def assert_in_place(result: pa.Table, cache: SmallCache) -> None:
    """Every buffer of the result lies within one of a piece; but the indices of dictionaries that had to become one."""
    places = sorted(place for piece in cache.pieces for column in piece.table.columns for place in buffers(column))
    for name, column in zip(result.column_names, result.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            continue
        for start, end in buffers(column):
            assert any(low <= start and end <= high for low, high in places), name


def test_a_dictionary_from_one_piece_keeps_its_indices(tmp_path: Path, settled: None) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"d": [f"{i % 7}{i // 400}" for i in range(1000)]}), path, row_group_size=300)
    task = {
        "table": "t",
        "files": [str(path)],
        "columns": ["d"],
        "dictionary": ["d"],
        "identities": [identity(str(path))],
    }
    cache = SmallCache(random.Random(5))
    first = scan(task, 2, cache)
    cache._chance = random.Random(1)
    again = scan(task, 2, cache)
    assert cache.counted == (4, 4)
    assert set(buffers(again["d"])) <= set(buffers(first["d"])) == set(buffers(cache.pieces[0].table["d"]))


def test_dictionaries_that_the_files_schema_tells_become_one(tmp_path: Path) -> None:
    column = pa.array([f"{i // 100}" for i in range(1000)]).dictionary_encode()
    pq.write_table(pa.table({"d": column}), tmp_path / "t.parquet", row_group_size=300)
    read = scan({"table": "t", "files": [str(tmp_path / "t.parquet")], "columns": None}, 2)["d"]
    assert pa.types.is_dictionary(read.type) and read.to_pylist() == column.to_pylist()
    assert len({chunk.dictionary.buffers()[2].address for chunk in read.chunks}) == 1


def test_runs_of_groups() -> None:
    assert list(runs([])) == []
    assert list(runs([3])) == [range(3, 4)]
    assert list(runs([0, 1, 2, 5, 7, 8])) == [range(0, 3), range(5, 6), range(7, 9)]

"""One suite over every way of publishing: the same project under each lock, with and without the arena and KernelZero.

Whatever the way, a table arrives as it was made, each of its bytes is counted once, nobody can change it, and no
reader finds a byte of its producer that was not published.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contents
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import IS_ROOT, Caller, open_to_others

PROJECT = Path(__file__).parent / "project"
WAYS = ("reshared", "born_shared", "deanonymized", "packed", "copied")
PAGE = 4096
HAS_KERNELZERO = Path("/dev/kernelzero").exists()
NEEDS_KERNELZERO = pytest.mark.skipif(
    not HAS_KERNELZERO, reason="KernelZero is not loaded: this runs in the virtual machine of kernel/tests"
)


@dataclass
class Setting:
    """How a run publishes what is new: flags of the command, and the counter that new memory is in."""

    flags: tuple[str, ...]
    counter: str
    overwrites: bool


# In the arena a producer writes into its segment as long as it lives; what it has moved or copied is out of its reach.
SETTINGS = {
    "arena": Setting(("--no-kernelzero",), "born_shared", overwrites=False),
    "copies": Setting(("--no-arena", "--no-kernelzero"), "copied", overwrites=True),
    "arena-and-kernelzero": Setting((), "born_shared", overwrites=False),
    "kernelzero": Setting(("--no-arena",), "deanonymized", overwrites=True),
}


@dataclass
class Outcome:
    """What a run left behind."""

    setting: Setting
    report: dict[str, Any]
    tables: dict[str, pa.Table]
    err: str

    def output(self, model: str) -> dict[str, Any]:
        """The report of one model's table."""
        return next(entry["output"] for entry in self.report["models"] if entry["name"] == model)

    def counts(self, model: str) -> dict[str, int]:
        """The counters of one model's table that are not 0."""
        output = self.output(model)
        return {way: output[f"{way}_bytes"] for way in WAYS if output[f"{way}_bytes"]}


def combinations() -> list[Any]:
    """Each kind of user, which decides about the lock, with each setting."""
    users = ("root", "ordinary") if IS_ROOT else ("ordinary",)
    return [
        pytest.param((user, name), id=f"{user}-{name}", marks=NEEDS_KERNELZERO if "no-kernelzero" not in str(s) else ())
        for user in users
        for name, s in SETTINGS.items()
    ]


@pytest.fixture(scope="module", params=combinations())
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, ordinary: Caller) -> Outcome:
    """The project, run once."""
    user, name = request.param
    caller, setting = (ordinary if user == "ordinary" else Caller()), SETTINGS[name]
    folder = tmp_path_factory.mktemp("conformance")
    open_to_others(folder)
    shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "project" / "data").mkdir()
    pq.write_table(pa.table({"n": [1, 2, 3]}), folder / "project" / "data" / "numbers.parquet")
    export = folder / "export"
    export.mkdir()
    os.chown(export, caller.uid, -1)
    command = [
        *caller.words,
        "run",
        "-p",
        folder / "project",
        "--output",
        "json",
        "--format",
        "arrow",
        "--export",
        export,
        *setting.flags,
    ]
    command += ["--param", f"overwrite={str(setting.overwrites).lower()}"]
    environment = {**os.environ, **caller.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, done.stderr + done.stdout
    tables = {path.stem: pa.ipc.open_stream(path).read_all() for path in export.glob("*.arrows")}
    return Outcome(setting, json.loads(done.stdout), tables, done.stderr)


def edges(outcome: Outcome, model: str) -> int:
    """The bytes that KernelZero copied of a table, at most, if all it copied was parts of pages."""
    moves = outcome.output(model)["kernelzero"]
    assert moves["copied_shared_pages"] == moves["copied_pinned_pages"] == moves["copied_other_pages"] == 0, moves
    assert moves["copied_edge_pages"] <= 2 * moves["ranges"], moves
    return moves["copied_edge_pages"] * PAGE


def check_new(outcome: Outcome, model: str, total: int) -> None:
    """New memory is in one counter, but for what KernelZero copies at the edges of buffers."""
    counts, way = outcome.counts(model), outcome.setting.counter
    assert sum(counts.values()) == outcome.output(model)["bytes"] == total
    if way == "deanonymized":
        assert counts.keys() <= {"deanonymized", "copied"}
        assert counts.get("copied", 0) <= edges(outcome, model)
    else:
        assert counts == {way: total}


def test_tables_arrive_as_they_were_made(outcome: Outcome) -> None:
    large = contents.large()
    new = contents.column(large["a"].to_numpy() + 1)
    expected = {
        "passed": large,
        "mixed": large.select(["f"]).append_column("new", new).append_column("again", new),
        "small": contents.small(),
        "overlapping_again": contents.overlapping(),
        "untakeable_again": contents.untakeable(),
    }
    for name, table in expected.items():
        outcome.tables[name].validate(full=True)
        assert outcome.tables[name].equals(table), name


def test_every_byte_is_in_one_counter(outcome: Outcome) -> None:
    for model in outcome.report["models"]:
        output = model["output"]
        assert output["bytes"] == sum(output[f"{way}_bytes"] for way in WAYS), model


def test_new_memory_travels_in_the_way_of_the_setting(outcome: Outcome) -> None:
    check_new(outcome, "large", contents.large_bytes())
    check_new(outcome, "overlapping", contents.OVERLAPPING_BYTES)


def test_old_memory_is_reshared_beside_new_one(outcome: Outcome) -> None:
    assert outcome.counts("passed") == {"reshared": contents.large_bytes()}
    counts, way = outcome.counts("mixed"), outcome.setting.counter
    assert counts.pop("reshared") == 8 * contents.ROWS
    assert sum(counts.values()) == 8 * contents.ROWS
    assert counts[way] >= 8 * contents.ROWS - (edges(outcome, "mixed") if way == "deanonymized" else 0)


def test_small_buffers_are_packed(outcome: Outcome) -> None:
    counts = outcome.counts("small")
    assert counts.keys() == {"packed"}


def test_memory_of_other_kinds_is_copied_beside_what_moves(outcome: Outcome) -> None:
    counts, size = outcome.counts("untakeable"), contents.UNTAKEABLE_BYTES
    assert sum(counts.values()) == 5 * size
    moves = outcome.output("untakeable").get("kernelzero")
    if moves is None:
        assert counts["copied"] >= 3 * size
        return
    # Of a file, of a file with changes, shared: nobody can take these. Whole pages have no edges.
    assert counts == {"copied": 3 * size, "deanonymized": 2 * size}
    assert moves["refused_ranges"] == 3 and moves["hole_pages"] > 0


def test_nobody_finds_what_was_not_published(outcome: Outcome) -> None:
    found = dict(zip(*(outcome.tables["found"][name].to_pylist() for name in ("what", "count")), strict=True))
    assert found["public"] >= 1, "the search does not see what is published"
    assert found["hidden"] == 0


def test_nobody_changes_a_table(outcome: Outcome) -> None:
    table = outcome.tables["refused"]
    refused = dict(zip(table["attempt"].to_pylist(), table["refused"].to_pylist(), strict=True))
    assert len(refused) == 7
    assert all(refused.values()), [attempt for attempt, was in refused.items() if not was]


def test_a_producer_goes_on_after_it_has_published(outcome: Outcome) -> None:
    """What it writes then does not reach the table (which the tests above compare), and new memory is zero."""
    assert outcome.err.count("zeroes after publishing: True") == 2, outcome.err
    assert "zeroes after publishing: False" not in outcome.err

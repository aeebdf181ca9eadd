"""With the arena preloaded, what a model builds is in the output segment when it is published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from abi import ROOT

MODEL = """
import json, sys
import pyarrow as pa, pyarrow.compute as pc
from abi import Engine, MIB, Session, memory_file, renumbered

source, output = memory_file(64 * MIB), memory_file(65536 * MIB)
producer = Session()
producer.output(output, 1024 * MIB)
# The file has address space for what allocators reserved before, and is sparse. From here on, memory is born in it.
a = pc.add(pa.array(range(200_000)), 1)
table = pa.table({"a": a, "s": pc.cast(a, pa.utf8()), "few": pc.less(a, 100_000).cast(pa.int8()).cast(pa.int64())})
table = table.append_column("tiny", pa.array([None] * 200_000, pa.null())).slice(3)
descriptor, counts = producer.publish(table)
with Session() as reader:
    reader.segment(5, output)
    result = reader.open(renumbered(descriptor, 5)).read_all()
    result.validate(full=True)
    names = ("bytes", "reshared", "born_shared", "packed", "copied")
    print(json.dumps({"equal": result.equals(table), **{name: getattr(counts, name) for name in names}}))
"""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preload library, built from its sources."""
    path = tmp_path_factory.mktemp("arena") / "libzerrow_arena.so"
    subprocess.run([ROOT / "Sources/Arena/build", path], check=True)
    return path


def test_large_buffers_are_born_shared(arena: Path) -> None:
    environment = os.environ | {"LD_PRELOAD": str(arena), "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", MODEL], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["equal"]
    assert result["copied"] == 0 and result["reshared"] == 0
    assert result["born_shared"] > 4_000_000
    assert result["born_shared"] + result["packed"] == result["bytes"]
    assert result["packed"] < 64 * 1024

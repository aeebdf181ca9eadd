"""Descriptors of released format versions must be read for ever."""

from __future__ import annotations

import pyarrow as pa
import pytest
from abi import Session, memory_file, segments
from make_golden import FOLDER, SEGMENT
from test_types import assert_same


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sipc")), ids=lambda path: path.stem)
def test_a_golden_descriptor_gives_the_table_that_pyarrow_wrote(path) -> None:
    descriptor, segment = path.read_bytes(), path.with_suffix(".segment").read_bytes()
    assert segments(descriptor) == [(SEGMENT, len(segment))]
    with Session() as session:
        session.segment(SEGMENT, memory_file(segment))
        result = session.open(descriptor).read_all()
    assert_same(result, pa.ipc.open_stream(path.with_suffix(".arrows").read_bytes()).read_all())


def test_there_are_golden_files() -> None:
    assert {path.name for path in FOLDER.glob("v1-*")} >= {"v1-types.sipc", "v1-slices.sipc"}

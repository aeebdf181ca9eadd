"""The structs that Python declares are compared with those of the library."""

import ctypes
import json
from pathlib import Path

import pytest
from small_engine import built
from zerrow.worker import abi, ops

PROTOCOL = json.loads((Path(__file__).resolve().parents[2] / "Sources/Protocol/protocol.json").read_text())


@pytest.fixture
def worker_library() -> str:
    """The path of the library that was built."""
    return built("libzerrow_worker.so")


def test_the_library_of_this_build_is_taken(worker_library):
    abi.WorkerLibrary(worker_library)


@pytest.mark.parametrize(
    "fields",
    [
        (("rows", ctypes.c_uint64),),
        (("rows", ctypes.c_uint32), *abi._Counts._fields_[1:]),
        (*abi._Counts._fields_, ("more", ctypes.c_uint64)),
        (*abi._Counts._fields_[:-2], *reversed(abi._Counts._fields_[-2:])),
    ],
    ids=["fewer", "narrower", "more", "another order"],
)
def test_another_layout_is_refused_by_name(worker_library, monkeypatch, fields):
    other = type("Other", (ctypes.Structure,), {"_fields_": fields})
    monkeypatch.setitem(abi._STRUCTS, "zerrow_counts", other)
    with pytest.raises(abi.LibraryError, match="another layout of zerrow_counts"):
        abi.WorkerLibrary(worker_library)


def test_a_struct_that_one_side_lacks_is_refused(worker_library, monkeypatch):
    monkeypatch.delitem(abi._STRUCTS, "zerrow_pages")
    with pytest.raises(abi.LibraryError, match="another layout of zerrow_pages"):
        abi.WorkerLibrary(worker_library)


def test_names_and_limits_are_those_of_the_protocol():
    assert PROTOCOL["limits"]["message_bytes_max"][0] == ops.MESSAGE_BYTES_MAX
    assert tuple(PROTOCOL["counts"]) == ops.COUNTS
    assert tuple(name for name, _ in abi._Counts._fields_[3:]) == ops.COUNTS
    assert tuple(name for name, _ in abi._Pages._fields_) == ops.PAGE_COUNTS

"""Arrow IPC files: read where they lie, or refused in words."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from abi import Engine, Session, ZerrowError
from test_types import assert_same


def write(path: Path, table: pa.Table, **options: object) -> bytes:
    """Write an IPC file; its bytes."""
    with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return path.read_bytes()


def read(path: Path) -> pa.Table:
    """Read it through the library."""
    with path.open("rb") as file, Session() as session:
        return session.open_file(file.fileno()).read_all()


TABLE = pa.table(
    {"a": pa.chunked_array([range(1000), range(5)]), "s": pa.chunked_array([["x"] * 1000, [None, "é", "", "b", "c"]])},
    metadata={"k": "v"},
)


@pytest.mark.parametrize("options", [{}, {"use_legacy_format": True}, {"metadata_version": pa.ipc.MetadataVersion.V4}])
def test_batches_and_metadata_are_kept(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "t.arrow"
    write(path, TABLE, **options)
    assert_same(read(path), TABLE)


def test_buffers_are_the_pages_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    write(path, TABLE)
    table = read(path)
    with open("/proc/self/maps") as lines:
        (place,) = [line.split()[0] for line in lines if str(path) in line]
    low, high = (int(part, 16) for part in place.split("-"))
    buffers = [buffer for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer]
    assert all(low <= buffer.address < high for buffer in buffers)


def test_a_file_as_a_model_s_input_is_copied_when_published(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    write(path, TABLE)
    descriptor, counts = engine.publish(read(path))
    assert counts.bytes == counts.packed, "the file is no segment of the engine"
    assert_same(engine.open(descriptor), TABLE)


def test_compressed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    write(path, TABLE, compression="lz4")
    with pytest.raises(ZerrowError, match="compressed: write it with compression=None"):
        read(path)


def test_delta_dictionaries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), ["a", "b"]),
        pa.DictionaryArray.from_arrays(pa.array([0, 2], pa.int8()), ["a", "b", "c"]),
    ]
    write(path, pa.table({"d": pa.chunked_array(chunks)}), emit_dictionary_deltas=True)
    with pytest.raises(ZerrowError, match="delta"):
        read(path)


def test_a_file_cut_anywhere_or_changed_anywhere_is_an_error_or_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    content = write(path, TABLE.slice(995))
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(ZerrowError, match="IPC file"):
            read(path)
    footer = len(content) - 10 - int.from_bytes(content[-10:-6], "little")
    for index in range(footer, len(content)):
        path.write_bytes(content[:index] + bytes([content[index] ^ 0x55]) + content[index + 1 :])
        try:
            read(path)
        except (ZerrowError, pa.ArrowException, UnicodeDecodeError):
            continue

"""Write the golden files of the current format version. Never run it to change files of a version that was released.

    python tests/sipc/make_golden.py

For each table: the descriptor (.sipc), its one segment of id 7 (.segment), and the same table as pyarrow writes it
(.arrows). ``types`` has a column of every type, ``slices`` two batches of windows that begin in the middle of a byte,
and a dictionary that is replaced.
"""

from __future__ import annotations

import struct

import pyarrow as pa
from abi import ROOT, Engine, content
from columns import COLUMNS
from test_types import NO_STANDARD

FOLDER = ROOT / "Tests/SIPCTests/golden"
SEGMENT = 7
ROWS = 13


def tables() -> dict[str, pa.Table]:
    """The golden tables by name."""
    standard = {name: make(ROWS) for name, make in COLUMNS.items() if name not in NO_STANDARD}
    few = ["int64", "bool", "string", "string_view", "struct_struct", "runs_32", "list_of_dictionary", "sparse_union"]
    chunks = [pa.table({name: COLUMNS[name](ROWS + 8 * i) for name in few}).slice(3 + i, 9) for i in range(2)]
    return {"types": pa.table(standard), "slices": pa.concat_tables(chunks)}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, table in tables().items():
        engine = Engine()
        descriptor, _ = engine.publish(table, bytes_max=1 << 21)
        (fd,) = engine.files.values()
        data = content(fd).rstrip(b"\0")
        data += bytes(-len(data) % 64)
        # The segment is cut after what it holds; its id and size are the first entry of the segment table.
        descriptor = bytearray(descriptor)
        struct.pack_into("<QQ", descriptor, 64, SEGMENT, len(data))
        (FOLDER / f"v1-{name}.sipc").write_bytes(descriptor)
        (FOLDER / f"v1-{name}.segment").write_bytes(data)
        with pa.ipc.new_stream(str(FOLDER / f"v1-{name}.arrows"), table.schema) as writer:
            writer.write_table(table)
        engine.close()


if __name__ == "__main__":
    main()

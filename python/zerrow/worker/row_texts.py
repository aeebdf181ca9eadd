"""Tables as files of rows: CSV as RFC 4180 has it, and JSON lines.

Rows are written as they come, in constant memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.text_columns import joined, json_key, json_texts, may_need_quotes, plain_texts, text

PIECE_ROWS = 1 << 15
_SPECIAL = '[",\r\n]|^$|^ | $'


class Out(Protocol):
    """What bytes are written to."""

    def write(self, content: bytes | memoryview | pa.Buffer, /) -> int | None: ...


def write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch], out: Out) -> None:
    """Write rows as CSV in UTF-8: a line of names, then a line for each row, lines ended by LF.

    A null is nothing, an empty text is `""`. In a table of one column a null is `""` as well, since readers pass over
    empty lines. Raises WorkerFailure for texts that aren't in UTF-8.
    """
    out.write((",".join(_field(name) for name in schema.names) + "\n").encode(errors="replace"))
    null = '""' if len(schema.names) == 1 else ""
    before = [""] + [","] * (len(schema.names) - 1)
    for piece in pieces(batches, PIECE_ROWS):
        if piece.num_columns:
            _write(joined([_quoted(each, null) for each in piece.columns], before, "\n"), out)
        else:
            out.write(b"\n" * piece.num_rows)


def write_json_lines(schema: pa.Schema, batches: Iterable[pa.RecordBatch], out: Out) -> None:
    """Write rows as JSON lines in UTF-8: an object for each row. NaN and infinities are null, as JSON has none.

    Raises WorkerFailure for two columns of one name, and for texts that aren't in UTF-8.
    """
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise WorkerFailure("result", f"two columns are named {twice[0]!r}: an object can have one of them")
    before = [("{" if index == 0 else ",") + json_key(name) + ":" for index, name in enumerate(schema.names)]
    for piece in pieces(batches, PIECE_ROWS):
        if piece.num_columns:
            _write(joined([json_texts(each) for each in piece.columns], before, "}\n"), out)
        else:
            out.write(b"{}\n" * piece.num_rows)


def pieces(batches: Iterable[pa.RecordBatch], rows_max: int) -> Iterator[pa.RecordBatch]:
    """The rows of batches, so many at once at most."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows_max):
            yield batch.slice(start, rows_max)


def _field(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if re.search(_SPECIAL, name) else name


def _quoted(column: pa.Array, null: str) -> pa.Array:
    texts = plain_texts(column)
    is_special = pc.match_substring_regex(texts, _SPECIAL) if may_need_quotes(column.type) else None
    if is_special is None or not pc.any(is_special).as_py():
        return pc.fill_null(texts, text(null))
    quoted = pc.binary_join_element_wise(text('"'), pc.replace_substring(texts, '"', '""'), text('"'), text(""))
    return pc.fill_null(pc.if_else(is_special, quoted, texts), text(null))


def _write(lines: pa.Array, out: Out) -> None:
    """Writes large texts that lie one behind the other in their buffer."""
    _, offsets, content = lines.buffers()
    wide = memoryview(offsets).cast("q")
    out.write(memoryview(content)[wide[lines.offset] : wide[lines.offset + len(lines)]])

"""All rows of a table in a file as text: read and written piece by piece, so that a table of any size can be shown.

    python -m zerrow.worker.rows FILE --format table|csv|json --rows N --width COLUMNS --whole

It runs in a process without any right: what is in the file was made by a stranger's code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TextIO

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure
from zerrow.worker.preview import (
    CELL_CHARACTERS_MAX,
    GAP,
    clip,
    is_right,
    one_line,
    pad,
    shorten,
    text_width,
    type_name,
    value_texts,
)  # fmt: skip
from zerrow.worker.row_texts import pieces, write_csv, write_json_lines

PIECE_ROWS = 1000


def show(reader: pa.RecordBatchReader, out: TextIO, rows: int | None, width: int | None, *, is_whole: bool) -> None:
    """Writes names, types, and the first `rows` rows (None: all), aligned, no line longer than `width` characters.

    With `is_whole` no cell is cut. A column is as wide as its widest cell until then: one that comes later moves what
    stands to its right.
    """
    names = [_cell(name, is_whole) for name in reader.schema.names]
    kinds = [_cell(type_name(kind), is_whole) for kind in reader.schema.types]
    rights = [is_right(kind) for kind in reader.schema.types]
    widths: list[int] = []
    count = shown = 0
    for batch in pieces(reader, PIECE_ROWS):
        count += batch.num_rows
        part = batch if rows is None else batch.slice(0, max(0, rows - shown))
        shown += part.num_rows
        if part.num_rows == 0 and widths:
            continue
        columns = [_texts(column, is_whole) for column in part.columns]
        before = widths or [max(text_width(name), text_width(kind)) for name, kind in zip(names, kinds, strict=True)]
        wide = [max([most, *map(text_width, cells)]) for most, cells in zip(before, columns, strict=True)]
        if not widths:
            _write(out, [names, kinds], wide, rights, width)
        widths = wide
        _write(out, zip(*columns, strict=True), widths, rights, width)
    if not widths:
        _write(
            out, [names, kinds], [max(map(text_width, each)) for each in zip(names, kinds, strict=True)], rights, width
        )
    text = f"{count:,} {'row' if count == 1 else 'rows'}"
    out.write((text if shown == count else f"{text}, the first {shown} shown") + "\n")


def first(reader: pa.RecordBatchReader, rows: int | None) -> Iterator[pa.RecordBatch]:
    """The batches of the first `rows` rows; None: all."""
    left = rows
    for batch in reader:
        if left is None:
            yield batch
            continue
        yield batch.slice(0, left)
        left -= min(left, batch.num_rows)
        if left == 0:
            return


def _texts(column: pa.Array, is_whole: bool) -> list[str]:
    return [_cell(text, is_whole) for text in value_texts(column, None if is_whole else CELL_CHARACTERS_MAX)]


def _cell(text: str, is_whole: bool) -> str:
    return one_line(text) if is_whole else shorten(one_line(text))


def _write(out: TextIO, rows, widths: list[int], rights: list[bool], width: int | None) -> None:
    for row in rows:
        cells = [pad(cell, most, right) for cell, most, right in zip(row, widths, rights, strict=True)]
        out.write(clip(GAP.join(cells).rstrip(), width) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Prints the rows of a file with an Arrow IPC stream."""
    parser = argparse.ArgumentParser(prog="python -m zerrow.worker.rows")
    parser.add_argument("file")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args(arguments)
    with pa.memory_map(options.file) as file, pa.ipc.open_stream(file) as reader:
        if options.format == "table":
            out = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 (it is standard output)
            show(reader, out, options.rows, options.width, is_whole=options.whole)
            out.flush()
            return 0
        with open(1, "wb", closefd=False) as binary:
            write = write_csv if options.format == "csv" else write_json_lines
            try:
                write(reader.schema, first(reader, options.rows), binary)
            except WorkerFailure as failure:
                print(failure, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The first or the last rows of a table as text, for a terminal."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

CELL_CHARACTERS_MAX = 40
GAP = "  "


def preview(table: pa.Table, rows: int, width: int | None = None, *, is_tail: bool = False) -> str:
    """Text of the first `rows` rows, or the last if it `is_tail`: names, types, aligned values, no line
    longer than `width` characters.

    Numbers and times stand to the right. The last lines count the rows and name the columns that do not fit.
    """
    shown = table.slice(max(0, table.num_rows - rows) if is_tail else 0, rows)
    columns, left = [], width
    for name, column in zip(table.column_names, shown.columns, strict=True):
        cells = _cells(name, column)
        taken = max(map(text_width, cells)) + (len(GAP) if columns else 0)
        if columns and left is not None and taken > left:
            break
        columns.append((cells, is_right(column.type)))
        left = None if left is None else left - taken
    lines = []
    for row in range(shown.num_rows + 2):
        cells = [pad(cells[row], max(map(text_width, cells)), right) for cells, right in columns]
        lines.append(clip(GAP.join(cells).rstrip(), width))
    lines += [
        clip(line, width) for line in _footer(table, shown.num_rows, len(columns), "last" if is_tail else "first")
    ]
    return "\n".join(lines)


def _cells(name: str, column: pa.ChunkedArray) -> list[str]:
    return [shorten(one_line(cell)) for cell in (name, type_name(column.type), *value_texts(column))]


def value_texts(column: pa.ChunkedArray | pa.Array, characters_max: int | None = CELL_CHARACTERS_MAX) -> list[str]:
    """The texts of values. Long ones may be cut, but a bit behind `characters_max`; None: never."""
    return [_text(value, characters_max) for value in _values(column)]


def _values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Python values; text where a value has no Python form (a time of nanoseconds, say)."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, ImportError, pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [str(value) for value in column]


def type_name(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        return kind.extension_name
    if kinds.is_dictionary(kind):
        return f"dictionary<{type_name(kind.value_type)}>"
    return str(kind).replace("[day]", "")


def _text(value: Any, characters_max: int | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) >= 1e15 or 0 < abs(value) < 1e-4 else f"{round(value, 4)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value[:characters_max].hex(" ")
    return str(value[: characters_max + 1] if isinstance(value, str) and characters_max is not None else value)


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "␤" if c == "\n" else "·" for c in text)


def shorten(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


def is_right(kind: pa.DataType) -> bool:
    return kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_temporal(kind)


def text_width(text: str) -> int:
    """Columns of a terminal: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int, right: bool) -> str:
    fill = " " * (width - text_width(text))
    return fill + text if right else text + fill


def clip(line: str, width: int | None) -> str:
    if width is None or text_width(line) <= width:
        return line
    while line and text_width(line) > width - 1:
        line = line[:-1]
    return line + "…"


def _footer(table: pa.Table, rows: int, columns: int, end: str) -> list[str]:
    text = f"{table.num_rows:,} {'row' if table.num_rows == 1 else 'rows'}"
    lines = [text + f", the {end} {rows} shown" if rows < table.num_rows else text]
    left = table.num_columns - columns
    if left:
        noun = "column" if left == 1 else "columns"
        lines.append(f"{left} {noun} not shown: {', '.join(map(one_line, table.column_names[columns:]))}")
    return lines

"""The first rows of a table as text, for a terminal."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

CELL_CHARACTERS_MAX = 40
GAP = "  "


def preview(table: pa.Table, rows: int, width: int | None = None) -> str:
    """Text of the first `rows` rows: names, types, aligned values, no line longer than `width` characters.

    Numbers and times stand to the right. The last lines count the rows and name the columns that do not fit.
    """
    shown = table.slice(0, rows)
    columns, left = [], width
    for name, column in zip(table.column_names, shown.columns, strict=True):
        cells = _cells(name, column)
        taken = max(map(_width, cells)) + (len(GAP) if columns else 0)
        if columns and left is not None and taken > left:
            break
        columns.append((cells, _is_right(column.type)))
        left = None if left is None else left - taken
    lines = []
    for row in range(shown.num_rows + 2):
        cells = [_pad(cells[row], max(map(_width, cells)), right) for cells, right in columns]
        lines.append(_clip(GAP.join(cells).rstrip(), width))
    lines += [_clip(line, width) for line in _footer(table, shown.num_rows, len(columns))]
    return "\n".join(lines)


def _cells(name: str, column: pa.ChunkedArray) -> list[str]:
    values = [_text(value) for value in _values(column)]
    return [_shorten(_one_line(cell)) for cell in (name, _type_name(column.type), *values)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; text where a value has no Python form (a time of nanoseconds, say)."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, ImportError, pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [str(value) for value in column]


def _type_name(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        return kind.extension_name
    if kinds.is_dictionary(kind):
        return f"dictionary<{_type_name(kind.value_type)}>"
    return str(kind).replace("[day]", "")


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) >= 1e15 or 0 < abs(value) < 1e-4 else f"{round(value, 4)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value[:CELL_CHARACTERS_MAX].hex(" ")
    return str(value[: CELL_CHARACTERS_MAX + 1] if isinstance(value, str) else value)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "␤" if c == "\n" else "·" for c in text)


def _shorten(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


def _is_right(kind: pa.DataType) -> bool:
    return kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_temporal(kind)


def _width(text: str) -> int:
    """Columns of a terminal: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, right: bool) -> str:
    fill = " " * (width - _width(text))
    return fill + text if right else text + fill


def _clip(line: str, width: int | None) -> str:
    if width is None or _width(line) <= width:
        return line
    while line and _width(line) > width - 1:
        line = line[:-1]
    return line + "…"


def _footer(table: pa.Table, rows: int, columns: int) -> list[str]:
    text = f"{table.num_rows:,} {'row' if table.num_rows == 1 else 'rows'}"
    lines = [text + f", the first {rows} shown" if rows < table.num_rows else text]
    left = table.num_columns - columns
    if left:
        noun = "column" if left == 1 else "columns"
        lines.append(f"{left} {noun} not shown: {', '.join(map(_one_line, table.column_names[columns:]))}")
    return lines

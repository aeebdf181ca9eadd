"""Runs and tables as HTML for notebooks: static, without scripts, in colours that hold on dark and on light pages.

Names, lines and cells are anybody's text: all are escaped, and cut where they are long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from zerrow.client.call import Call
    from zerrow.client.run import ModelState, Run

_COLOURS = {
    "success": "#2e9e5b",
    "cached": "#3d85c6",
    "running": "#c99a1e",
    "failed": "#d2504b",
    "skipped": "#8c8c8c",
    "cancelled": "#8c8c8c",
    "unneeded": "#8c8c8c",
}
_GREY = "#8c8c8c"
_CELL_CHARACTERS_MAX = 60
_ROWS_SHOWN = 5
_COLUMNS_SHOWN = 30
_MODELS_SHOWN = 200
_MODELS_DRAWN = 60
_LINES_SHOWN = 200
_STYLE = "font-family:ui-monospace,monospace;font-size:12px;line-height:1.4"


def run_html(run: Run) -> str:
    """A run: what came of it, its graph, and a table of its models; failures first."""
    states = list(run.states.values())
    colour = _COLOURS.get(run.status, _GREY)
    title = f"Run {run.job_id or ''}: {run.status} in {run.wall_ms:,.0f} ms"
    parts = [f'<div style="{_STYLE}"><b style="color:{colour}">{escape(title)}</b>']
    parts += [f'<pre style="color:{_COLOURS["failed"]};margin:4px 0">{_cut(error, 4000)}</pre>' for error in run.errors]
    if 1 < len(states) <= _MODELS_DRAWN:
        parts.append(graph_svg(states))
    parts.append(_models_table(states))
    return "".join([*parts, "</div>"])


def tables_html(rows: Mapping[str, int], states: Mapping[str, ModelState]) -> str:
    """The names of tables, with their sizes."""
    lines = [
        (name, f"{count:,}", _bytes(states[name].bytes if name in states else None)) for name, count in rows.items()
    ]
    return f'<div style="{_STYLE}">{_table(("table", "rows", "bytes"), lines)}</div>'


def progress_html(call: Call, seconds: float) -> str:
    """How far a run is."""
    ended = sum(1 for state in call.states.values() if state != "running")
    running = [name for name, state in call.states.items() if state == "running"]
    share = ended / call.model_count if call.model_count else 0
    bar = (
        f'<div style="background:{_GREY}44;width:240px;height:6px;display:inline-block">'
        f'<div style="background:{_COLOURS["success"]};width:{240 * share:.0f}px;height:6px"></div></div>'
    )
    doing = f"running {', '.join(running[:5])}" if running else "reading the project" if not call.model_count else ""
    counted = f"{ended} of {call.model_count} models" if call.model_count else ""
    text = " · ".join(filter(None, [counted, _cut(doing, 200), f"{seconds:.0f} s"]))
    return f'<div style="{_STYLE}">{bar} {text}{_lines(call)}</div>'


def log_html(call: Call) -> str:
    """What models printed, once the run is over; nothing where they did not."""
    lines = _lines(call)
    return f'<div style="{_STYLE}">{lines}</div>' if lines else ""


def _lines(call: Call) -> str:
    """The last lines of each model."""
    texts = [
        f"{escape(model)} │ {_cut(line, 500)}"
        for model, lines in list(call.lines.items())[:_MODELS_SHOWN]
        for line in list(lines)[-_LINES_SHOWN // max(1, len(call.lines)) :]
    ]
    return f'<pre style="margin:4px 0">{"<br>".join(texts[-_LINES_SHOWN:])}</pre>' if texts else ""


def _models_table(states: Sequence[ModelState]) -> str:
    ordered = sorted(states, key=lambda state: state.status != "failed")
    rows = []
    for state in ordered[:_MODELS_SHOWN]:
        travel = {name: count for name, count in (state.travel or {}).items() if count}
        rows.append(
            (
                state.name,
                state.status,
                "" if state.rows is None else f"{state.rows:,}",
                _bytes(state.bytes),
                ", ".join(f"{name.replace('_', ' ')} {_bytes(count)}" for name, count in travel.items()),
                "" if state.wall_ms is None else f"{state.wall_ms:,.0f} ms",
                _bytes(state.memory_bytes_max),
            )
        )
    table = _table(("model", "status", "rows", "bytes", "how they travelled", "time", "memory peak"), rows)
    left = len(states) - len(rows)
    return table + (f"<div>and {left:,} more models</div>" if left > 0 else "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(tag: str, texts: Sequence[str]) -> str:
        style = "text-align:left;padding:1px 8px;white-space:pre"
        return "".join(f'<{tag} style="{style}">{_cut(text)}</{tag}>' for text in texts)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', heads)}</tr></thead>"
    return f'<table style="border-collapse:collapse;{_STYLE}">{head}<tbody>{body}</tbody></table>'


def graph_svg(states: Sequence[ModelState]) -> str:
    """The graph of a run's models, from left to right, each in a layer behind those that it reads."""
    known = {state.name: state for state in states}
    layers: dict[str, int] = {}
    for state in states:  # in a topological order
        layers[state.name] = 1 + max((layers.get(name, 0) for name in state.inputs), default=-1)
    columns: dict[int, list[str]] = {}
    for name, layer in layers.items():
        columns.setdefault(layer, []).append(name)
    _sort_by_neighbours(columns, known)
    width, height, gap_x, gap_y = 150, 26, 40, 12
    places = {
        name: (layer * (width + gap_x) + 4, row * (height + gap_y) + 4)
        for layer, names in columns.items()
        for row, name in enumerate(names)
    }
    parts = []
    for state in states:
        x, y = places[state.name]
        for name in state.inputs:
            if name not in places:
                continue
            from_x, from_y = places[name][0] + width, places[name][1] + height / 2
            middle = (from_x + x) / 2
            to_y = y + height / 2
            parts.append(
                f'<path d="M{from_x},{from_y}C{middle},{from_y} {middle},{to_y} {x},{to_y}" '
                f'fill="none" stroke="{_GREY}"/>'
            )
    for state in states:
        x, y = places[state.name]
        colour = _COLOURS.get(state.status, _GREY)
        about = state.name if state.rows is None else f"{state.name}: {state.rows:,} rows"
        parts.append(
            f"<g><title>{escape(about)}, {escape(state.status)}</title>"
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{colour}33" stroke="{colour}"/>'
            f'<text x="{x + 8}" y="{y + 17}" font-size="11" fill="currentColor">{_cut(state.name, 20)}</text></g>'
        )
    total_x = (max(columns) + 1) * (width + gap_x) + 8
    total_y = max(map(len, columns.values())) * (height + gap_y) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_x}" height="{total_y}" role="img" '
        f'style="display:block;max-width:100%">{"".join(parts)}</svg>'
    )


def _sort_by_neighbours(columns: dict[int, list[str]], states: Mapping[str, ModelState]) -> None:
    """Put each model near those that it reads, which leaves few crossings."""
    for layer in sorted(columns)[1:]:
        rows = {name: row for each in range(layer) for row, name in enumerate(columns.get(each, []))}

        def middle(name: str, rows: Mapping[str, int] = rows) -> float:
            found = [rows[read] for read in states[name].inputs if read in rows]
            return sum(found) / len(found) if found else 0

        columns[layer].sort(key=middle)


def table_html(table: pa.Table) -> str:
    """The first and the last rows of a table, with types and sizes. Reads nothing else."""
    names = table.schema.names[:_COLUMNS_SHOWN]
    heads = [f"{name}\n{table.schema.field(index).type}" for index, name in enumerate(names)]
    is_long = table.num_rows > 2 * _ROWS_SHOWN
    first = table.slice(0, _ROWS_SHOWN if is_long else 2 * _ROWS_SHOWN)
    rows = _rows(first, len(names))
    if is_long:
        rows += [["…"] * len(names), *_rows(table.slice(table.num_rows - _ROWS_SHOWN), len(names))]
    left = table.num_columns - len(names)
    more = f", of which {left} are not shown" if left > 0 else ""
    about = f"{table.num_rows:,} rows, {table.num_columns} columns{more}, {_bytes(table.nbytes)}"
    return f'<div style="{_STYLE}">{_table(heads, rows)}<div>{about}</div></div>'


def _rows(table: pa.Table, count: int) -> list[list[str]]:
    columns = [[_cell(value) for value in table.column(index)] for index in range(count)]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: Any) -> str:
    try:
        python = value.as_py()
    except (ValueError, OverflowError, ArithmeticError):
        return str(value)  # A date that Python has not, for one.
    return "null" if python is None else str(python)


def _cut(text: str, most: int = _CELL_CHARACTERS_MAX) -> str:
    """A text, escaped, and no longer than it may be."""
    shown = "".join(character if character.isprintable() or character == "\n" else "·" for character in text[:most])
    return escape(shown) + ("…" if len(text) > most else "")


def _bytes(count: int | None) -> str:
    if count is None:
        return ""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return ""


def register(shell: Any) -> None:
    """Have tables of pyarrow, which have no HTML of their own, shown like this in a notebook, unless something does."""
    import pyarrow

    formatter = shell.display_formatter.formatters["text/html"]
    if not hasattr(pyarrow.Table, "_repr_html_"):
        try:
            formatter.lookup_by_type(pyarrow.Table)
        except KeyError:
            formatter.for_type(pyarrow.Table, table_html)

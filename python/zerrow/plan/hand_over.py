"""The project's code that workers are handed: the very statements that the keys were made of, compiled.

It is one text of bytes for all models of a plan, of which each model's task names the places that are its own.
"""

from __future__ import annotations

import json
import marshal
import struct
import warnings
from dataclasses import dataclass
from typing import Any

from zerrow import pieces
from zerrow.plan.code import Code
from zerrow.plan.code_file import CodeFile

Range = tuple[int, int]


@dataclass
class _Layout:
    """Where a file's parts are: the pieces that all models need lie one behind the other."""

    source: Range
    optional: Range
    pieces: list[tuple[int | None, Range]] | None
    """In the file's order; the index of optional ones. None where the file doesn't compile."""


class HandOver:
    """Collects the code of models; each file and each piece of it is there once."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._layouts: dict[str, _Layout] = {}

    def modules(self, code: Code) -> list[dict[str, Any]]:
        """The modules of one model as its task names them, its own first."""
        found = []
        for index, (name, file) in enumerate(code.modules):
            layout = self._layout(file)
            kept = code.kept if index == 0 else None
            module = {"name": name, "file": file.name, "source": layout.source, "pieces": None}
            if kept is not None and len(kept) < len(file.optional):
                module |= {"optional": layout.optional, "kept": kept}
            if layout.pieces is not None:
                needed = [at for number, at in layout.pieces if number is None or kept is None or number in kept]
                module["pieces"] = _joined(needed)
            found.append(module)
        return found

    def _layout(self, file: CodeFile) -> _Layout:
        if file.name not in self._layouts:
            source = self._add(file.source)
            optional = self._add(json.dumps(sorted(file.optional)).encode())
            self._layouts[file.name] = _Layout(source, optional, self._pieces(file))
        return self._layouts[file.name]

    def _pieces(self, file: CodeFile) -> list[tuple[int | None, Range]] | None:
        if file.tree is None:
            return None
        compiled: list[tuple[int | None, bytes]] = []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for index, statements in pieces.split(file.tree.body, file.optional):
                    code = marshal.dumps(pieces.compile_piece(file.tree, statements, file.path))
                    compiled.append((index, struct.pack("<I", len(code)) + code))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None  # the worker will say so
        places: dict[int, Range] = {}
        order = sorted(range(len(compiled)), key=lambda number: compiled[number][0] is not None)
        for number in order:
            places[number] = self._add(compiled[number][1])
        return [(index, places[number]) for number, (index, _) in enumerate(compiled)]

    def _add(self, content: bytes) -> Range:
        start = len(self.content)
        self.content += content
        return start, len(self.content)


def _joined(ranges: list[Range]) -> list[Range]:
    """The ranges in their order, neighbours as one."""
    joined: list[Range] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined

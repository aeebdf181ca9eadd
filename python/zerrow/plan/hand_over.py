"""The project's code that workers are handed: the very statements that the keys were made of, compiled.

It is one text of bytes for all models of a plan, of which each model's task names the places that are its own.
"""

from __future__ import annotations

import json
import marshal
import struct
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from zerrow import pieces
from zerrow.plan.code import Code
from zerrow.plan.code_file import CodeFile
from zerrow.plan.needs import Runs, within

Range = tuple[int, int]


@dataclass
class _Layout:
    """Where a file's parts are."""

    source: Range
    optional: Range
    pieces: _Pieces | None
    """None where the file doesn't compile."""


class _Pieces:
    """Where the pieces of a file are: first those that all models need, one behind the other, then the optional ones.

    So the pieces of a model lie in few ranges, however many there are.
    """

    def __init__(self, content: bytearray, compiled: list[tuple[int | None, bytes]]) -> None:
        """Adds the pieces to `content`; they come in the file's order, optional ones with their index."""
        self._others: list[int] = []
        self._optional: list[int] = []
        self._before: list[int] = []
        """For each optional piece, how many of the others come before it."""
        self._turns: list[int] = []
        """The numbers of optional pieces that others come right before."""
        for index, code in compiled:
            if index is None:
                self._others.append(len(content))
                content += code
        self._others.append(len(content))
        others = 0
        for index, code in compiled:
            if index is None:
                others += 1
                continue
            if not self._before or others > self._before[-1]:
                self._turns.append(len(self._before))
            self._before.append(others)
            self._optional.append(len(content))
            content += code
        self._optional.append(len(content))

    def of(self, kept: Runs | None) -> list[Range]:
        """The ranges of the pieces of a model, in the file's order."""
        found: list[Range] = []
        others = 0
        for start, end in ((0, len(self._before)),) if kept is None else kept:
            turns = [start, *within(self._turns, ((start + 1, end),)), end]
            for first, last in pairwise(turns):
                if first == last:
                    continue
                before = self._before[first]
                found.append((self._others[others], self._others[before]))
                found.append((self._optional[first], self._optional[last]))
                others = before
        found.append((self._others[others], self._others[-1]))
        return _joined(found)


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
            if kept is not None and kept != file.all:
                module |= {"optional": layout.optional, "kept": kept}
            if layout.pieces is not None:
                module["pieces"] = layout.pieces.of(kept)
            found.append(module)
        return found

    def _layout(self, file: CodeFile) -> _Layout:
        if file.name not in self._layouts:
            source = self._add(file.source)
            body = [] if file.tree is None else file.tree.body
            lines = [pieces.lines_of(body[place]) for place in file.places]
            optional = self._add(json.dumps(lines).encode())
            self._layouts[file.name] = _Layout(source, optional, self._pieces(file))
        return self._layouts[file.name]

    def _pieces(self, file: CodeFile) -> _Pieces | None:
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
        return _Pieces(self.content, compiled)

    def _add(self, content: bytes) -> Range:
        start = len(self.content)
        self.content += content
        return start, len(self.content)


def _joined(ranges: list[Range]) -> list[Range]:
    """The ranges in their order that have something in them, neighbours as one."""
    joined: list[Range] = []
    for start, end in ranges:
        if start == end:
            continue
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined

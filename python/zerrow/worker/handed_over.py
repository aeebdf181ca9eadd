"""The code that the planner handed over: the project's modules, without a look at their files.

The planner's hand_over.py writes it. Everything is taken out when it is wanted, and not before.
"""

from __future__ import annotations

import json
import marshal
import os
import struct
from collections.abc import Iterator, Sequence
from importlib.util import decode_source
from types import CodeType
from typing import Any

from zerrow import pieces


class Module:
    """One module of the project, or a file of it that nobody handed over."""

    def __init__(self, content: memoryview, said: dict[str, Any], folder: str, is_compiled_for_us: bool) -> None:
        """`said` is the entry of the task about it."""
        self.name: str = said["name"]
        self.path = os.path.join(folder, said["file"])
        self._content = content
        self._said = said
        self._is_compiled = is_compiled_for_us and said["pieces"] is not None

    @property
    def source(self) -> bytes:
        """The bytes of the file when the run was planned."""
        return bytes(self._part(self._said["source"]))

    def text(self) -> str:
        """The same as Python reads it."""
        return decode_source(self.source)

    def codes(self) -> Iterator[CodeType]:
        """The code to run, piece by piece. Raises what compile() raises, where the planner could not compile it for
        us."""
        if not self._is_compiled:
            optional = json.loads(bytes(self._part(self._said["optional"]))) if "optional" in self._said else ()
            yield pieces.compile_kept(self.source, self.path, optional, self._said.get("kept", ()))
            return
        for start, end in self._said["pieces"]:
            while start < end:
                (length,) = struct.unpack_from("<I", self._content, start)
                yield marshal.loads(self._content[start + 4 : start + 4 + length])
                start += 4 + length

    def _part(self, place: Sequence[int]) -> memoryview:
        return self._content[place[0] : place[1]]


def modules(task: dict[str, Any], content: memoryview | None) -> list[Module]:
    """The modules of a task, its model's own first; none where nothing was handed over."""
    if content is None or "modules" not in task:
        return []
    is_ours = task.get("compiled_for") == pieces.COMPILED_FOR
    return [Module(content, said, task["folder"], is_ours) for said in task["modules"]]


class Lines(Sequence[str]):
    """The lines of a module for tracebacks, which are rare: taken apart when somebody looks at them."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._lines: list[str] | None = None

    def _all(self) -> list[str]:
        if self._lines is None:
            try:
                text = self._module.text()
            except (SyntaxError, UnicodeDecodeError):
                text = self._module.source.decode("latin-1")
            self._lines = [line + "\n" for line in text.removesuffix("\n").split("\n")]
        return self._lines

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

"""Conditions and names in the SQL of a scan: whatever a script hands over stays where it is put."""

from __future__ import annotations

import re

from bauplan.exceptions import InvalidFilterError

_PIECE = re.compile(r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<mark>--|/\*|\*/|[;()'"\0])|(?P<word>\w+)""")

_NOT_IN_CONDITIONS = ("except", "intersect", "union")
_FIRST_WORDS = ("from", "select", "values", "with")


def quoted(name: str) -> str:
    """A name in SQL, whatever letters it has."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{name!r} is no name")
    return '"' + name.replace('"', '""') + '"'


def check_filter(text: str) -> None:
    """Refuse what is no condition by itself: what would end the condition it is put into, or begin something else.

    Whether it means anything is the engine's to say.
    """
    if not isinstance(text, str):
        raise TypeError(f"filters is a text of SQL, not {type(text).__name__}")
    depth = 0
    words: list[tuple[int, str]] = []
    for piece in _PIECE.finditer(text):
        mark = piece["mark"]
        if mark in ("(", ")"):
            depth += 1 if mark == "(" else -1
        elif mark:
            _refuse(text, f"{mark!r} has no place in it")
        elif piece["word"]:
            words.append((depth, piece["word"].lower()))
        if depth < 0:
            _refuse(text, "a bracket ends that was not begun")
    if depth:
        _refuse(text, "a bracket does not end")
    if not text.strip():
        _refuse(text, "it is empty")
    # Inside brackets there may be a query of its own.
    wrong = next((word for level, word in words if level == 0 and word in _NOT_IN_CONDITIONS), None)
    if wrong or (words and words[0][0] == 0 and words[0][1] in _FIRST_WORDS):
        _refuse(text, f"{(wrong or words[0][1]).upper()} is no part of a condition")


def _refuse(text: str, reason: str) -> None:
    raise InvalidFilterError(f"Invalid SQL filter {text!r}: {reason}")

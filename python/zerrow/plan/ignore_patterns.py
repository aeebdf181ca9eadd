"""The patterns of .gitignore files: which names they mean, entry by entry, as for git (gitignore(5), its wildmatch.c).

Libraries for it tell whether a file is ignored at last, by having a pattern match all that lies below what it names; a
walk that enters no ignored folder asks whether the pattern means this entry itself. `!*/`, with which lists begin that
say what is not ignored, differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": r" \t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": r"\x21-\x7e", "lower": "a-z", "print": r"\x20-\x7e", "punct": r"!-/:-@\[-`{-~", "space": r"\s",
    "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip


class Pattern(NamedTuple):
    """One line: whether what it means is ignored, or not after all; if only folders are meant; if whole paths count."""

    ignores: bool
    is_for_folders: bool
    is_anchored: bool
    regex: re.Pattern[str]


class IgnorePatterns:
    """The patterns of one file, of which the last that means an entry decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._patterns = [pattern for pattern in map(_pattern, lines) if pattern is not None]
        self._patterns.reverse()

    def says(self, name: str, is_folder: bool) -> bool | None:
        """Whether an entry is ignored, by its name relative to the file's folder; None where nothing is said of it."""
        base = name.rpartition("/")[2]
        for ignores, is_for_folders, is_anchored, regex in self._patterns:
            if (is_folder or not is_for_folders) and regex.fullmatch(name if is_anchored else base):
                return ignores
        return None

    def __bool__(self) -> bool:
        return bool(self._patterns)


def _pattern(line: str) -> Pattern | None:
    """A line's pattern; None for one that means nothing."""
    text = line.rstrip("\r")
    stripped = text.rstrip(" ")
    # A space at the end that is escaped belongs to the name.
    if stripped != text and (len(stripped) - len(stripped.rstrip("\\"))) % 2:
        stripped += " "
    text = stripped
    if not text or text[0] == "#":
        return None
    ignores = text[0] != "!"
    text = text if ignores else text[1:]
    is_for_folders = text.endswith("/")
    text = text[:-1] if is_for_folders else text
    is_anchored = "/" in text
    text = text.removeprefix("/")
    regex = _regex(text) if text else None
    return None if regex is None else Pattern(ignores, is_for_folders, is_anchored, regex)


def _regex(text: str) -> re.Pattern[str] | None:
    """What matches the names that a pattern means; None where it means none."""
    parts, at = [], 0
    while at < len(text):
        letter = text[at]
        if letter == "*":
            end = at
            while end < len(text) and text[end] == "*":
                end += 1
            is_alone = (at == 0 or text[at - 1] == "/") and (end == len(text) or text[end] == "/")
            if end - at == 2 and is_alone and "/" in text:
                # `**/` stands for any folders, none too; `/**` at the end for all that lies there.
                parts.append("(?:[^/]+/)*" if end < len(text) else ".+")
                at = end + 1
                continue
            parts.append("[^/]*")
            at = end
        elif letter == "?":
            parts.append("[^/]")
            at += 1
        elif letter == "[":
            found = _brackets(text, at)
            if found is None:
                return None
            part, at = found
            parts.append(part)
        elif letter == "\\":
            if at + 1 == len(text):
                return None
            parts.append(re.escape(text[at + 1]))
            at += 2
        else:
            parts.append(re.escape(letter))
            at += 1
    return re.compile("".join(parts), re.DOTALL)


def _brackets(text: str, at: int) -> tuple[str, int] | None:
    """A set of letters that begins there, and where it ends; None for one that doesn't end."""
    at += 1
    is_negated = at < len(text) and text[at] in "!^"
    at += is_negated
    parts: list[str] = []
    first = at
    while at < len(text) and (text[at] != "]" or at == first):
        if text.startswith("[:", at):
            end = text.find(":]", at)
            name = text[at + 2 : end] if end > 0 else ""
            if name not in _CLASSES:
                return None
            parts.append(_CLASSES[name])
            at = end + 2
            continue
        low, at = _letter(text, at)
        high = low
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]"):
            high, at = _letter(text, at + 1)
        if low is None or high is None:
            return None
        if low <= high:
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(text):
        return None
    content = "".join(parts)
    if not content:
        return ("[^/]" if is_negated else "(?!)"), at + 1
    return (f"[^{content}/]" if is_negated else f"(?!/)[{content}]"), at + 1


def _letter(text: str, at: int) -> tuple[str | None, int]:
    if text[at] == "\\":
        at += 1
    return (text[at], at + 1) if at < len(text) else (None, at)

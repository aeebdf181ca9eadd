"""The patterns of .gitignore files: which names they mean, entry by entry, as for git (gitignore(5), its wildmatch.c).

Libraries for it tell whether a file is ignored at last, by having a pattern match all that lies below what it names; a
walk that enters no ignored folder asks whether the pattern means this entry itself. `!*/`, with which lists begin that
say what is not ignored, differs.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": r" \t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": r"\x21-\x7e", "lower": "a-z", "print": r"\x20-\x7e", "punct": r"!-/:-@\[-`{-~", "space": r"\s",
    "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip

_STAR = "*"
_LETTERS_MAX = 4096
"""A pattern that asks for more letters means nothing: no path has so many."""


class Pattern(NamedTuple):
    """One line: whether what it means is ignored, or not after all; if only folders are meant; if whole paths count."""

    ignores: bool
    is_for_folders: bool
    is_anchored: bool
    regex: re.Pattern[str]


class IgnorePatterns:
    """The patterns of one file, of which the last that means an entry decides."""

    def __init__(self, lines: Iterable[str], ignores_case: bool = False) -> None:
        # Only letters of ASCII have two cases to git.
        flags = re.DOTALL | re.ASCII | (re.IGNORECASE if ignores_case else 0)
        self._patterns = [pattern for line in lines if (pattern := _pattern(line, flags)) is not None]
        self._patterns.reverse()

    def says(self, name: str, is_folder: bool) -> bool | None:
        """Whether an entry is ignored, by its name relative to the file's folder; None where nothing is said of it."""
        name = _bytewise(name)
        base = name.rpartition("/")[2]
        for ignores, is_for_folders, is_anchored, regex in self._patterns:
            if (is_folder or not is_for_folders) and regex.fullmatch(name if is_anchored else base):
                return ignores
        return None

    def __bool__(self) -> bool:
        return bool(self._patterns)


def _bytewise(text: str) -> str:
    """A text with a letter for each of its bytes, which are what git matches."""
    if text.isascii():
        return text
    try:
        return os.fsencode(text).decode("latin-1")
    except UnicodeEncodeError:
        # A project file can hold what is no text; no name is like it.
        return text.encode(errors="surrogatepass").decode("latin-1")


def _pattern(line: str, flags: int) -> Pattern | None:
    """A line's pattern; None for one that means nothing."""
    text = _bytewise(line).rstrip("\r")
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
    regex = _regex(text, is_anchored, flags) if text else None
    return None if regex is None else Pattern(ignores, is_for_folders, is_anchored, regex)


def _regex(text: str, is_anchored: bool, flags: int) -> re.Pattern[str] | None:
    """What matches the names that a pattern means; None where it means none."""
    segments: list[list[str] | None] = [[]]
    at = letters_count = _plain_length(text) if is_anchored else 0
    plain = text[:at]
    while at < len(text):
        segment = segments[-1]
        letters_count += text[at] != "*" and segment is not None
        if letters_count > _LETTERS_MAX:
            return None
        if text[at] == "/":
            segments.append([])
            at += 1
        elif text[at] == "*":
            end = at
            while end < len(text) and text[end] == "*":
                end += 1
            if end - at > 1 and not segment and (end == len(text) or text.startswith(("/", "\\/"), end)):
                segments[-1] = None
                if text[end : end + 1] == "\\":
                    segments.append([_STAR])  # before a slash that is escaped there has to be a folder
            else:
                segment.append(_STAR)
            at = end
        elif text[at] == "\\" and text[at + 1 : at + 2] == "/":
            at += 1
        else:
            found = _one(text, at)
            if found is None:
                return None
            segment.append(found[0])
            at = found[1]
    return re.compile(re.escape(plain) + _path(segments), flags)


def _plain_length(text: str) -> int:
    """The length of the plain text before a `**` that is not alone, as in `a/b**/c`, and 0 where there is none.

    Git compares that text by itself, and takes what follows for a pattern of its own, which the `**` begins.
    """
    found = re.match(r"([^*?\[\\]*)\*\*+(?=/|\\/|\Z)", text)
    return len(found[1]) if found is not None else 0


def _one(text: str, at: int) -> tuple[str, int] | None:
    """What stands for one letter of a name, as a regular expression, and where it ends; None for what has no end."""
    if text[at] == "[":
        return _brackets(text, at)
    if text[at] == "?":
        return "[^/]", at + 1
    at += text[at] == "\\"
    return (re.escape(text[at]), at + 1) if at < len(text) else None


def _path(segments: list[list[str] | None]) -> str:
    """The regular expression for segments between slashes; None among them stands for any folders, and for none."""
    groups = itertools.count()
    blocks: list[list[str]] = [[]]
    for number, segment in enumerate(segments):
        if segment is not None:
            blocks[-1].append(_segment(segment, groups))
        elif number == 0 or segments[number - 1] is not None:
            blocks.append([])
    parts = ["/".join(block) + "/" if block else "" for block in blocks]
    whole = parts[0]
    for part in parts[1:-1]:
        whole += _first_fit(f"(?:[^/]*/)*?{part}", groups)
    if len(parts) > 1:
        # At the end they stand for all that lies there.
        whole += f"(?:[^/]*/)*{parts[-1]}" if parts[-1] else ".*/"
    return whole.removesuffix("/")


def _segment(segment: list[str], groups: Iterator[int]) -> str:
    """The regular expression for what lies between two slashes."""
    runs = [""]
    for part in segment:
        if part == _STAR:
            runs.append("")
        else:
            runs[-1] += part
    between = (_first_fit(f"[^/]*?{run}", groups) for run in runs[1:-1])
    return runs[0] + "".join(between) + (f"[^/]*{runs[-1]}" if len(runs) > 1 else "")


def _first_fit(regex: str, groups: Iterator[int]) -> str:
    """What matches as the expression does first, and tries nothing else when what follows doesn't match.

    Up to a later star the first fit is as good as any other. Trying all of them takes time that doubles with each star.
    """
    group = f"g{next(groups)}"
    return f"(?=(?P<{group}>{regex}))(?P={group})"


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

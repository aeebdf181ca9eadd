"""Columns that folders' names give, as Hive lays tables out: `year=2024/month=02/…`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

NULL = "__HIVE_DEFAULT_PARTITION__"
TYPES = {
    "int": "int64",
    "float": "float",
    "str": "string",
    "string": "string",
    "bool": "bool",
    "date": "date",
    "timestamp": "timestamp",
}
"""The types that a project file may give such a column, as tasks name them."""

_INTEGER = re.compile(r"-?[0-9]+|0[xX][0-9a-fA-F]{1,7}")


def find_partitions(folders: Iterable[tuple[str, ...]], given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The columns that the folders of each file give, as a task has them: `{"year":{"type":"int32","texts":[…]}}`.

    A text is null where a file's folders don't give the column, or give it as null. `given` types come first; else it
    is an integer's where all texts are integers, and a string's.
    """
    read: dict[tuple[str, ...], dict[str, str | None]] = {}
    files = []
    for each in folders:
        if each not in read:
            read[each] = _values(each)
        files.append(read[each])
    names = dict.fromkeys(name for values in read.values() for name in values)
    columns = {}
    for name in names:
        texts = [values.get(name) for values in files]
        columns[name] = {"type": TYPES[given[name]] if name in given else _type(set(texts)), "texts": texts}
    return columns


def _values(folders: tuple[str, ...]) -> dict[str, str | None]:
    """The values in the names of some folders, one in the other; the outermost one counts."""
    found: dict[str, str | None] = {}
    for folder in folders:
        key, equals, text = folder.partition("=")
        key = _decoded(key)
        if equals and key and key not in found:
            found[key] = None if text == NULL else _decoded(text)
    return found


def _decoded(text: str) -> str:
    """The text with %20 and the like decoded; as it is where that gives no text."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def _type(texts: set[str | None]) -> str:
    known = [text for text in texts if text is not None]
    if not known or not all(_INTEGER.fullmatch(text) for text in known):
        return "string"
    numbers = [int(text, 16 if text[:2] in ("0x", "0X") else 10) for text in known if len(text) < 4000]
    if len(numbers) < len(known) or max(abs(number) for number in numbers) >= 1 << 63:
        return "string"
    return "int32" if max(abs(number) for number in numbers) < 1 << 31 else "int64"

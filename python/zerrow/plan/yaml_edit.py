"""Changing a mapping in a YAML text and nothing else of it: the rest stays as it was written, byte for byte.

The text is parsed for the places of its nodes; the change is one of the text. What comes out is parsed again, and
refused if it says anything but what was wanted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from zerrow.plan.yaml_text import compose

Scalar = str | int | float | bool
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


class CantEdit(Exception):
    """A text is written in a way that isn't changed here; the message says which, `line` where."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line


def scalar_text(value: Scalar) -> str:
    """A value as YAML, on one line, good in lists and mappings of any form."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    style = '"' if isinstance(value, str) else None
    text = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=1 << 30)
    return text.removesuffix("...\n").rstrip("\n")


def set_entry(text: str, path: tuple[str, ...], keys: Mapping[str, Scalar | None]) -> str:
    """The text with the mapping at `path` having these keys; None: without. What is missing on the way is made."""
    wanted = _loaded(text)
    place = wanted
    for name in path:
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    for key, value in keys.items():
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value
    edited = _Text(text).set(path, keys)
    return _checked(edited, wanted)


def remove_entry(text: str, path: tuple[str, ...]) -> str:
    """The text without what is at `path`, which is there."""
    wanted = _loaded(text)
    place = wanted
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    edited = _Text(text).remove(path)
    return _checked(edited, wanted, empty=path[:-1])


def _loaded(text: str) -> dict:
    if yaml.compose(text, Loader=yaml.SafeLoader) is None:
        return {}
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise CantEdit("it is no mapping")
    return data


def _checked(edited: str, wanted: dict, empty: tuple[str, ...] = ()) -> str:
    try:
        # The planner's parser is another one than this one, which knows the places.
        compose(edited.removeprefix("\ufeff"))
        found = _loaded(edited)
    except (yaml.YAMLError, ValueError) as error:
        raise CantEdit(f"it is written in a way that can't be changed safely: {error}") from None
    place = wanted
    for name in empty:
        # A mapping that has lost its last entry has no value.
        if not place[name]:
            place[name] = None
            break
        place = place[name]
    # As texts: to Python 1, 1.0 and True are equal.
    if repr(found) != repr(wanted) and repr(_without_empty(found)) != repr(_without_empty(wanted)):
        raise CantEdit("it is written in a way that can't be changed safely")
    return edited


def _without_empty(data: object) -> object:
    if isinstance(data, dict):
        return {key: _without_empty(value) for key, value in sorted(data.items(), key=str) if value not in (None, {})}
    return data


class _Text:
    def __init__(self, text: str) -> None:
        self.text = text
        self.bom = 1 if text.startswith("\ufeff") else 0
        self.newline = "\r\n" if "\r\n" in text else "\n"
        compose(text[self.bom :])  # bounds it
        self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        if self.root is not None and not isinstance(self.root, yaml.MappingNode):
            raise CantEdit("it is no mapping", self.root.start_mark.line + 1)

    # MARK: set

    def set(self, path: tuple[str, ...], keys: Mapping[str, Scalar | None]) -> str:
        node = self.root
        for depth, name in enumerate(path):
            if node is None:
                return self._append_to_document(path, keys)
            entry = _entry(node, name)
            if entry is None:
                return self._add(node, name, path[depth + 1 :], keys)
            if not isinstance(entry[1], yaml.MappingNode) or not entry[1].value:
                return self._fill(entry, path[depth + 1 :], keys)
            node = entry[1]
        return self._append_to_document((), keys) if node is None else self._change(node, keys)

    def _change(self, node: yaml.MappingNode, keys: Mapping[str, Scalar | None]) -> str:
        if node.flow_style:
            entries = {key.value: self._slice(value) for key, value in node.value}
            names = {key.value: self._slice(key) for key, _ in node.value}
            for key, value in keys.items():
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = scalar_text(value)
            inner = ", ".join(f"{names.get(key, scalar_text(key))}: {value}" for key, value in entries.items())
            return self._replaced(self._start(node), self._end(node), "{" + inner + "}")
        text = self.text
        for key, value in keys.items():
            entry = _entry(node, key)
            if entry is None and value is not None:
                text = self._insert_line(node, [f"{scalar_text(key)}: {scalar_text(value)}"])
            elif entry is not None and value is None:
                text = self._without_lines(entry)
            elif entry is not None and value is not None:
                if not isinstance(entry[1], yaml.ScalarNode):
                    raise CantEdit(f"{key!r} is no single value", entry[0].start_mark.line + 1)
                if yaml.SafeLoader("").construct_object(entry[1]) == value and _is_same_kind(entry[1], value):
                    continue
                text = self._with_scalar(entry, scalar_text(value))
            else:
                continue
            rest = {each: keys[each] for each in list(keys)[list(keys).index(key) + 1 :]}
            return _Text(text)._again(self._path_of(node), rest)
        return text

    def _path_of(self, node: yaml.Node) -> tuple[str, ...]:
        def find(place: yaml.Node, path: tuple[str, ...]) -> tuple[str, ...] | None:
            if place is node:
                return path
            for key, value in place.value if isinstance(place, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode) and (found := find(value, (*path, key.value))) is not None:
                    return found
            return None

        return find(self.root, ()) or ()

    def _again(self, path: tuple[str, ...], keys: Mapping[str, Scalar | None]) -> str:
        return self.set(path, keys) if keys else self.text

    def _with_scalar(self, entry: tuple[yaml.Node, yaml.Node], text: str) -> str:
        key, value = entry
        if value.style in ("|", ">"):
            raise CantEdit("a value is written over several lines", key.start_mark.line + 1)
        start, end = self._start(value), self._end(value)
        if start == end:  # nothing is written there
            return self._replaced(start, end, (" " if self.text[start - 1] == ":" else "") + text)
        return self._replaced(start, end, text)

    def _fill(self, entry: tuple[yaml.Node, yaml.Node], path: tuple[str, ...], keys) -> str:
        """Gives a key whose value is empty a mapping."""
        key, value = entry
        if not (isinstance(value, yaml.MappingNode) or (isinstance(value, yaml.ScalarNode) and _is_null(value))):
            raise CantEdit(f"{key.value!r} is no mapping", key.start_mark.line + 1)
        text, start, end = self.text, self._start(value), self._end(value)
        if self._column(key) != _indent(text, self._start(key)):
            # It is written inside of braces.
            if start == end:
                raise CantEdit(f"{key.value!r} has no value", key.start_mark.line + 1)
            return self._replaced(start, end, "{" + _flow(path, keys) + "}")
        if start != end:
            # `{}` or `null`: what stands behind it on the line, a comment, stays.
            before = text[:start].rstrip(" ")
            text = before + text[end:]
            end = len(before)
        line_end = text.find("\n", max(end, self._end(key)))
        text = text + self.newline if line_end < 0 else text
        line_end = len(text) if line_end < 0 else line_end + 1
        lines = _nested(path, keys, self._column(key) + 2)
        return text[:line_end] + "".join(line + self.newline for line in lines) + text[line_end:]

    def _add(self, node: yaml.MappingNode, name: str, path: tuple[str, ...], keys) -> str:
        if node.flow_style:
            inner = _flow((name, *path), keys)
            end = self._end(node) - 1
            before = self.text[:end].rstrip()
            comma = "" if before.endswith("{") else " " if before.endswith(",") else ", "
            return before + comma + inner + self.text[end:]
        return self._insert_line(node, _nested((name, *path), keys, 0))

    def _insert_line(self, node: yaml.MappingNode, lines: list[str]) -> str:
        """Adds lines behind the last entry of a mapping in block style."""
        indent = " " * self._column(node.value[0][0])
        text, place = self.text, self._behind(node.value[-1])
        if place > 0 and text[place - 1] != "\n":
            text, place = text + self.newline, len(text) + len(self.newline)
        return text[:place] + "".join(indent + line + self.newline for line in lines) + text[place:]

    def _append_to_document(self, path: tuple[str, ...], keys) -> str:
        text = self.text + ("" if not self.text or self.text.endswith("\n") else self.newline)
        return text + "".join(line + self.newline for line in _nested(path, keys, 0))

    # MARK: remove

    def remove(self, path: tuple[str, ...]) -> str:
        node = self.root
        for name in path[:-1]:
            node = _entry(node, name)[1]
        entry = _entry(node, path[-1])
        if node.flow_style:
            pairs = [f"{self._slice(key)}: {self._slice(value)}" for key, value in node.value if key is not entry[0]]
            return self._replaced(self._start(node), self._end(node), "{" + ", ".join(pairs) + "}")
        return self._without_lines(entry)

    def _without_lines(self, entry: tuple[yaml.Node, yaml.Node]) -> str:
        start = self.text.rfind("\n", 0, self._start(entry[0])) + 1
        if self.text[start : self._start(entry[0])].strip(" \ufeff"):
            raise CantEdit("it doesn't begin its line", entry[0].start_mark.line + 1)
        return self._replaced(start, self._behind(entry), "")

    # MARK: places

    def _start(self, node: yaml.Node) -> int:
        return node.start_mark.index

    def _end(self, node: yaml.Node) -> int:
        return node.end_mark.index

    def _column(self, node: yaml.Node) -> int:
        return node.start_mark.column - (self.bom if node.start_mark.line == 0 else 0)

    def _slice(self, node: yaml.Node) -> str:
        return self.text[self._start(node) : self._end(node)] or "null"

    def _replaced(self, start: int, end: int, text: str) -> str:
        return self.text[:start] + text + self.text[end:]

    def _behind(self, entry: tuple[yaml.Node, yaml.Node]) -> int:
        """The beginning of the line behind an entry's last word; a block's node ends behind the comments after it."""
        last: yaml.Node = entry[1]
        while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
            item = last.value[-1]
            last = item[1] if isinstance(item, tuple) else item
        end = self._end(last)
        if self._start(last) == end:  # an empty value: behind its key
            end = max(end, self._end(entry[0])) if last is entry[1] else end
            end = self._last_word(end)
        if isinstance(last, yaml.ScalarNode) and last.style in ("|", ">"):
            if end == 0 or self.text[end - 1] == "\n":
                return end
            end = self._last_word(end)
            return end if self.text[end - 1] == "\n" else self._line_end(end)
        return self._line_end(end)

    def _last_word(self, end: int) -> int:
        return len(self.text[:end].rstrip(" "))

    def _line_end(self, end: int) -> int:
        found = self.text.find("\n", end)
        return len(self.text) if found < 0 else found + 1


def _entry(node: yaml.Node, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value == name:
            return key, value
    return None


def _is_null(node: yaml.ScalarNode) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _is_same_kind(node: yaml.ScalarNode, value: Scalar) -> bool:
    kinds = {"bool": bool, "int": int, "float": float, "str": str}
    return kinds.get(node.tag.rpartition(":")[2]) is type(value)


def _indent(text: str, place: int) -> int:
    start = text.rfind("\n", 0, place) + 1
    line = text[start:place].lstrip("\ufeff")
    return len(line) if not line.strip(" ") else -1


def _nested(path: tuple[str, ...], keys: Mapping[str, Scalar | None], indent: int) -> list[str]:
    """Lines in block style for keys below a path."""
    lines = [" " * (indent + 2 * depth) + f"{scalar_text(name)}:" for depth, name in enumerate(path)]
    inner = indent + 2 * len(path)
    return lines + [
        " " * inner + f"{scalar_text(key)}: {scalar_text(value)}" for key, value in keys.items() if value is not None
    ]


def _flow(path: tuple[str, ...], keys: Mapping[str, Scalar | None]) -> str:
    inner = ", ".join(f"{scalar_text(key)}: {scalar_text(value)}" for key, value in keys.items() if value is not None)
    if not path:
        return inner
    for name in reversed(path[1:]):
        inner = f"{scalar_text(name)}: {{{inner}}}"
    return f"{scalar_text(path[0])}: {{{inner}}}"

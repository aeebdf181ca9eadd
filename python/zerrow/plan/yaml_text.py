"""The project file's YAML as nodes: bounded before anything is made of it, and without aliases."""

from __future__ import annotations

import yaml

DEPTH_MAX = 32
"""Mappings and lists in each other; a project file needs four."""
NODES_MAX = 100_000
_PLAIN_LENGTH_MAX = 1000
"""A longer one without quotes is a text, whatever it looks like."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(Exception):
    """YAML that is more than a project file needs; `line` is where."""

    def __init__(self, why: str, line: int, hint: str) -> None:
        super().__init__(why)
        self.line = line
        self.hint = hint


def compose(text: str) -> yaml.Node | None:
    """The root node. Raises Refused, or yaml.YAMLError for what is no YAML."""
    depth = nodes = 0
    # Events come one by one, so a text that is too deep is never read to its end.
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise Refused(
                f"it has an alias, *{event.anchor}, and aliases are not read",
                _line(event),
                "write the value itself in its place",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > DEPTH_MAX:
            raise Refused(f"it has more than {DEPTH_MAX} levels", _line(event), "nest less")
        if nodes > NODES_MAX:
            raise Refused(f"it has more than {NODES_MAX} values", _line(event), "write less into it")
    return yaml.compose(text, Loader=_Loader)


def value(node: yaml.Node) -> object:
    """The plain value of a node: safe tags only, anything else counts as None."""
    # Texts that look like numbers are numbers, and long ones take time in the square of their length.
    if isinstance(node, yaml.ScalarNode) and node.style is None and len(node.value) > _PLAIN_LENGTH_MAX:
        return node.value
    loader = _Loader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError):
        return None  # 2024-99-99 looks like a date, and is none
    finally:
        loader.dispose()


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1

"""Filters on what other models give, for readers in environments of their own.

A filter means what DataFusion makes of it, and only the default environment is sure to have that. So a model of the
engine's own applies it there, between the two: it is called `trips#filter`, and readers of the same rows share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Facts = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""The facts about keeping what an argument, as a task has it, takes of a planned model."""


def with_filter_nodes(planned: list[dict[str, Any]], default: str, facts: Facts) -> list[dict[str, Any]]:
    """The models of a plan, in their order, with such models before their first readers, which filter nothing then.

    `default` is the id of the environment that has DataFusion.
    """
    entries = {entry["name"]: entry for entry in planned}
    nodes: dict[tuple[str, str], dict[str, Any]] = {}
    result = []
    for entry in planned:
        if entry["environment"] != default:
            for argument in entry["task"].get("arguments", ()):
                if argument.get("filter") is None:
                    continue
                name = entry["inputs"][argument["input"]]
                place = (name, argument["filter"]["sql"])
                if place not in nodes:
                    count = sum(table == name for table, _ in nodes)
                    nodes[place] = _node(entry, argument, name, count, default)
                    result.append(nodes[place])
                _take_columns(nodes[place], argument["columns"])
                entry["inputs"][argument["input"]] = nodes[place]["name"]
                argument["filter"] = None
        result.append(entry)
    for node in nodes.values():
        # Only now it is known which columns it gives.
        (name,), (argument,) = node["inputs"], node["task"]["arguments"]
        node |= facts(entries[name], argument)
    return result


def _node(reader: dict[str, Any], argument: dict[str, Any], name: str, count: int, default: str) -> dict[str, Any]:
    """The model that filters the table of that name; there are `count` of that table already."""
    task = {"kind": "filter", "arguments": [{**argument, "name": "table", "input": 0, "columns": []}]}
    return {
        "name": f"{name}#filter{count + 1 if count else ''}",
        "kind": "filter",
        "environment": default,
        "inputs": [name],
        "network": False,
        "memory_bytes_max": None,
        "timeout_s": None,
        "final": False,
        "file": reader["file"],
        "line": reader["line"],
        "task": task,
    }


def _take_columns(node: dict[str, Any], columns: list[str] | None) -> None:
    """Has a model give a reader's columns too; None stands for all."""
    (argument,) = node["task"]["arguments"]
    if columns is None or argument["columns"] is None:
        argument["columns"] = None
    else:
        argument["columns"] = list(dict.fromkeys([*argument["columns"], *columns]))

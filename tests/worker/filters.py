"""Filters as the planner makes them."""

from __future__ import annotations

from typing import Any

from zerrow.plan.filter import read_filter


def filter_of(sql: str, **kinds: str) -> dict[str, Any]:
    """The filter of a task on a table `t` with columns of these kinds."""
    return read_filter(sql, {}, kinds or None, "t").as_json()

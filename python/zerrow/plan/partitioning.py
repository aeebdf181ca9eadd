"""What `partitioned_by` says: columns, or what is made of their values, by which the rows of a table go into files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

TRANSFORMS = ("year", "month", "day", "hour")
_CALL = re.compile(r"(?P<function>[A-Za-z_]\w*)\s*\((?P<arguments>.*)\)\s*\Z", re.DOTALL)
_NAME = re.compile(r"\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'|(?P<plain>[^\s\"'(),]+)")
_EXAMPLE = 'write columns, or YEAR(c), MONTH(c), DAY(c), HOUR(c), TRUNCATE(4, c), as in ["country", "DAY(ts)"]'


@dataclass(frozen=True)
class Partition:
    """A column of a table's partitions, and the transform of its values: identity, year, month, day, hour or
    truncate, which has a width."""

    column: str
    transform: str = "identity"
    width: int | None = None

    def __str__(self) -> str:
        """As a project writes it."""
        if self.transform == "identity":
            return self.column
        width = "" if self.width is None else f"{self.width}, "
        return f"{self.transform.upper()}({width}{self.column})"

    def as_json(self) -> dict[str, Any]:
        """The partition in the form that tasks and the catalog have."""
        width = {} if self.width is None else {"width": self.width}
        return {"column": self.column, "transform": self.transform, **width}


class PartitionError(ValueError):
    """A text that says no partition; `hint` says what would."""

    hint = _EXAMPLE


def read_partition(text: str) -> Partition:
    """The partition that a text says. Raises PartitionError."""
    call = _CALL.match(text.strip())
    if call is None:
        return Partition(_column(text, text))
    function = call["function"].lower()
    arguments = [part.strip() for part in call["arguments"].split(",")]
    if function in TRANSFORMS and len(arguments) == 1:
        return Partition(_column(arguments[0], text), function)
    if function == "truncate" and len(arguments) == 2:
        # Iceberg's documents have the width first, Spark's have it last.
        width, column = arguments if arguments[0].isdecimal() else arguments[::-1]
        if width.isdecimal() and 0 < int(width) < 1 << 31:
            return Partition(_column(column, text), function, int(width))
    raise PartitionError(f"{text!r} is no way to partition")


def read_partitions(texts: tuple[str, ...]) -> tuple[Partition, ...]:
    """The partitions that some texts say. Raises PartitionError."""
    found = tuple(read_partition(text) for text in texts)
    twice = [each for each in found if found.count(each) > 1]
    if twice:
        raise PartitionError(f"{twice[0].column!r} partitions twice in the same way")
    return found


def _column(text: str, whole: str) -> str:
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise PartitionError(f"{whole!r} is no way to partition")
    return found["double"] or found["single"] or found["plain"]

"""Names of models, tables, columns and keys: which are allowed, and which one was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAME_LENGTH_MAX = 128
_PARTS_MAX = 2

# Words that no SQL model could use as a table's name without quotes.
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        all and any as asc between by case cast create cross delete desc distinct drop else end except
        exists false for from full group having in inner insert intersect into is join lateral left like
        limit natural not null offset on or order outer right select set some table then true union unique
        update using values when where window with
        """,
    )
)


def name_problem(name: str, *, may_need_quotes: bool = False) -> str | None:
    """Why `name` can't be the name of a model or a table; None if it can."""
    if not _NAME.match(name):
        return f"{name!r} is not a name: use letters, digits and underscores, and no digit first"
    if len(name) > _NAME_LENGTH_MAX:
        return f"the name {name[:20]!r}… is longer than {_NAME_LENGTH_MAX} characters"
    if not may_need_quotes and name.lower() in _RESERVED:
        return f"{name!r} is a word of SQL, so SQL models could not read a table of that name"
    return None


def table_name_problem(name: str, *, may_need_quotes: bool = False) -> str | None:
    """The same for the name of a model or a source, which may have its namespace before it: `shop.sales`."""
    parts = name.split(".")
    if len(parts) > _PARTS_MAX:
        return (
            f"{name!r} has {len(parts)} parts: a table's name is its own with a namespace before it, as in shop.sales"
        )
    problems = (name_problem(part, may_need_quotes=may_need_quotes) for part in parts)
    return next(filter(None, problems), None)


def namespace_of(name: str) -> str | None:
    """The namespace that a table's name begins with; None for a bare name."""
    return name.rpartition(".")[0] or None


def is_text(name: str) -> bool:
    """Whether a name that the file system gave is UTF-8: no other can be written in a plan."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, without regard to case; None when nothing is much like it."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest one, or else what there is."""
    candidates = list(candidates)
    close = nearest(name, candidates)
    if close is not None:
        return f"did you mean {close!r}?"
    if not candidates:
        return f"there are no {what}"
    shown = ", ".join(sorted(candidates)[:12])
    return f"{what}: {shown}" + ("…" if len(candidates) > 12 else "")

"""The functions of a file's models that each of them needs: those that its text names, what these name, and so on.

Statements are numbered, and numbers are kept as runs: where models name each other in a chain, each needs all that
stand above it, and one run says so. So neither finding them nor hashing them costs the square of the file's length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

Runs = tuple[tuple[int, int], ...]
"""Numbers in their order: first ones, each with the one behind the last; no two runs touch."""


class Needs:
    """Which statements of those that define functions each function needs. Made once for a file."""

    def __init__(self, names: Sequence[str], named: Sequence[frozenset[str]], always: frozenset[str]) -> None:
        """Statement number n defines the function `names[n]`, and `named[n]` has the words that may name others.

        `always` has the words of all other statements of the file: what they name, every function needs.
        """
        own: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            own.setdefault(name, []).append(number)
        self._numbers = {name: number for number, name in enumerate(own)}
        below: list[list[int]] = []
        for numbers in own.values():
            words = named[numbers[0]].union(*(named[number] for number in numbers[1:]))
            below.append(self._named(words))
        self._found = _closures([_runs(numbers) for numbers in own.values()], below)
        self._always = union(self._found[number] for number in self._named(always))

    def _named(self, words: frozenset[str]) -> list[int]:
        return [self._numbers[word] for word in words & self._numbers.keys()]

    def of(self, function: str) -> Runs:
        """The numbers of the statements that a function needs, with its own."""
        number = self._numbers.get(function)
        return self._always if number is None else union((self._always, self._found[number]))


def union(parts: Iterable[Runs]) -> Runs:
    """The numbers that are in at least one of the parts."""
    several = [part for part in parts if part]
    if len(several) < 2:
        return several[0] if several else ()
    joined: list[tuple[int, int]] = []
    for start, end in sorted({run for part in several for run in part}):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def within(numbers: Sequence[int], runs: Runs) -> Iterable[int]:
    """Those of some numbers, which are sorted, that are in the runs."""
    for start, end in runs:
        yield from numbers[bisect_left(numbers, start) : bisect_left(numbers, end)]


def _runs(numbers: Sequence[int]) -> Runs:
    return union(((number, number + 1),) for number in numbers)


def _closures(own: Sequence[Runs], below: Sequence[Sequence[int]]) -> list[Runs]:
    """The runs of each node and of all that can be reached from it.

    Nodes that reach each other have the same: they are found together, after all that they reach (Tarjan's algorithm,
    with a stack of its own, as chains are longer than Python's).
    """
    found: list[Runs] = [()] * len(own)
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    is_open: dict[int, None] = {}
    for root in range(len(own)):
        path = [] if root in order else [(root, iter(below[root]))]
        while path:
            node, rest = path[-1]
            if node not in order:
                order[node] = lowest[node] = len(order)
                is_open[node] = None
            following = next(rest, None)
            if following is None:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == order[node]:
                    _close(node, is_open, own, below, found)
            elif following not in order:
                path.append((following, iter(below[following])))
            elif following in is_open:
                lowest[node] = min(lowest[node], order[following])
    return found


def _close(
    first: int, is_open: dict[int, None], own: Sequence[Runs], below: Sequence[Sequence[int]], found: list[Runs]
) -> None:
    """Notes what the nodes reach that were opened since `first` was: they all reach each other."""
    members: list[int] = []
    while first in is_open:
        members.append(is_open.popitem()[0])
    # What none of them is has its runs already; their own have none yet.
    reached = {found[other] for member in members for other in below[member]}
    runs = union((*(own[member] for member in members), *reached))
    for member in members:
        found[member] = runs

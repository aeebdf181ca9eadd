"""What functions need of each other: the numbers that a plain walk finds, as few runs."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from zerrow.plan.needs import Needs, Runs, union, within


def numbers(runs: Runs) -> list[int]:
    return [number for start, end in runs for number in range(start, end)]


def walked(names: list[str], named: list[frozenset[str]], always: frozenset[str], function: str) -> list[int]:
    found: set[int] = set()
    pending = [function, *always]
    while pending:
        name = pending.pop()
        for number, each in enumerate(names):
            if each == name and number not in found:
                found.add(number)
                pending += named[number]
    return sorted(found)


@pytest.mark.parametrize("seed", range(200))
def test_needs_are_what_a_walk_from_the_function_finds(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randint(1, 30)
    # Some names are defined twice, some nowhere, and some functions name each other in circles.
    names = [f"f{chance.randrange(count)}" for _ in range(count)]
    words = [*(f"f{number}" for number in range(count + 3)), "other", "words"]
    named = [frozenset(chance.sample(words, chance.randint(0, min(3, len(words))))) for _ in range(count)]
    always = frozenset(chance.sample(words, chance.choice((0, 0, 1, 3))))
    needs = Needs(names, named, always)
    for function in {*names, "nobody"}:
        runs = needs.of(function)
        assert numbers(runs) == walked(names, named, always, function), f"seed {seed}, {function}"
        assert all(start < end for start, end in runs)
        assert all(end < start for (_, end), (start, _) in pairwise(runs))


def test_chains_are_longer_than_pythons_stack() -> None:
    count = 20_000
    names = [f"f{number}" for number in range(count)]
    needs = Needs(names, [frozenset({f"f{number + 1}"}) for number in range(count)], frozenset())
    assert needs.of("f0") == ((0, count),) and needs.of(f"f{count - 2}") == ((count - 2, count),)


@pytest.mark.parametrize("seed", range(50))
def test_runs_are_sets_of_numbers(seed: int) -> None:
    chance = random.Random(seed)
    sets = [set(chance.sample(range(20), chance.randint(0, 9))) for _ in range(3)]
    parts = [union(((number, number + 1),) for number in each) for each in sets]
    assert numbers(union(parts)) == sorted(set().union(*sets)), f"seed {seed}"
    assert list(within(sorted(sets[0]), parts[1])) == sorted(sets[0] & sets[1]), f"seed {seed}"

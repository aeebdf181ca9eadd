"""Selectors: which models a run is for, in dbt's words.

A selector is a text of terms. Terms with spaces between them are joined, terms with commas between them narrow each
other: `tag:daily,file:sales/* +report`. A term names models: `orders`, `stg_*`, `tag:daily`, `file:sales.py`,
`kind:sql`, `namespace:raw`, `source:events` (the models that read the source). With `+` before it all that these need
is meant too, with `+` behind it all that needs them; `2+orders` goes two steps, `@orders` means all that needs orders,
and all that these need.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from zerrow.plan.declarations import Declaration, PythonModel, SqlModel, tables_read
from zerrow.plan.names import did_you_mean, namespace_of

METHODS = ("name", "tag", "file", "path", "kind", "namespace", "source", "fqn", "resource_type")
"""`path`, `fqn` and `resource_type` are dbt's words for `file`, `name` and `kind`."""
_TERM = re.compile(r"(?P<all>@)?(?P<up>\d*\+)?(?P<words>.+?)(?P<down>\+\d*)?\Z", re.DOTALL)
_KINDS = {"python": PythonModel, "sql": SqlModel}


class SelectorError(Exception):
    """A selector that can't be understood, or names nothing; `hint` says what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Selected:
    """The names of the models that a run is for, and of those among them that the selectors name themselves."""

    names: frozenset[str]
    named: frozenset[str] = frozenset()


@dataclass
class Selection:
    """The models of a project that selectors can name. `sources` are the names of its sources."""

    models: Mapping[str, Declaration]
    sources: Set[str]
    namespace: str

    def select(self, selectors: Iterable[str], excluded: Iterable[str] = ()) -> Selected:
        """What the selectors mean, all if there are none, but for what is excluded.

        Raises SelectorError for one that means nothing: a mistyped name must not look like a run with nothing to do.
        """
        wanted = list(selectors)
        chosen, named = self._union(wanted) if wanted else (set(self.models), set())
        chosen -= self._union(excluded)[0]
        if not chosen:
            raise SelectorError("the selectors leave no model", "widen --select, or narrow --exclude")
        return Selected(frozenset(chosen), frozenset(chosen & named))

    def _union(self, selectors: Iterable[str]) -> tuple[set[str], set[str]]:
        """All that is meant, and what of it is named itself."""
        found: set[str] = set()
        named: set[str] = set()
        for selector in selectors:
            groups = selector.split()
            if not groups:
                raise SelectorError("a selector is empty", "name a model, as in --select orders")
            for group in groups:
                terms = group.split(",")
                if not all(terms):
                    raise SelectorError(f"{group!r} has a comma with nothing beside it", "write tag:a,tag:b")
                sets = [self._term(term) for term in terms]
                both = set.intersection(*(meant for meant, _ in sets))
                found |= both
                named |= both.intersection(*(own for _, own in sets))
        return found, named

    def _term(self, term: str) -> tuple[set[str], set[str]]:
        found = _TERM.match(term)
        if found is None or found["words"] in ("+", "@"):
            raise SelectorError(f"{term!r} is no selector", "write orders, +orders, orders+ or tag:daily")
        if found["all"] and (found["up"] or found["down"]):
            raise SelectorError(
                f"{term!r} has both @ and +", "@orders means all that needs orders, with what that needs"
            )
        named = self._named(found["words"], term)
        if found["all"]:
            below = self._walk(named, self._readers(), None)
            return below | self._walk(below, self._read(), None), named
        result = set(named)
        if found["up"]:
            result |= self._walk(named, self._read(), _steps(found["up"]))
        if found["down"]:
            result |= self._walk(named, self._readers(), _steps(found["down"]))
        return result, named

    def _named(self, words: str, term: str) -> set[str]:
        method, colon, value = words.partition(":")
        if not colon:
            method, value = "name", words
        if method not in METHODS:
            raise SelectorError(f"no selector begins with {method!r}", did_you_mean(method, METHODS, "selectors"))
        if not value:
            raise SelectorError(f"{term!r} says nothing behind its colon", f"write {method}:…")
        match method:
            case "name" | "fqn":
                found = self._by_name(value)
            case "tag":
                found = {name for name, model in self.models.items() if _matches(value, model.tags)}
            case "file" | "path":
                found = {name for name, model in self.models.items() if _is_below(model.file, value)}
            case "kind" | "resource_type":
                found = {name for name, model in self.models.items() if _is_of_kind(model, value)}
            case "namespace":
                found = {name for name in self.models if _matches(value, [namespace_of(name) or self.namespace])}
            case _:
                found = {
                    name
                    for name, model in self.models.items()
                    if _matches(value, self.sources & tables_read(model).keys())
                }
        if not found:
            raise SelectorError(f"{term!r} means no model", self._hint(method, value))
        return found

    def _by_name(self, value: str) -> set[str]:
        if value in self.models:
            return {value}
        full = [name for name in self.models if f"{self.namespace}.{name}" == value]
        return set(full) or {name for name in self.models if fnmatch.fnmatchcase(name, value)}

    def _hint(self, method: str, value: str) -> str:
        match method:
            case "tag":
                known = sorted({tag for model in self.models.values() for tag in model.tags})
                return did_you_mean(value, known, "tags") if known else "no model has tags: @zerrow.model(tags=[…])"
            case "file" | "path":
                return did_you_mean(value, sorted({model.file for model in self.models.values()}), "files")
            case "kind" | "resource_type":
                return did_you_mean(value, ("python", "sql", "expectation"), "kinds")
            case "source":
                return did_you_mean(value, sorted(self.sources), "sources")
            case "namespace":
                known = sorted({namespace_of(name) or self.namespace for name in self.models})
                return did_you_mean(value, known, "namespaces")
        return did_you_mean(value, list(self.models), "models")

    def _read(self) -> dict[str, set[str]]:
        """The models that each model reads."""
        return {name: self.models.keys() & tables_read(model).keys() for name, model in self.models.items()}

    def _readers(self) -> dict[str, set[str]]:
        """The models that read each model."""
        readers: dict[str, set[str]] = {name: set() for name in self.models}
        for name, read in self._read().items():
            for each in read:
                readers[each].add(name)
        return readers

    @staticmethod
    def _walk(start: set[str], edges: Mapping[str, set[str]], steps_max: int | None) -> set[str]:
        """All that can be reached in so many steps; None: any. The start is among it."""
        found, last, steps = set(start), set(start), 0
        while last and (steps_max is None or steps < steps_max):
            last = {each for name in last for each in edges[name]} - found
            found |= last
            steps += 1
        return found


def _steps(plus: str) -> int | None:
    digits = plus.strip("+")
    return int(digits) if digits else None


def _matches(pattern: str, texts: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for text in texts)


def _is_below(file: str, pattern: str) -> bool:
    """Whether a file is that of the pattern, or in its folder."""
    pattern = pattern.removeprefix("./").rstrip("/")
    return fnmatch.fnmatchcase(file, pattern) or fnmatch.fnmatchcase(file, f"{pattern}/*")


def _is_of_kind(model: Declaration, kind: str) -> bool:
    is_expectation = isinstance(model, PythonModel) and model.is_expectation
    if kind in ("expectation", "test"):
        return is_expectation
    if kind == "model":
        return not is_expectation
    return kind in _KINDS and isinstance(model, _KINDS[kind]) and not is_expectation

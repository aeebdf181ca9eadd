"""The statements that run: when modules are imported, and when a model's function is called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zerrow.plan.code_file import Statement


class Reach:
    """The statements, among some, that run when their modules are imported, and those that define names which these
    use.

    What holds for many models is found once, and stands below what more there is for each: a layer has its own
    statements and those of the layers below. Where names can be made up, every statement is reached.
    """

    def __init__(
        self, statements: Iterable[Statement], below: Reach | None = None, function: str | None = None
    ) -> None:
        """`function` is called too."""
        self._below = below
        self._reached: set[int] = set()
        self._words: set[str] = set()
        self._waiting: dict[str, list[Statement]] = {}
        self._has_all = below is not None and below._has_all
        pending: list[Statement] = []
        for each in statements:
            names = each.gives or ((each.optional,) if each.optional else ())
            if not names or function in names or (below is not None and below._names_any(names)):
                pending.append(each)
            for name in names:
                self._waiting.setdefault(name, []).append(each)
        if function is not None:
            pending += [each for layer in self._layers() for each in layer._waiting.get(function, ())]
        while pending and not self._has_all:
            pending += self._run(pending.pop())

    def has(self, statement: Statement) -> bool:
        """Whether the statement is reached."""
        return self._has_all or any(id(statement) in layer._reached for layer in self._layers())

    def _layers(self) -> Iterator[Reach]:
        layer: Reach | None = self
        while layer is not None:
            yield layer
            layer = layer._below

    def _names_any(self, names: Iterable[str]) -> bool:
        return any(not layer._words.isdisjoint(names) for layer in self._layers())

    def _run(self, statement: Statement) -> list[Statement]:
        """Reaches a statement; gives those that define what it names, where nothing of this layer has named it yet."""
        if self.has(statement):
            return []
        self._reached.add(id(statement))
        self._has_all = self._has_all or statement.looks_up
        new = statement.names - self._words
        self._words |= new
        return [
            each for layer in self._layers() for name in new & layer._waiting.keys() for each in layer._waiting[name]
        ]

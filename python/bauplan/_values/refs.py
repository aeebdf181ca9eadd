"""Refs: names of states of a catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bauplan._values.words import RefType

MAIN = "main"
"""The one branch."""

NO_COMMIT = "0" * 64
"""The hash of a branch that keeps no history: it stands for the tables as they are now."""


@dataclass(frozen=True)
class Ref:
    """A name of a state of the catalog; as a text it is `name@hash`."""

    name: str
    hash: str = NO_COMMIT

    type: ClassVar[RefType] = RefType.DETACHED

    def __str__(self) -> str:
        return f"{self.name}@{self.hash}"


@dataclass(frozen=True)
class Branch(Ref):
    """A branch of the catalog. In a `with` statement it is there until the end of its block."""

    type: ClassVar[RefType] = RefType.BRANCH

    def __str__(self) -> str:
        return super().__str__()

    def __enter__(self) -> Branch:
        return self

    def __exit__(self, *_: object) -> None:
        # The one branch there is is nobody's to delete.
        return None


@dataclass(frozen=True)
class Tag(Ref):
    """A name that somebody gave to a state of the catalog."""

    type: ClassVar[RefType] = RefType.TAG

    def __str__(self) -> str:
        return super().__str__()


@dataclass(frozen=True)
class DetachedRef(Ref):
    """A state of the catalog that has no name."""

    type: ClassVar[RefType] = RefType.DETACHED

    def __str__(self) -> str:
        return super().__str__()

"""Commits of a catalog: zerrow keeps no history of its tables yet, so there are none; annotations name these."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bauplan._values.refs import Ref


@dataclass(frozen=True)
class Actor:
    """Who made a commit."""

    name: str
    email: str | None = None


@dataclass(frozen=True)
class Commit:
    """A state of the catalog, and who made it."""

    ref: Ref
    message: str | None
    author: Actor | None
    committer: Actor
    authored_date: datetime
    committed_date: datetime
    parent_ref: Ref
    parent_hashes: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    signed_off_by: list[Actor] = field(default_factory=list)

    @property
    def authors(self) -> list[Actor]:
        """Who wrote it."""
        return [self.author] if self.author else []

    @property
    def subject(self) -> str | None:
        """The first line of the message."""
        return self.message.partition("\n")[0] if self.message else None

    @property
    def body(self) -> str | None:
        """The message without its first line."""
        return self.message.partition("\n")[2].strip() or None if self.message else None

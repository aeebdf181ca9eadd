"""The handlers that modules have registered for forks, as far as a zygote's forks need them.

A zygote forks by libc's fork() and not by os.fork(), which does much in each worker that is for processes with several
threads: it makes anew the locks which another thread may have held. A zygote has one thread, so the copy is as good as
what it was copied from. What other modules than Python's own ask for is done, and forks by models are os.fork's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

_FOR_THREADS = {"threading", "logging", "concurrent.futures.thread", "random"}
"""Modules whose handlers make locks anew, or, random's, what process.draw_own_numbers does."""

Handler = Callable[[], object]


class ForkHandlers:
    """What os.register_at_fork was given since this was made."""

    def __init__(self) -> None:
        self._before: list[Handler] = []
        self._in_parent: list[Handler] = []
        self._in_child: list[Handler] = []
        self._register = os.register_at_fork
        os.register_at_fork = self._note  # type: ignore[assignment]

    def stop(self) -> None:
        """Note no more: what is registered from now on is not the zygote's."""
        os.register_at_fork = self._register

    def before(self) -> None:
        """To be called before each fork."""
        _call(reversed(self._before))

    def after_in_parent(self) -> None:
        """To be called in the zygote after each fork."""
        _call(self._in_parent)

    def after_in_child(self) -> None:
        """To be called in each worker once it is forked."""
        _call(self._in_child)

    def _note(
        self,
        *,
        before: Handler | None = None,
        after_in_child: Handler | None = None,
        after_in_parent: Handler | None = None,
    ) -> None:
        given = {"before": before, "after_in_child": after_in_child, "after_in_parent": after_in_parent}
        self._register(**{name: handler for name, handler in given.items() if handler is not None})
        if sys._getframe(1).f_globals.get("__name__") in _FOR_THREADS:
            return
        for handlers, handler in (
            (self._before, before),
            (self._in_child, after_in_child),
            (self._in_parent, after_in_parent),
        ):
            if handler is not None:
                handlers.append(handler)


def _call(handlers: Iterable[Handler]) -> None:
    for handler in handlers:
        try:
            handler()
        except Exception as error:  # as os.fork does: one that fails stops nothing
            print(f"a handler for forks has failed: {type(error).__name__}: {error}", file=sys.stderr)

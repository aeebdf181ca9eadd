"""An older name of the package `bauplan`."""

from __future__ import annotations

import bauplan
from bauplan import standard_expectations, store
from zerrow import *  # noqa: F403

__all__ = bauplan.__all__


def __getattr__(name: str) -> object:
    return getattr(bauplan, name)


_ = standard_expectations, store

"""The names by which Bauplan's projects declare their models, in both generations of its API, and its client.

What models are declared with are zerrow's own objects, so that models in either spelling can be mixed in one project.
The client, which scripts use, is loaded when it is first named: a worker that imports this package pays nothing for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import zerrow
from zerrow import *  # noqa: F403
from zerrow import __version__

from bauplan import standard_expectations, store

if TYPE_CHECKING:
    from bauplan import exceptions, schema, state
    from bauplan._values.info import InfoState, OrganizationInfo, RunnerNodeInfo, UserInfo
    from bauplan._values.words import JobKind, JobState, RefType
    from bauplan.client import Client

_NAMES = [name for name in zerrow.__all__ if not name.endswith("Error")]

_LATER = {
    "Client": "bauplan.client",
    "InfoState": "bauplan._values.info",
    "OrganizationInfo": "bauplan._values.info",
    "RunnerNodeInfo": "bauplan._values.info",
    "UserInfo": "bauplan._values.info",
    "JobKind": "bauplan._values.words",
    "JobState": "bauplan._values.words",
    "RefType": "bauplan._values.words",
}
"""The names that are loaded when they are first used, with their modules."""

_MODULES = ("exceptions", "schema", "state")

__all__ = [
    *_NAMES,
    "Client",
    "InfoState",
    "JobKind",
    "JobState",
    "OrganizationInfo",
    "RefType",
    "RunnerNodeInfo",
    "UserInfo",
    "__version__",
    "exceptions",
    "schema",
    "standard_expectations",
    "state",
    "store",
]


def __getattr__(name: str) -> object:
    if name in _LATER:
        value = getattr(importlib.import_module(_LATER[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"bauplan.{name}")
    else:
        raise AttributeError(f"module 'bauplan' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What a user is told of a module that an environment lacks: the line to add."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

from zerrow.worker.package_names import is_known, last_python_with, package_of


def missing_module(error: ModuleNotFoundError, folder: str, task: Mapping[str, Any]) -> str | None:
    """The message of such an error in a model of the project in `folder`; None where nothing is known of it.

    The task's `package_advice` says how the model gets a package, `{package}` in the place of its name.
    """
    name = error.name
    if not name or name.partition(".")[0] in ("zerrow", "bauplan", "bpln_sdk"):
        return None
    start = f"model {task.get('model')!r}: No module named {name!r}: "
    if (place := _place_in_project(name.partition(".")[0], folder)) is not None:
        return f"{start}the project's own {place} has none of that name"
    package, advice = package_of(name), task["package_advice"]
    last = last_python_with(name)
    if last is not None:
        python = ".".join(platform.python_version_tuple()[:2])
        return f"{start}Python {python} has it no more: ask for Python {last}, @….python('{last}')"
    if is_known(name):
        return start + advice.replace("{package}", package)
    own = f"put {name.partition('.')[0]}.py beside the models, if it is the project's own"
    return f"{start}{advice.replace('{package}', package)}; or {own}"


def _place_in_project(top: str, folder: str) -> str | None:
    """The path, relative to the project, of a module of its own by that name."""
    module = sys.modules.get(top) or sys.modules.get(f"zerrow_project.{top}")
    places = [getattr(module, "__file__", None) or "", *list(getattr(module, "__path__", ()))]
    below = os.path.join(folder, "")
    return next((os.path.relpath(each, folder) for each in places if each.startswith(below)), None)

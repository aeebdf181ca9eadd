"""Values of a project's parameters, on their way to the command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_VARIABLE_BYTES_MAX = 128 * 1024 - 64
"""What the kernel takes as one variable of a process."""


def parameters_variable(parameters: Mapping[str, Any] | None) -> dict[str, str]:
    """Values of parameters as the variable that the command reads, because no list of arguments is private.

    None is the parameter's default. Raises TypeError and ValueError for what can be no value.
    """
    texts = {name: _text(name, value) for name, value in (parameters or {}).items() if value is not None}
    if not texts:
        return {}
    variable = json.dumps(texts)
    if len(variable.encode()) > _VARIABLE_BYTES_MAX:
        raise ValueError("the parameters are longer than 128 KiB together: hand over a table, or the name of a file")
    return {"ZERROW_PARAMETERS": variable}


def _text(name: object, value: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a parameter is a text, not {type(name).__name__}")
    if hasattr(value, "item") and not isinstance(value, (str, bool, int, float)):
        value = value.item()  # A number of numpy's.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the parameter {name!r} is no finite number")
        return repr(float(value))
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"the parameter {name!r} is a text, a number or a bool, not {type(value).__name__}")

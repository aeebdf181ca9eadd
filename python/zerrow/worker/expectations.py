"""Running an expectation: a function that looks at its inputs and says whether they are as they should be."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from zerrow.worker.failures import WorkerFailure, relative


def run_expectation(
    function: Callable[..., Any], arguments: dict[str, Any], task: dict[str, Any], notes: list[str] | None = None
) -> pa.Table:
    """The expectation's answer, as a table of one row.

    Raises what the function raises, and WorkerFailure of kind `result` for an answer that is no bool. One that is not
    met, by its answer or by an assertion, fails where the task is strict; else it is told on stderr
    and in `notes`.
    """
    is_strict = task.get("strict", True)
    problem = None
    try:
        is_met = _answer(function(**arguments))
    except AssertionError as error:
        if is_strict:
            raise
        is_met, problem = False, _place_and_text(error, task["folder"])
    if not is_met:
        problem = problem or f"expectation returned false: {task['model']}"
        if is_strict:
            raise WorkerFailure("result", problem)
        print(f"warning: the expectation {task['model']!r} is not met: {problem}", file=sys.stderr)
        if notes is not None:
            notes.append(problem)
    return pa.table({"expectation": [task["model"]], "is_met": [is_met]})


def _answer(value: Any) -> bool:
    """A bool of Python's, numpy's or Arrow's."""
    if isinstance(value, pa.BooleanScalar) and value.is_valid:
        return bool(value.as_py())
    kind = type(value)
    if isinstance(value, bool) or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")):
        return bool(value)
    raise WorkerFailure(
        "result", f"expectation returned unsupported type {kind.__qualname__}: return True or False ({value!r:.80})"
    )


def _place_and_text(error: AssertionError, folder: str) -> str:
    """Where an assertion stands, its source and its message."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if relative(frame.filename, folder)]
    place = ""
    if frames:
        name = relative(frames[-1].filename, folder) or os.path.basename(frames[-1].filename)
        place = f"{name}:{frames[-1].lineno}: {frames[-1].line or 'assert'}: "
    return f"{place}AssertionError{f': {error}' if str(error) else ''}"

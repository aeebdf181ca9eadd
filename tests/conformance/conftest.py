"""The conformance suite drives the command as the end-to-end tests do, and shares their tools."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "endtoend"), str(Path(__file__).parent / "project")]

from command import ordinary  # noqa: E402

__all__ = ["ordinary"]

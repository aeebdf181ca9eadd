"""Keeping the values of secrets out of what a worker prints and reports."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

HIDDEN = "***"


def secrets_of(task: dict[str, Any]) -> list[str]:
    """The values of a task's secrets, the longest first."""
    values = [each["value"] for each in task.get("arguments", ()) if each.get("secret")]
    values += task.get("secrets", {}).values()
    return sorted({value for value in values if isinstance(value, str) and value}, key=len, reverse=True)


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with each secret's value replaced."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def hide_in_report(report: dict[str, Any], secrets: list[str]) -> dict[str, Any]:
    """A failure's report with each secret's value replaced."""
    return {key: hide(value, secrets) if isinstance(value, str) else value for key, value in report.items()}


class _Hiding(io.TextIOWrapper):
    """A stream that replaces secrets in each text that is written to it."""

    secrets: tuple[str, ...] = ()

    def write(self, text: str) -> int:
        super().write(hide(text, self.secrets))
        return len(text)


def hide_in_streams(secrets: list[str]) -> None:
    """Have what Python prints from now on show no secret; what a library prints by itself is not looked at."""
    if not secrets:
        return
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        old.flush()
        stream = _Hiding(
            open(old.fileno(), "wb", closefd=False),  # noqa: SIM115 (it stays open as long as the worker)
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        stream.secrets = tuple(secrets)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)

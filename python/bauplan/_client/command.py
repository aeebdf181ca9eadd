"""The command `zerrow`: where it is, and how it is called."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zerrow.client.command import engine_variables, find_command
from zerrow.errors import ZerrowError

from bauplan.exceptions import BauplanError

_LOG = logging.getLogger("bauplan")

_STOP_SECONDS = 60
"""How long the command may take to stop its models and to clean up, before it is killed."""

_ERROR_LINES = 20


class CommandTimeout(Exception):
    """The command took longer than its caller wanted to wait, and was stopped."""


@dataclass(frozen=True)
class Answer:
    """What a call of the command gave: its report, also as the text it was, what it said to people, and when."""

    code: int
    report: dict
    text: str = ""
    lines: list[str] = field(default_factory=list)
    began_at_ns: int = 0
    ended_at_ns: int = 0

    @property
    def is_good(self) -> bool:
        """Whether it did what it was called for."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """Why it did not: the errors of its report, or else the last that it said."""
        errors = self.report.get("errors")
        texts = [_failure_text(each) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
        error = self.report.get("error")
        if not texts and error:
            texts = [_failure_text(error) if isinstance(error, dict) else str(error)]
        if not texts:
            texts = [line for line in self.lines if line.strip()][-_ERROR_LINES:]
        return "\n".join(texts) or f"the command ended with code {self.code}"


class Command:
    """The command, found once; a call is a process that ends with it."""

    def __init__(self, program: str) -> None:
        self.program = program

    @staticmethod
    def find() -> Command:
        """The one that ZERROW_COMMAND names, else that of the PATH, else the one beside this package."""
        named = os.environ.get("ZERROW_COMMAND")
        if named:
            program = shutil.which(named)
            if program is None:
                raise BauplanError(f"ZERROW_COMMAND names {named!r}, which is no program: correct it, or unset it")
            return Command(os.path.abspath(program))
        program = shutil.which("zerrow")
        if program is None:
            try:
                program = find_command()
            except ZerrowError as error:
                raise BauplanError(error.message) from None
        return Command(os.path.abspath(program))

    def call(
        self,
        arguments: Sequence[str],
        *,
        text: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        reports: bool = True,
    ) -> Answer:
        """Call it, with `-O json` unless it has nothing to report, and wait for its end.

        Whatever ends the wait, such as Ctrl-C, stops the command first. `environment` is added to the caller's own;
        `text` is its standard input.
        """
        words = [self.program, *arguments, *(["-O", "json"] if reports else [])]
        _LOG.debug("calling %s", words)
        began = time.time_ns()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={**os.environ, **engine_variables(self.program), **(environment or {})},
            )
            try:
                out, _ = process.communicate(None if text is None else text.encode(), timeout=timeout)
            except subprocess.TimeoutExpired:
                _stop(process)
                raise CommandTimeout from None
            except BaseException:
                _stop(process)
                raise
            ended = time.time_ns()
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
        for line in lines:
            _LOG.debug("%s", line)
        return Answer(process.returncode, _report(out), out.decode(errors="replace"), lines, began, ended)


def _stop(process: subprocess.Popen) -> None:
    """End the command as Ctrl-C does, so that it stops its models; a second signal does no more than the first."""
    for number, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGKILL, None)):
        process.send_signal(number)
        try:
            process.communicate(timeout=seconds)
            return
        except subprocess.TimeoutExpired:
            continue
        except BaseException:
            process.kill()
            process.wait()
            raise


def _report(out: bytes) -> dict:
    try:
        report = json.loads(out)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _failure_text(failure: dict) -> str:
    """A failure with the model's name, unless its message says it."""
    message, model = str(failure.get("message", "")), failure.get("model")
    return message if not model or f"'{model}'" in message else f"model '{model}': {message}"

"""One call of the command: a process that ends with the call, and a socket on which it says how its run goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zerrow.client.command import engine_variables, find_command
from zerrow.client.handed import HandedTable
from zerrow.errors import ZerrowError
from zerrow.worker.ops import DESCRIPTORS_MAX, MESSAGE_BYTES_MAX

LINES_MAX = 10_000
"""Printed lines that are kept of each model: the last ones. The job's log has more."""

_STOP_SECONDS = 60
"""How long the command may take to stop its models and to clean up, before it is killed."""

_UPDATE_SECONDS = 0.25

_open_calls: weakref.WeakSet[Call] = weakref.WeakSet()


class Call:
    """A call that has begun. It is waited for by one thread; others may look at what it has heard."""

    def __init__(
        self, words: Sequence[str], *, text: str | None, environment: Mapping[str, str], is_shown: bool
    ) -> None:
        """Start the command with arguments; `text` is its standard input.

        With `is_shown` it shows its progress itself, on this process's standard error.
        """
        self.job_id: str | None = None
        self.models: list[dict[str, Any]] = []
        self.model_count = 0
        self.states: dict[str, str] = {}
        self.lines: dict[str, deque[str]] = {}
        self.notes: list[str] = []
        self.tables: dict[str, HandedTable] = {}
        self.problem: BaseException | None = None
        self.is_stopped = False
        self._library = ""
        self._segments: dict[int, int] = {}
        self._ended = threading.Event()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # They are closed when the call has been waited for.
        self._out, self._said = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        try:
            program = find_command()
            with theirs:
                self._process = subprocess.Popen(
                    [program, *words, "-O", "json", "--hand-tables", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                    stdout=self._out,
                    stderr=None if is_shown else self._said,
                    env={**os.environ, **engine_variables(program), **environment},
                    pass_fds=[theirs.fileno()],
                    # Ctrl-C is for the script, which then stops the command: once, and in order.
                    start_new_session=True,
                )
            _open_calls.add(self)
            threading.Thread(target=self._listen, args=(text,), name="zerrow-run", daemon=True).start()
        except BaseException:
            self._socket.close()
            self._close()
            raise

    def wait(self, update: Callable[[Call], None]) -> tuple[int, dict[str, Any], str]:
        """Wait for its end: the exit code, the report, and what it said on standard error.

        Whatever ends the wait, such as Ctrl-C, stops the command first. `update` is called about four times a second.
        """
        assert self._process is not None
        try:
            while not self._ended.wait(_UPDATE_SECONDS):
                update(self)
            code = self._process.wait()
        except BaseException:
            self.stop()
            raise
        finally:
            self._socket.close()
        try:
            if self.problem is not None:
                raise self.problem
            out, said = (self._content(file) for file in (self._out, self._said))
        finally:
            self._close()
        return code, _report(out), said

    def stop(self) -> None:
        """End the command as Ctrl-C does, so that it stops its models; a second Ctrl-C kills it."""
        self.is_stopped = True
        assert self._process is not None
        for number, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGKILL, None)):
            try:
                self._process.send_signal(number)
                self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
            except BaseException:
                self._process.kill()
                self._process.wait()
                raise
        # What it had said is heard, and nobody holds its tables.
        self._ended.wait(_STOP_SECONDS)
        for table in self.tables.values():
            table.release()

    def _content(self, file: Any) -> str:
        file.seek(0)
        content: bytes = file.read()
        return content.decode(errors="replace")

    def _close(self) -> None:
        self._out.close()
        self._said.close()

    # What it hears, on a thread of its own

    def _listen(self, text: str | None) -> None:
        try:
            if text is not None:
                self._write(text)
            while self._hear():
                pass
        except BaseException as error:
            if not self.is_stopped:
                self.problem = error
            # Who does not listen any more has the run stopped.
            self._socket.close()
        finally:
            for descriptor in self._segments.values():
                os.close(descriptor)
            self._segments = {}
            self._ended.set()

    def _write(self, text: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(text.encode())
        except BrokenPipeError:
            pass  # It says why it did not read it.

    def _hear(self) -> bool:
        """Take one message; False when there are no more."""
        try:
            content, descriptors, flags, _ = socket.recv_fds(
                self._socket, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return False
        left = list(descriptors)
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ZerrowError(
                    "a table could not be taken: this process has too many open files", code="too-many-files",
                    hint="raise its limit: ulimit -n",
                )  # fmt: skip
            if not content:
                return False
            self._take(json.loads(content), left)
        finally:
            for descriptor in left:
                os.close(descriptor)
        return True

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Note what a message says. Descriptors that are kept are taken off the list."""
        model = message.get("model", "")
        match message["op"]:
            case "hello":
                self.job_id, self._library = message["job"], message["library"]
            case "began":
                self.models, self.model_count = message.get("models", []), message["count"]
            case "model-started":
                self.states[model] = "running"
            case "model-ended":
                self.states[model] = message["status"]
            case "printed":
                self.lines.setdefault(model, deque(maxlen=LINES_MAX)).extend(message["lines"])
            case "note":
                self.notes.append(message["text"])
            case "segments":
                self._segments.update(zip(message["ids"], descriptors, strict=True))
                descriptors.clear()
            case "table":
                segments = {number: self._segments.pop(number) for number in message["segments"]}
                descriptor = descriptors.pop()
                self.tables[model] = HandedTable(model, message["rows"], self._library, segments, descriptor)


def _report(out: str) -> dict[str, Any]:
    try:
        report = json.loads(out)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def shows_itself() -> bool:
    """Whether the command can show its progress where this process's user looks: in a terminal."""
    try:
        return sys.stderr.fileno() == 2 and os.isatty(2)
    except (AttributeError, OSError, ValueError):
        return False


def _forget_calls() -> None:
    """In a process that was forked: the ends of sockets are the parent's alone, as their closing stops its runs."""
    for call in _open_calls:
        call._socket.close()


os.register_at_fork(after_in_child=_forget_calls)

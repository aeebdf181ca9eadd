"""A process that reads footers for the planner, so that none of them ends the planner, takes all memory or never ends.

It is forked before the planner has read the models, and loads its libraries while that goes on: the planner itself
needs none of them. Where it ends over a file, that file is to blame, and another process reads the rest.

A request is `{"files":[…],"dictionary":[…]|null,"partitions":{…},"bad":{"0":"why"}}`: the files of a source, the
columns that are to be dictionaries (null: those that the files hold so), the columns that folders give, and the files
that are known to be unreadable. Its answer is `{"errors":[[code,message,hint]],"kinds":{…},"schema":"…","bytes":{…},
"dictionary":[…]}`, with the first of these alone where there is an error.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import signal
import struct
import sys
from typing import Any, BinaryIO

from zerrow.plan.host_files import OWN_FILES, HostFiles

_PROCESSOR_SECONDS_MAX = 10
"""The processor seconds that reading one footer may take, and a second more for each MiB of it."""
_MEMORY_BYTES_MAX = 4 << 30
"""The memory that reading a footer may take beyond what is there, and more for a long one. Allocators ask for a GiB
ahead."""
_MEMORY_PER_BYTE = 64
_NOTE = struct.Struct("<q")


class FooterReader:
    """The planner's side. It has a process from `start` to `close`."""

    def __init__(self, host: HostFiles = OWN_FILES) -> None:
        """`host` is where the files are."""
        self._host = host
        self._child: _Child | None = None

    def start(self) -> None:
        """Have a process that gets ready."""
        self._child = self._child or _Child(self._host)

    def read(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Their answers. There is no process afterwards. Raises OSError where none can be had that reads."""
        answers: list[dict[str, Any]] = []
        while len(answers) < len(requests):
            self.start()
            answers += self._child.ask(requests[len(answers) :])
            if len(answers) < len(requests):
                why, file = self._child.end()
                self._child = None
                if file < 0:
                    raise OSError(f"the process that reads footers ended: {why}")
                requests[len(answers)]["bad"][str(file)] = why
        if self._child is not None:
            self._child.kill()
        return answers

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.kill()
            self._child.end()
            self._child = None


class _Child:
    """A process that answers requests."""

    def __init__(self, host: HostFiles) -> None:
        # The number of the file that is being read, and 1.
        self._note = mmap.mmap(-1, mmap.PAGESIZE)
        self._errors = os.memfd_create("zerrow-footers", os.MFD_CLOEXEC)
        requests, to_child = os.pipe()
        from_child, answers = os.pipe()
        self._life, end_of_life = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(to_child)
                os.close(from_child)
                os.close(self._life)
                _end_with(end_of_life)
                with open(requests, "rb") as reading, open(answers, "wb") as writing:
                    _serve(reading, writing, self._note, self._errors, parent, host)
            finally:
                os._exit(1)
        os.close(requests)
        os.close(answers)
        os.close(end_of_life)
        self._to_child, self._from_child = os.fdopen(to_child, "wb"), os.fdopen(from_child, "rb")

    def ask(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers that come before the process ends."""
        answers = []
        with contextlib.suppress(BrokenPipeError):
            self._to_child.write(json.dumps(requests).encode() + b"\n")
            self._to_child.flush()
            while len(answers) < len(requests) and (line := self._from_child.readline()).endswith(b"\n"):
                answers.append(json.loads(line))
        return answers

    def kill(self) -> None:
        """Have the process end; that takes a while, as it has much to give back."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[str, int]:
        """Why the process has ended, and over which file; -1 where over none."""
        status = os.waitpid(self.pid, 0)[1]
        with contextlib.suppress(BrokenPipeError):
            self._to_child.close()
        self._from_child.close()
        os.close(self._life)
        file = _NOTE.unpack_from(self._note)[0] - 1
        self._note.close()
        said = os.pread(self._errors, 4096, max(0, os.fstat(self._errors).st_size - 4096)).decode(errors="replace")
        os.close(self._errors)
        return _reason(status, said), file


def _reason(status: int, said: str) -> str:
    if not os.WIFSIGNALED(status):
        return f"its reader gave up: {' '.join(said.split())[-300:]}"
    number = os.WTERMSIG(status)
    if number == signal.SIGPROF:
        return f"reading its footer took more than {_PROCESSOR_SECONDS_MAX} s"
    thrown = re.findall(r"what\(\):\s*(.+)", said)
    name = signal.Signals(number).name if number in signal.valid_signals() else str(number)
    return f"its footer ends the reader ({name})" + (f": {thrown[-1][:200]}" if thrown else "")


def _end_with(pipe: int) -> None:
    """Have this process end at once when nobody reads a pipe any more that it could write to: the planner is dead.

    Python can't ask for the signal that comes with a parent's death; the kernel sends SIGIO, which ends a process, when
    the other end of such a pipe is closed.
    """
    import fcntl

    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _serve(requests: BinaryIO, answers: BinaryIO, note: mmap.mmap, errors: int, parent: int, host: HostFiles) -> None:
    """Answer requests until the planner is gone; the process is this one's."""
    import faulthandler
    import resource

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.disable()
    os.dup2(errors, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    own_bytes = _data_bytes()
    # Modules that pyarrow does without, and whose import takes a third of the time of its own.
    for module in ("cloudpickle", *(f"pyarrow._{name}" for name in ("azurefs", "gcsfs", "hdfs", "s3fs"))):
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    from zerrow.plan.footers import read_source

    def begin(file: int, footer_bytes: int) -> None:
        if os.getppid() != parent:
            os._exit(1)
        _NOTE.pack_into(note, 0, file + 1)
        signal.setitimer(signal.ITIMER_PROF, _PROCESSOR_SECONDS_MAX + (footer_bytes >> 20))
        if footer_bytes > 1 << 20 or file == 0:
            limit = own_bytes + _MEMORY_BYTES_MAX + _MEMORY_PER_BYTE * footer_bytes
            resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))

    while line := requests.readline():
        for request in json.loads(line):
            answer = read_source(request, begin, host.tail)
            _NOTE.pack_into(note, 0, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()


def _data_bytes() -> int:
    """The memory of this process that RLIMIT_DATA counts; 0 where that can't be told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[5]) * mmap.PAGESIZE
    except OSError:
        return 0

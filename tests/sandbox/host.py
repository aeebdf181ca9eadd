"""The tests' side: builds the library, starts an engine as some user, runs functions in workers."""

from __future__ import annotations

import ast
import inspect
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = Path(__file__).resolve().parent / "processes"
ORDINARY_USER = 65534
TOOLS = (PROCESSES / "tools.py").read_text() + "\n"
SECONDS_MAX = 60
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/passwd", "/etc/alternatives"]


def build_library(folder: Path) -> Path:
    """The sandbox's C functions as a library of their own, compiled from the sources that the engine uses."""
    library = folder / "libsandbox.so"
    sources = sorted(str(path) for path in (ROOT / "Sources/CLinux").glob("*.c"))
    include = str(ROOT / "Sources/CLinux/include")
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler, "the tests of the sandbox need a C compiler"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-I", include, *sources, "-o", str(library)],
        check=True,
    )
    library.chmod(0o755)
    return library


def as_user(user: int) -> list[str]:
    """The words to put before a command that runs as `user`."""
    if user == os.geteuid():
        return []
    # By way of a shell: what setpriv itself executes is still looked up with root's capabilities.
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "sh", "-c", 'exec "$@"', "sh"]


def python_for_everybody(folder: Path) -> tuple[str, list[str]]:
    """An interpreter that every user can run, and the folders it needs; a copy where this one is hidden from some."""
    base = Path(sys.base_prefix).resolve()
    program = base / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if subprocess.run([*as_user(ORDINARY_USER), str(program), "-c", ""], capture_output=True).returncode == 0:
        return str(program), [str(base)]
    copy = folder / "python"
    unwanted = shutil.ignore_patterns("test", "site-packages", "idlelib", "tkinter", "config-*", "*.a", "__pycache__")
    shutil.copytree(base / "lib", copy / "lib", symlinks=True, ignore=unwanted)
    (copy / "bin").mkdir()
    shutil.copy2(program, copy / "bin" / program.name)
    return str(copy / "bin" / program.name), [str(copy)]


def link_target(path: str) -> str | None:
    """What a symbolic link holds; None for anything else."""
    return os.readlink(path) if os.path.islink(path) else None


class Refused(Exception):
    """The zygote could not be spawned."""


class AttackError(Exception):
    """The function in the worker raised."""


class Worker:
    """One worker: its pid in the zygote's namespace, a pidfd, and the pipe that its result comes through."""

    def __init__(self, sandbox: Sandbox, pid: int, pidfd: int, result: int) -> None:
        self.sandbox, self.pid, self.pidfd, self._result = sandbox, pid, pidfd, result

    def host_pid(self) -> int:
        """Its pid as this process sees it."""
        for line in Path(f"/proc/self/fdinfo/{self.pidfd}").read_text().splitlines():
            if line.startswith("Pid:"):
                return int(line.split()[1])
        raise AssertionError("a pidfd without a pid")

    def value(self) -> Any:
        """The value that its function returned. Raises AttackError for an exception there, EOFError when it died."""
        text = b""
        while True:
            assert select.select([self._result], [], [], SECONDS_MAX)[0], "the worker does not answer"
            piece = os.read(self._result, 1 << 16)
            if not piece:
                break
            text += piece
        os.close(self._result)
        if not text:
            raise EOFError("the worker died without a result")
        answer = json.loads(text)
        if "error" in answer:
            raise AttackError(answer["error"] + "\n" + answer["traceback"])
        return answer["value"]

    def wait(self) -> int:
        """Wait until the zygote has reaped it: its exit code, negative for a signal."""
        return self.sandbox.request({"op": "report-exit", "pid": self.pid})[0]["code"]


class Sandbox:
    """An engine of a given user with its zygote."""

    def __init__(
        self,
        library: Path,
        python: tuple[str, list[str]],
        user: int,
        *,
        show: list[str] | None = None,
        network: bool = False,
        modules: list[str] | None = None,
        environment: list[str] | None = None,
        tmp_bytes_max: int = 64 << 20,
        zygote_program: str | None = None,
        hidden: list[str] | None = None,
        rebuilt: list[tuple[str, list[str]]] | None = None,
        overlaid: list[str] | None = None,
    ) -> None:
        self.hidden, self.rebuilt, self.overlaid = hidden or [], rebuilt or [], overlaid or []
        self.user, self.network, self.tmp_bytes_max = user, network, tmp_bytes_max
        self._next_uid = 1000
        program, folders = python
        shown = sorted({*folders, str(library.parent), str(PROCESSES), *(show or [])})
        self.tmp_entries = [path for path in shown if path.startswith("/tmp/")]
        entries = [[path, link_target(path)] for path in SYSTEM if os.path.exists(path)]
        entries += [[path, link_target(path)] for path in shown if not path.startswith("/usr/")]
        options = {
            "arguments": [zygote_program or program, str(PROCESSES / "zygote.py"), str(library), *(modules or [])],
            # A copy of Python would find another's library by the path that was built into it.
            "environment": [f"LD_LIBRARY_PATH={Path(program).parent.parent / 'lib'}", *(environment or [])],
            "entries": entries,
            "network": int(network),
            "tmp_bytes_max": tmp_bytes_max,
        }
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(SECONDS_MAX)
        number = theirs.fileno()
        program_arguments = [program, str(PROCESSES / "engine.py"), str(library), json.dumps(options), str(number)]
        environment = {**os.environ, **dict(pair.split("=", 1) for pair in options["environment"])}
        self.engine = subprocess.Popen([*as_user(user), *program_arguments], pass_fds=(number,), env=environment)
        theirs.close()
        message, descriptors = self._receive()
        if message["op"] == "failed":
            self.engine.wait()
            raise Refused(f"errno {message['errno']}: {message['message']}")
        self.zygote_pid, (self.zygote, self.segment) = message["pid"], descriptors
        message, _ = self._receive()
        assert message["op"] == "ready"

    def _receive(self) -> tuple[dict, list[int]]:
        data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 18, 64)
        if not data:
            raise EOFError("the engine or its zygote died")
        return json.loads(data), list(descriptors)

    def request(self, message: dict, descriptors: list[int] | None = None) -> tuple[dict, list[int]]:
        """Send, and wait for the answer."""
        socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors or [])
        return self._receive()

    def start(self, function: Callable, *arguments: Any, descriptors: list[int] | None = None) -> Worker:
        """Run `function` in a new worker, whose descriptors from 4 on are `descriptors`."""
        reading, writing = os.pipe()
        uid = 0
        if self.user == 0:
            uid, self._next_uid = self._next_uid, self._next_uid + 1
        request = {
            "op": "fork",
            "code": TOOLS + source(function),
            "function": function.__name__,
            "arguments": arguments,
            "uid": uid,
            "network": int(self.network),
            "tmp_bytes_max": self.tmp_bytes_max,
            "tmp_entries": self.tmp_entries,
            "covered": self.hidden,
            "rebuilt": self.rebuilt,
            "overlaid": self.overlaid,
        }
        message, (pidfd,) = self.request(request, [writing, *(descriptors or [])])
        os.close(writing)
        return Worker(self, message["pid"], pidfd, reading)

    def run(self, function: Callable, *arguments: Any, descriptors: list[int] | None = None) -> Any:
        """Run `function` in a new worker to its end; what it returned."""
        worker = self.start(function, *arguments, descriptors=descriptors)
        try:
            return worker.value()
        finally:
            worker.wait()

    def close(self) -> None:
        """End the engine, and with it the zygote and the workers."""
        self._socket.close()
        if self.engine.poll() is None:
            self.engine.send_signal(signal.SIGKILL)
        self.engine.wait()


def source(function: Callable) -> str:
    """The text of a function, without decorators, for another process."""
    text = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(text)
    tree.body[0].decorator_list = []  # type: ignore[attr-defined]
    return ast.unparse(tree)


def scratch_folder() -> Path:
    """A folder in /tmp that every user may read."""
    folder = Path(tempfile.mkdtemp(prefix="zerrow-sandbox-", dir="/tmp"))
    folder.chmod(0o755)
    return folder

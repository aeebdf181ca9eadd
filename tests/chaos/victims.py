"""Who is killed, how, and when: by the numbers of a seed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from processes import Processes, descendants

KINDS = ("command", "planner", "prepare", "zygote", "worker", "worker", "child", "janitor", "any")
SERVED_KINDS = (*KINDS, "serve", "serve")
# Most are killed; some have been stopped before, as a debugger or a full terminal does; some are asked to end.
WAYS = ("kill", "kill", "kill", "stop", "terminate", "interrupt")


@dataclass
class Blow:
    """A signal for a process of some kind, so many seconds after the command began."""

    kind: str
    way: str
    seconds: float
    pick: int

    @classmethod
    def drawn(cls, chance: Random, is_served: bool) -> Blow:
        """One by the numbers of `chance`."""
        kind = chance.choice(SERVED_KINDS if is_served else KINDS)
        # Early moments more often than late ones: more happens then.
        return cls(kind, chance.choice(WAYS), round(chance.triangular(0, 2.5, 0.6), 3), chance.randrange(1000))

    def strike(self, command: int, server: int | None, is_over: Callable[[], bool]) -> str | None:
        """Wait for the moment, and for a process of the kind; what was struck, or None when there was none."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not is_over():
            time.sleep(0.005)
        while not is_over():
            victims = self._victims(command, server)
            if victims:
                victim = victims[self.pick % len(victims)]
                try:
                    self._send(victim)
                except ProcessLookupError:
                    continue
                return f"{self.way} of {self.kind} {victim}"
            time.sleep(0.005)
        return None

    def _victims(self, command: int, server: int | None) -> list[int]:
        engine = Processes(server or command)
        match self.kind:
            case "command":
                return [command]
            case "serve":
                return [server] if server else []
            case "planner":
                return Processes(command).planners
            case "prepare":
                return [pid for pid in descendants(command) if "make_it.py" in _words(pid)]
            case "any":
                return sorted({command, *descendants(command), *(descendants(server) if server else [])})
            case kind:
                return engine.of_kind(kind)

    def _send(self, victim: int) -> None:
        match self.way:
            case "terminate":
                os.kill(victim, signal.SIGTERM)
            case "interrupt":
                os.kill(victim, signal.SIGINT)
            case "stop":
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.2)
                os.kill(victim, signal.SIGKILL)
            case _:
                os.kill(victim, signal.SIGKILL)


def _words(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""

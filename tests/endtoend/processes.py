"""The processes of a run, found from outside through /proc: who they are, and what they could leave behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from command import wait_until


def descendants(pid: int) -> list[int]:
    """All processes below a process, nearest first."""
    found, queue = [], [pid]
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        parent = int(text[text.rindex(")") + 2 :].split()[1])
        children.setdefault(parent, []).append(int(entry.parent.name))
    while queue:
        for child in sorted(children.get(queue.pop(0), [])):
            found.append(child)
            queue.append(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"


def parent_of(pid: int) -> int:
    """The number of a process's parent; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text[text.rindex(")") + 2 :].split()[1])


def command_of(pid: int) -> str:
    """The words that started a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class Processes:
    """The processes of one run, by what they are."""

    def __init__(self, engine: int) -> None:
        self.engine = engine

    @property
    def janitors(self) -> list[int]:
        """The processes that remove the cgroups of a dead engine; none where there are no cgroups."""
        return [pid for pid in descendants(self.engine) if " janitor " in command_of(pid)]

    @property
    def planners(self) -> list[int]:
        """The processes that read the project."""
        return [pid for pid in descendants(self.engine) if "zerrow.plan" in command_of(pid)]

    @property
    def zygotes(self) -> list[int]:
        """Children of the engine that run the zygote's program."""
        return [
            pid
            for pid in descendants(self.engine)
            if "zerrow.zygote" in command_of(pid) and parent_of(pid) == self.engine
        ]

    @property
    def workers(self) -> list[int]:
        """Children of the zygotes, in the order they were forked."""
        zygotes = self.zygotes
        return [pid for pid in descendants(self.engine) if parent_of(pid) in zygotes]

    @property
    def children_of_workers(self) -> list[int]:
        """The processes that models started."""
        workers = self.workers
        return [pid for pid in descendants(self.engine) if parent_of(pid) in workers]

    def of_kind(self, kind: str) -> list[int]:
        """The processes that a test calls by this word."""
        return {
            "engine": [self.engine],
            "planner": self.planners,
            "janitor": self.janitors,
            "zygote": self.zygotes,
            "worker": self.workers,
            "child": self.children_of_workers,
        }[kind]

    def wait_for(self, kind: str, count: int = 1) -> list[int]:
        """Wait until there are so many of a kind."""
        wait_until(lambda: len(self.of_kind(kind)) >= count, what=f"{count} × {kind}", seconds=120)
        return self.of_kind(kind)


def stop(pid: int) -> None:
    """Stop a process, and wait until it has stopped."""
    os.kill(pid, signal.SIGSTOP)

    def has_stopped() -> bool:
        text = Path(f"/proc/{pid}/stat").read_text()
        return text[text.rindex(")") + 2] in "TZ"

    wait_until(has_stopped, what="a stop")


def leftovers(pid: int) -> list[str]:
    """The control groups and mounts of a dead engine that the kernel keeps; they carry its number."""
    found = []
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"):
        # Groups may go while they are looked for: what os.walk can't list any more, it passes over.
        for folder, names, _ in os.walk(root):
            found += [f"{folder}/{name}" for name in names if name.startswith(f"zerrow-{pid}-")]
    return found


def mounts() -> set[str]:
    """The mounts that this process sees, without their numbers."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {" ".join(line.split()[3:5]) for line in lines}


def check_nothing_is_left(engine: int, others: list[int]) -> None:
    """Wait until all processes of a run are gone, and its control groups."""
    wait_until(lambda: not any(is_alive(pid) for pid in [engine, *others]), what="the end of all processes")
    wait_until(lambda: not leftovers(engine), what="the removal of the control groups")

"""What all processes of a system use together: processor time and memory, from control groups where they can be made.

A system's processes start in a group of their own, and what they fork stays in it or below it: engine, zygotes,
planners and workers, Ray's daemons, steps of Dagster. `cpu_ms` is what the kernel has charged to the group, so also
that of processes that have ended. `memory_bytes_max` is the most that was charged to the group but for the file
cache, sampled every 10 ms: private and shared memory, page tables; pools that are kept warm count. Of the file cache
the kernel tells up to two seconds late, so that the figure is blurred where a system spills to files. Clients that
only wait for their turn start aside: their processor time counts, their memory does not.

Without groups (they take root, or a delegated group) processor time is that of the tree of processes in /proc, with
that of children that were waited for, in steps of 10 ms; and memory is how far the whole machine's rose during the
round.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from measure import LineProcess, used_bytes
from paper.janitor import Janitor

# Enters the groups whose files stand before the dashes, then becomes the command behind them.
ENTER = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"'
# Workers end, and their memory is given back, a little after the answer is there: that is still the round's work.
SETTLING_S = 0.05
SAMPLING_S = 0.01


class Account:
    """The processes of one system. `start` and `command` put them in, `measure` does a round."""

    def __init__(self, janitor: Janitor, name: str) -> None:
        self._janitor = janitor
        self._groups = make_groups(janitor, f"zerrow-bench-{os.getpid()}-{name}")
        self._roots: list[int] = []
        self._processes: list[tuple[LineProcess, str]] = []

    @property
    def source(self) -> str:
        """Where its figures are from, for the result."""
        return "control group" if self._groups else "process tree, machine's memory"

    def command(self, words: list, *, aside: bool = False) -> list[str]:
        """The command that enters the group first."""
        words = [str(word) for word in words]
        if not self._groups:
            return words
        leaf = "aside" if aside else "main"
        return ["sh", "-c", ENTER, "sh", *(f"{group}/{leaf}/cgroup.procs" for group in self._groups), "--", *words]

    def watch(self, pid: int) -> str:
        """Counts a process that was started with `command`, and has it ended with the benchmark."""
        self._roots.append(pid)
        return self._janitor.expect_process(pid)

    def start(
        self, words: list, environment: dict[str, str] | None = None, errors: IO | None = None, *, aside: bool = False
    ) -> LineProcess:
        """A process that does a round for each line."""
        process = LineProcess(self.command(words, aside=aside), environment, errors)
        self._processes.append((process, self.watch(process.process.pid)))
        return process

    def measure(self, work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
        """Does the work, which these processes do: wall and processor time, the most memory; and what it gave."""
        with self._sampling() as most:
            cpu, began = self.cpu_seconds(), time.monotonic()
            answer = work()
            wall = time.monotonic() - began
        time.sleep(SETTLING_S)
        cpu = self.cpu_seconds() - cpu
        return {"wall_ms": wall * 1000, "cpu_ms": cpu * 1000, "memory_bytes_max": float(most[0])}, answer

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return groups_cpu_seconds(self._groups) if self._groups else tree_cpu_seconds(self._roots)

    def memory_bytes(self) -> int:
        """Memory held now."""
        return groups_memory_bytes(self._groups) if self._groups else used_bytes()

    @contextlib.contextmanager
    def _sampling(self) -> Iterator[list[int]]:
        base = 0 if self._groups else used_bytes()
        most, end = [self.memory_bytes() - base], threading.Event()

        def sample() -> None:
            while not end.wait(SAMPLING_S):
                most[0] = max(most[0], self.memory_bytes() - base)

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield most
        finally:
            end.set()
            thread.join()

    def end(self, process: LineProcess) -> None:
        """Ends a process after its last round."""
        entry = next(entry for entry in self._processes if entry[0] is process)
        self._processes.remove(entry)
        with contextlib.suppress(OSError):
            process.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.process.wait(10)
        self._janitor.remove("process", entry[1])
        process.process.wait()
        process.process.stdout.close()

    def close(self) -> None:
        """Ends the processes and removes the groups."""
        for process, _ in list(self._processes):
            self.end(process)
        for group in self._groups:
            for folder in (f"{group}/main", f"{group}/aside", group):
                self._janitor.remove("group", folder)


def own_folders(controller: str) -> list[Path]:
    """Where a group might be made in this controller's hierarchy ("": version 2): the own one, then those above."""
    own = None
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if (number == "0" and not controller) or (controller and controller in controllers.split(",")):
            own = path
    if own is None:
        return []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == ("cgroup" if controller else "cgroup2") and (not controller or controller in options.split(",")):
            inside = Path(os.path.normpath(Path(mount, os.path.relpath(own, root))))
            return [inside, *(folder for folder in inside.parents if folder.is_relative_to(mount))]
    return []


def make_groups(janitor: Janitor, name: str) -> list[Path]:
    """The group's folders: one with version 2; with version 1 memory's and processor time's. Empty if it can't be."""
    for folder in own_folders(""):
        with contextlib.suppress(OSError):
            # A group that has processes can't give controllers to groups below it: its ancestors may.
            (folder / "cgroup.subtree_control").write_text("+memory")
        if made := make_group(janitor, folder / name, ("memory.stat", "cpu.stat")):
            return [made]
    made = []
    for controller, file in (("memory", "memory.stat"), ("cpuacct", "cpuacct.usage")):
        folders = own_folders(controller)
        if not folders or not (group := make_group(janitor, folders[0] / name, (file,))):
            for one in made:
                for folder in (one / "main", one / "aside", one):
                    janitor.remove("group", folder)
            return []
        if group not in made:
            made.append(group)
    return made


def make_group(janitor: Janitor, group: Path, files: tuple[str, ...]) -> Path | None:
    """A group with its two leaves; None where it can't be made or lacks one of the files."""
    folders = (group, group / "main", group / "aside")
    for folder in folders:
        try:
            if not folder.is_dir():
                janitor.expect("group", folder)
                folder.mkdir()
            if folder == group:
                with contextlib.suppress(OSError):
                    (group / "cgroup.subtree_control").write_text("+memory")
            if all((folder / file).exists() for file in files):
                continue
        except OSError:
            pass
        for one in reversed(folders):
            janitor.remove("group", one)
        return None
    return group


def fields(path: Path) -> dict[str, int]:
    """A file with a name and a number per line."""
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def groups_cpu_seconds(groups: list[Path]) -> float:
    """What was charged to the group and all below it."""
    usage = groups[-1] / "cpuacct.usage"
    if usage.exists():
        return int(usage.read_text()) / 1e9
    return fields(groups[-1] / "cpu.stat")["usage_usec"] / 1e6


def groups_memory_bytes(groups: list[Path]) -> int:
    """What is charged to the group and all below it, but for the file cache and for what is aside.

    The kernel's counter of all is exact. Its statistics by kind are brought up to date every two seconds.
    """

    def held(folder: Path) -> int:
        stat = fields(folder / "memory.stat")
        if "total_cache" in stat:
            used, cache = folder / "memory.usage_in_bytes", stat["total_cache"] - stat["total_shmem"]
        else:
            used, cache = folder / "memory.current", stat["file"] - stat["shmem"]
        return max(0, int(used.read_text()) - max(0, cache))

    return max(0, held(groups[0]) - held(groups[0] / "aside"))


def tree_cpu_seconds(roots: list[int]) -> float:
    """Processor time of these processes and of all below them, with that of children they have waited for."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            values = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            children.setdefault(int(values[1]), []).append(pid)
            ticks[pid] = sum(int(value) for value in values[11:15])
    found, left = 0, list(roots)
    while left:
        pid = left.pop()
        found += ticks.get(pid, 0)
        left += children.get(pid, [])
    return found / os.sysconf("SC_CLK_TCK")

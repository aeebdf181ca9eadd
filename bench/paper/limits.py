"""Memory limits for the baseline: a control group, and a swap file to be pushed out to. Both take root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .janitor import Janitor, with_system_path

# The same name in both places, so that what is left of a benchmark could be told.
NAME = f"zerrow-bench-{os.getpid()}"


class Unavailable(Exception):
    """This machine does not let the benchmark do it; the message says why."""


def places() -> Iterator[tuple[str, Path]]:
    """Where groups with a memory limit might be made: the file that sets the limit, and the parent folder."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            own["cgroup2"] = path
        if "memory" in controllers.split(","):
            own["cgroup"] = path
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if (kind == "cgroup" and "memory" not in options.split(",")) or kind not in own:
            continue
        inside = Path(mount, os.path.relpath(own[kind], root))
        if kind == "cgroup":
            yield "memory.limit_in_bytes", inside
        else:
            # A group that has processes can't give controllers to groups below it: its ancestors may.
            for folder in (inside, *inside.parents):
                yield "memory.max", folder
                if folder == Path(mount):
                    break


@contextlib.contextmanager
def limited_group(janitor: Janitor, name: str, memory_bytes_max: int) -> Iterator[Path]:
    """A control group with a limit of memory, but none of swap, for the time of the block. Raises Unavailable."""
    group = make_group(janitor, name, memory_bytes_max)
    try:
        yield group
    finally:
        janitor.remove("group", group)


def make_group(janitor: Janitor, name: str, memory_bytes_max: int) -> Path:
    """Makes the group where this machine allows it."""
    reasons = []
    for file, parent in places():
        group = parent / f"{NAME}-{name}"
        try:
            if file == "memory.max":
                with contextlib.suppress(OSError):
                    (parent / "cgroup.subtree_control").write_text("+memory")
            janitor.expect("group", group)
            group.mkdir()
            (group / file).write_text(str(memory_bytes_max))
            return group
        except OSError as error:
            janitor.remove("group", group)
            reasons.append(f"{group}: {error.strerror}")
    raise Unavailable("no control group with a memory limit can be made: " + ("; ".join(reasons) or "none is mounted"))


@contextlib.contextmanager
def swap_file(janitor: Janitor, folder: Path, size: int) -> Iterator[None]:
    """A swap file that this machine uses for the time of the block. Raises Unavailable."""
    path = folder / f"{NAME}.swap"
    make_swap(janitor, path, size)
    try:
        yield
    finally:
        janitor.remove("swap", path)


def make_swap(janitor: Janitor, path: Path, size: int) -> None:
    """Makes the file and has it used."""
    if os.geteuid() != 0:
        raise Unavailable("a swap file takes root")
    if shutil.disk_usage(path.parent).free < size + (1 << 30):
        raise Unavailable(f"no room for a swap file of {size >> 20} MiB in {path.parent}")
    janitor.expect("swap", path)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
        for command in ("mkswap", "swapon"):
            subprocess.run([command, path], capture_output=True, text=True, check=True, env=with_system_path())
    except (OSError, subprocess.CalledProcessError) as error:
        janitor.remove("swap", path)
        detail = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        raise Unavailable(f"a swap file can't be used in {path.parent}: {detail}") from None

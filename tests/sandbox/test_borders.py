"""What a worker is shown is no way to whoever else uses it: sockets, FIFOs, locks, notices, and the machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def shown(scratch: Path, request: pytest.FixtureRequest) -> Path:
    """A folder as a project's: a host's socket, FIFO and files of everybody's in it."""
    folder = scratch / f"shown-{abs(hash(request.node.name)) % 10**9}"
    folder.mkdir(mode=0o755)
    (folder / "file").write_text("shown\n")
    os.mkfifo(folder / "fifo")
    for name, mode in (("file", 0o666), ("fifo", 0o666)):
        (folder / name).chmod(mode)
    return folder


@pytest.fixture(params=["overlaid", "covered"])
def seeing(request: pytest.FixtureRequest, make, shown: Path):
    """A sandbox that shows that folder: through a file system of its own, or with what is dangerous covered."""
    if request.param == "overlaid":
        return make(show=[str(shown)], overlaid=[str(shown)])
    return make(show=[str(shown)], hidden=[str(shown / "fifo"), str(shown / "socket")])


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A server of the host's that anybody may connect to."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o777)
        server.listen()
        server.settimeout(0.2)
        yield server


def test_a_named_socket_of_the_host_hears_nothing(seeing, shown):
    def talk(folder):
        import socket

        os.chdir(folder)
        errors = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            for name in (f"{folder}/socket", "socket"):
                with socket.socket(socket.AF_UNIX, kind) as peer:
                    errors.append(attempt(peer.connect, name))
        return errors

    with listening(shown / "socket") as server:
        assert "done" not in seeing.run(talk, str(shown))
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_socket_that_is_made_later_is_none_through_an_overlay_either(make, shown):
    def wait_and_talk(folder):
        import socket
        import time

        while not os.path.exists(f"{folder}/ready"):
            time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as peer:
            return attempt(peer.connect, f"{folder}/socket")

    worker = make(show=[str(shown)], overlaid=[str(shown)]).start(wait_and_talk, str(shown))
    with listening(shown / "socket") as server:
        (shown / "ready").touch()
        assert worker.value() != "done"
        with pytest.raises(TimeoutError):
            server.accept()
    worker.wait()


def test_nothing_goes_through_a_fifo_of_the_host(seeing, shown):
    def use(folder):
        outcomes = []
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY):
            try:
                number = os.open(f"{folder}/fifo", flags | os.O_NONBLOCK)
                if flags != os.O_WRONLY:
                    outcomes.append(os.read(number, 100).decode())
                if flags != os.O_RDONLY:
                    os.write(number, b"told")
            except OSError as error:
                outcomes.append(errno.errorcode[error.errno])
        return outcomes

    reading = os.open(shown / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(shown / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writing, b"secret")
    outcomes = seeing.run(use, str(shown))
    assert "secret" not in outcomes
    assert os.read(reading, 100) == b"secret"
    os.close(reading)
    os.close(writing)


def test_locks_are_the_workers_own(make, shown):
    def lock(folder):
        import fcntl

        with open(f"{folder}/file") as file:
            outcomes = [attempt(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)]
            outcomes.append(attempt(fcntl.lockf, file, fcntl.LOCK_SH | fcntl.LOCK_NB))
            return outcomes

    with open(shown / "file", "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert make(show=[str(shown)], overlaid=[str(shown)]).run(lock, str(shown)) == ["done", "done"]
        # Without an overlay it is the same file, with the same locks: the test can tell.
        assert make(show=[str(shown)]).run(lock, str(shown)) == ["EAGAIN", "EAGAIN"]


def test_a_lock_says_nothing_to_a_worker_with_network(make, shown):
    def hold(folder):
        import fcntl
        import time

        with open(f"{folder}/file") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.write(3, b" ")
            time.sleep(60)

    def look(folder):
        import fcntl

        with open(f"{folder}/file") as file:
            return attempt(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    options = {"show": [str(shown)], "overlaid": [str(shown)]}
    holder = make(**options).start(hold, str(shown))
    assert os.read(holder._result, 1) == b" "
    assert make(network=True, **options).run(look, str(shown)) == "done"


def test_notices_leases_and_residency_of_files_are_refused(seeing, shown):
    def ask(folder):
        import fcntl

        x86 = os.uname().machine == "x86_64"
        with open(f"{folder}/file") as file:
            return [
                attempt(call, 294 if x86 else 26, 0),  # inotify_init1
                attempt(fcntl.fcntl, os.open(folder, os.O_RDONLY), fcntl.F_NOTIFY, 1),
                attempt(fcntl.fcntl, file, 1024, 0),  # F_SETLEASE
                attempt(call, 451, file.fileno(), 0, 0, 0),  # cachestat
            ]

    assert seeing.run(ask, str(shown)) == ["ENOSYS", "EPERM", "EPERM", "ENOSYS"]


def test_what_is_shown_can_not_be_changed(seeing, shown):
    def change(folder):
        path = f"{folder}/file"
        actions = [
            (os.open, path, os.O_WRONLY), (os.truncate, path, 0), (os.unlink, path), (os.rename, path, f"{folder}/b"),
            (os.mkdir, f"{folder}/d"), (os.symlink, "x", f"{folder}/l"), (os.link, path, f"{folder}/h"),
            (os.mknod, f"{folder}/n", 0o10644), (os.chmod, path, 0o777), (os.utime, path),
            (os.link, path, "/tmp/h"), (os.rename, path, "/tmp/r"), (os.setxattr, path, "user.a", b"b"),
        ]  # fmt: skip
        number = os.open(path, os.O_RDONLY)
        actions += [(os.open, f"/proc/self/fd/{number}", os.O_RDWR), (os.fchmod, number, 0o777)]
        return [attempt(*action) for action in actions]

    before = (shown / "file").stat()
    assert "done" not in seeing.run(change, str(shown))
    after = (shown / "file").stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_size) == (after.st_mode, after.st_mtime_ns, after.st_size)
    assert sorted(entry.name for entry in shown.iterdir()) == ["fifo", "file"]


def test_files_read_the_same_through_an_overlay(make, shown):
    def read(folder):
        import mmap

        with open(f"{folder}/a:b,c\\d/deep/file") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
            return [file.read(), mapped[:].decode(), sorted(os.listdir(folder)), os.readlink(f"{folder}/link")]

    (shown / "a:b,c\\d/deep").mkdir(parents=True)
    (shown / "a:b,c\\d/deep/file").write_text("deep")
    (shown / "link").symlink_to("file")
    sandbox = make(show=[str(shown)], overlaid=[str(shown)])
    assert sandbox.run(read, str(shown)) == ["deep", "deep", ["a:b,c\\d", "fifo", "file", "link"], "file"]


def test_a_folder_whose_name_means_something_in_a_list_is_overlaid(make, scratch):
    def talk(folder):
        import fcntl

        with open(f"{folder}/file") as file:
            return attempt(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    folder = scratch / "odd:name, with\\all 'of' it=1"
    folder.mkdir(mode=0o755, exist_ok=True)
    (folder / "file").touch()
    with open(folder / "file") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert make(show=[str(folder)], overlaid=[str(folder)]).run(talk, str(folder)) == "done"


def test_proc_says_of_the_machine_what_libraries_need_and_no_more(sandbox):
    def look():
        found = {}
        for name in ("kcore", "keys", "timer_list", "sysrq-trigger", "interrupts", "softirqs", "sched_debug"):
            try:
                with open(f"/proc/{name}", "rb") as file:
                    found[name] = len(file.read(100))
            except OSError as error:
                found[name] = errno.errorcode[error.errno]
        for name in ("acpi", "asound", "bus", "fs", "irq", "scsi"):
            found[name] = len(os.listdir(f"/proc/{name}")) if os.path.exists(f"/proc/{name}") else 0
        needed = ("cpuinfo", "meminfo", "stat", "uptime", "loadavg", "self/maps", "sys/kernel/osrelease")
        return found, [open(f"/proc/{name}").read(1) != "" for name in needed]

    found, needed = sandbox.run(look)
    assert all(needed)
    assert all(outcome in ("EACCES", "EPERM", "ENOENT", 0) for outcome in found.values()), found


def test_no_setting_of_the_machine_can_be_written(sandbox):
    def write():
        outcomes = {}
        for folder, _, names in os.walk("/proc/sys"):
            for name in names:
                outcomes[f"{folder}/{name}"] = attempt(os.open, f"{folder}/{name}", os.O_WRONLY)
        outcomes["trigger"] = attempt(os.open, "/proc/sysrq-trigger", os.O_WRONLY)
        return len(outcomes), sorted({outcome for outcome in outcomes.values()})

    count, outcomes = sandbox.run(write)
    assert count > 100
    assert set(outcomes) <= {"EACCES", "EROFS", "EPERM", "ENOENT"}


def test_interfaces_that_reach_beyond_a_process_are_not_there(sandbox):
    def attack():
        x86, numbers = os.uname().machine == "x86_64", {}
        for name, numbers_of in {
            "io_setup": (206, 0), "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238),
            "move_pages": (279, 239), "mq_open": (240, 180), "msgget": (68, 186), "semget": (64, 190),
            "shmget": (29, 194), "vmsplice": (278, 75), "sync": (162, 81),
        }.items():  # fmt: skip
            numbers[name] = numbers_of[0 if x86 else 1]
        numbers |= {"memfd_secret": 447, "io_uring_setup": 425, "landlock_create_ruleset": 444, "pidfd_getfd": 438}
        return {name: attempt(call, number, 0, 0, 0, 0, 0, 0) for name, number in numbers.items()}

    outcomes = sandbox.run(attack)
    assert outcomes.pop("pidfd_getfd") == "EPERM"
    assert set(outcomes.values()) == {"ENOSYS"}, outcomes


def test_what_is_given_as_a_descriptor_is_the_only_way_to_a_file(make):
    """A source's folder is nowhere in the sandbox, not even as a name to look further from."""

    def look(folder):
        outcomes = []
        for path in (
            folder,
            f"{folder}/mine",
            f"{folder}/theirs",
            "/proc/self/fd/4/../theirs",
            "/proc/self/root" + folder,
        ):
            outcomes.append(attempt(os.stat, path))
        for name in ("theirs", "../theirs"):
            try:
                os.open(name, os.O_RDONLY, dir_fd=4)
                outcomes.append("done")
            except OSError as error:
                outcomes.append(errno.errorcode[error.errno])
        with open("/proc/self/mountinfo") as file:
            return outcomes, folder in file.read(), os.read(4, 100).decode()

    folder = Path("/var/tmp") / f"zerrow-borders-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        for name in ("mine", "theirs"):
            (folder / name).write_text(name)
        number = os.open(folder / "mine", os.O_RDONLY)
        outcomes, is_named, text = make().run(look, str(folder), descriptors=[number])
        os.close(number)
    finally:
        for name in ("mine", "theirs"):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
    assert "done" not in outcomes and not is_named and text == "mine"

"""A small engine: it spawns one zygote with the C function of the sandbox, and relays to it.

argv: the library, a JSON object {"arguments", "environment", "entries", "network", "tmp_bytes_max"}, and the number
of a SOCK_SEQPACKET socket. The first message on it says how the spawn went, with the zygote's pidfd and a published
segment, locked as the engine's user can; then the zygote's messages go through unchanged.
"""

import ctypes
import fcntl
import json
import os
import socket
import sys
import threading

ID_FIRST = 0x6A000000
ID_COUNT = 65536


class Entry(ctypes.Structure):
    """A zerrow_zygote_entry."""

    _fields_ = (("path", ctypes.c_char_p), ("link", ctypes.c_char_p))


class ZygoteSpec(ctypes.Structure):
    """A zerrow_zygote_spec."""

    _fields_ = (
        ("arguments", ctypes.POINTER(ctypes.c_char_p)),
        ("environment", ctypes.POINTER(ctypes.c_char_p)),
        ("entries", ctypes.POINTER(Entry)),
        ("entry_count", ctypes.c_size_t),
        ("control", ctypes.c_int),
        ("output", ctypes.c_int),
        ("errors", ctypes.c_int),
        ("id_first", ctypes.c_uint32),
        ("group_first", ctypes.c_uint32),
        ("id_count", ctypes.c_uint32),
        ("has_network", ctypes.c_int),
        ("tmp_bytes_max", ctypes.c_uint64),
        ("reader", ctypes.c_void_p),
    )


class Failure(ctypes.Structure):
    """A zerrow_zygote_failure."""

    _fields_ = (("stage", ctypes.c_int), ("error", ctypes.c_int), ("entry", ctypes.c_int))


def strings(values: list[str]) -> ctypes.Array:
    """A NULL-terminated list of C strings."""
    return (ctypes.c_char_p * (len(values) + 1))(*[value.encode() for value in values], None)


def spawn(library: ctypes.CDLL, options: dict, control: int, is_root: bool) -> tuple[int, int]:
    """The zygote's pid and pidfd. Raises OSError with the stage and the entry that failed."""
    entries = [Entry(path.encode(), link and link.encode()) for path, link in options["entries"]]
    spec = ZygoteSpec(
        strings(options["arguments"]),
        strings(["PATH=/usr/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1", *options["environment"]]),
        (Entry * len(entries))(*entries),
        len(entries),
        control,
        2,
        2,
        ID_FIRST if is_root else os.geteuid(),
        ID_FIRST if is_root else os.getegid(),
        ID_COUNT if is_root else 1,
        options["network"],
        options["tmp_bytes_max"],
    )
    pid, pidfd, failure = ctypes.c_int(), ctypes.c_int(), Failure()
    code = library.zerrow_zygote_spawn(
        ctypes.byref(spec), ctypes.byref(pid), ctypes.byref(pidfd), ctypes.byref(failure)
    )
    if code:
        raise OSError(failure.error, f"stage {failure.stage}, entry {failure.entry}")
    return pid.value, pidfd.value


def make_segment(is_root: bool) -> int:
    """A segment of 2 MiB of `A` which nobody but the engine can change: its descriptor, read-only."""
    file = os.memfd_create("segment", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(file, b"A" * (2 << 20))
    os.fchmod(file, 0o600)
    if not is_root:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)


def relay(source: socket.socket, target: socket.socket) -> None:
    """Pass messages on, until there are no more."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(source, 1 << 18, 64)
        if not data:
            return
        socket.send_fds(target, [data], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def main() -> None:
    """Serve until the test's socket ends."""
    library, options, is_root = ctypes.CDLL(sys.argv[1]), json.loads(sys.argv[2]), os.geteuid() == 0
    test = socket.socket(fileno=int(sys.argv[3]))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid, pidfd = spawn(library, options, theirs.fileno(), is_root)
    except OSError as error:
        test.send(json.dumps({"op": "failed", "errno": error.errno, "message": error.strerror}).encode())
        return
    theirs.close()
    segment = make_segment(is_root)
    socket.send_fds(test, [json.dumps({"op": "spawned", "pid": pid}).encode()], [pidfd, segment])
    threading.Thread(target=relay, args=(ours, test), daemon=True).start()
    relay(test, ours)


if __name__ == "__main__":
    main()

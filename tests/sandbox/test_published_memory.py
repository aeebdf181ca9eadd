"""Nobody who may read a published segment can change it, whichever lock the engine's user allows."""

from __future__ import annotations

import mmap
import os

import pytest
from host import Sandbox

SEGMENT = 4  # the worker's descriptor of it
BYTES = 2 << 20


def content(sandbox: Sandbox) -> bytes:
    """What the segment holds, as a reader would map it."""
    with mmap.mmap(sandbox.segment, BYTES, prot=mmap.PROT_READ) as mapping:
        return mapping[:]


def attack(sandbox: Sandbox, function) -> dict[str, str]:
    """Run an attack that returns {name: outcome}; checks that the segment is as it was."""
    outcomes = sandbox.run(function, descriptors=[sandbox.segment])
    assert os.fstat(sandbox.segment).st_size == BYTES
    assert content(sandbox) == b"A" * BYTES
    return outcomes


def test_a_reader_sees_the_published_bytes(sandbox):
    def read():
        import mmap

        with mmap.mmap(4, 2 << 20, prot=mmap.PROT_READ) as mapping:
            return mapping[:4].decode()

    assert sandbox.run(read, descriptors=[sandbox.segment]) == "AAAA"


def test_a_reader_cannot_write_through_its_descriptor(sandbox):
    def write():
        import fcntl
        import os

        PUNCH, KEEP = 2, 1
        source = os.memfd_create("source")
        os.write(source, b"B" * 4096)
        return {
            "write": attempt(os.write, 4, b"B"),
            "pwrite": attempt(os.pwrite, 4, b"B", 0),
            "ftruncate": attempt(os.ftruncate, 4, 0),
            "fallocate": attempt(os.posix_fallocate, 4, 0, 4 << 20),
            "punch": attempt(call, 285 if platform.machine() == "x86_64" else 47, 4, PUNCH | KEEP, 0, 4096),
            "sendfile": attempt(os.sendfile, 4, source, 0, 4096),
            "copy_file_range": attempt(os.copy_file_range, source, 4, 4096, 0, 0),
            "seals": attempt(fcntl.fcntl, 4, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL),
            "lease": attempt(fcntl.fcntl, 4, fcntl.F_SETLEASE, fcntl.F_WRLCK),
        }

    assert "done" not in attack(sandbox, write).values()


def test_a_reader_cannot_open_the_segment_again_for_writing(sandbox):
    def reopen():
        import os

        path = "/proc/self/fd/4"
        outcomes = {
            "read-write": attempt(lambda: os.pwrite(os.open(path, os.O_RDWR), b"B", 0)),
            "write-only": attempt(lambda: os.pwrite(os.open(path, os.O_WRONLY), b"B", 0)),
            "truncate": attempt(os.open, path, os.O_RDONLY | os.O_TRUNC),
            "truncate by path": attempt(os.truncate, path, 0),
        }
        if os.getuid() != 0:  # where a worker has a user of its own, the file is not its
            outcomes["chmod"] = attempt(os.fchmod, 4, 0o666)
            outcomes["chown"] = attempt(os.fchown, 4, os.getuid(), os.getgid())
        else:
            attempt(os.fchmod, 4, 0o666)
            outcomes["after chmod"] = attempt(lambda: os.pwrite(os.open(path, os.O_RDWR), b"B", 0))
        return outcomes

    assert "done" not in attack(sandbox, reopen).values()


def test_a_reader_cannot_write_through_a_mapping(sandbox):
    def write():
        import ctypes
        import mmap
        import os

        outcomes = {"map for writing": attempt(mmap.mmap, 4, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)}
        LIBC.mmap.restype = ctypes.c_void_p
        address = LIBC.mmap(None, ctypes.c_size_t(2 << 20), mmap.PROT_READ, mmap.MAP_SHARED, 4, ctypes.c_long(0))

        def checked(result):
            if result < 0:
                raise OSError(ctypes.get_errno(), "")

        size, REMOVE, POPULATE_WRITE = ctypes.c_size_t(4096), 9, 23
        pointer = ctypes.c_void_p(address)
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        outcomes["mprotect"] = attempt(lambda: checked(LIBC.mprotect(pointer, size, writable)))
        outcomes["remove"] = attempt(lambda: checked(LIBC.madvise(pointer, size, REMOVE)))
        outcomes["populate"] = attempt(lambda: checked(LIBC.madvise(pointer, size, POPULATE_WRITE)))
        memory = os.open("/proc/self/mem", os.O_RDWR)
        outcomes["/proc/self/mem"] = attempt(os.pwrite, memory, b"B", address)
        folder = "/proc/self/map_files"
        name = f"{folder}/{address:x}-{address + (2 << 20):x}"
        outcomes["map_files"] = attempt(os.open, name, os.O_RDWR)
        buffer = ctypes.create_string_buffer(b"B")
        vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 1)
        remote = (ctypes.c_size_t * 2)(address, 1)
        number = number_of("process_vm_writev")
        outcomes["process_vm_writev"] = attempt(call, number, os.getpid(), vector, 1, remote, 1, 0)
        return outcomes

    assert "done" not in attack(sandbox, write).values()


def test_a_private_mapping_changes_nothing_for_others(sandbox):
    def write():
        import mmap

        with mmap.mmap(4, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapping:
            mapping[:4] = b"BBBB"
            return {"own copy": mapping[:4].decode()}

    assert attack(sandbox, write) == {"own copy": "BBBB"}


def test_a_child_of_a_reader_can_do_no_more_than_the_reader(sandbox):
    def with_child():
        import subprocess
        import sys

        text = (
            "import os, sys\n"
            "for flags in (os.O_RDWR, os.O_WRONLY):\n"
            "    try:\n"
            "        os.pwrite(os.open('/proc/self/fd/4', flags), b'B', 0)\n"
            "        print('done')\n"
            "    except OSError as error:\n"
            "        print(error.errno)\n"
        )
        done = subprocess.run([sys.executable, "-c", text], pass_fds=(4,), capture_output=True, text=True)
        return {"child": "done" if "done" in done.stdout else done.stdout + done.stderr}

    assert attack(sandbox, with_child)["child"].split() in (["13", "13"], ["1", "1"])


@pytest.mark.parametrize("size", [0, BYTES // 2, BYTES * 2])
def test_a_reader_cannot_change_the_size(sandbox, size):
    def resize(size):
        import os

        return {
            "ftruncate": attempt(os.ftruncate, 4, size),
            "reopened": attempt(os.truncate, "/proc/self/fd/4", size),
        }

    outcomes = sandbox.run(resize, size, descriptors=[sandbox.segment])
    assert "done" not in outcomes.values()
    assert os.fstat(sandbox.segment).st_size == BYTES

"""The file broker opens the files of its list, and no others, for reading."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from zerrow.worker.brokered_files import FILES_MAX, BrokeredFiles

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
from host import ORDINARY_USER, as_user, build_library

BROKER = """
import ctypes, os, sys
library, number, pid = ctypes.CDLL(sys.argv[1]), int(sys.argv[2]), ctypes.c_int()
code = library.zerrow_file_broker_spawn(number, ctypes.byref(pid))
os.close(number)
print(code, pid.value, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C functions of the engine as a library of their own."""
    folder = tmp_path_factory.mktemp("library")
    for each in (folder, *folder.parents):
        if each == Path("/tmp"):
            break
        each.chmod(each.stat().st_mode | 0o055)
    return build_library(folder)


@pytest.fixture(params=[0, ORDINARY_USER] if os.geteuid() == 0 else [os.geteuid()])
def offer(library: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[list[Path]], BrokeredFiles]]:
    """Makes what a scan has of a list of files, with a broker of some user."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [*as_user(request.param), "/usr/bin/env", "python3" if request.param else sys.executable, "-c", BROKER]
    engine = subprocess.Popen(
        [*command, str(library), str(theirs.fileno())], pass_fds=(theirs.fileno(),), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    theirs.close()
    assert engine.stdout is not None and engine.stdin is not None
    code, pid = map(int, engine.stdout.readline().split())
    assert code == 0, os.strerror(-code)

    def offer(paths: list[Path]) -> BrokeredFiles:
        entries, offsets = b"", []
        for path in paths:
            status = path.stat()
            offsets.append(8 * (1 + len(paths)) + len(entries))
            entries += struct.pack("=QQ", status.st_dev, status.st_ino) + os.fsencode(path) + b"\0"
        number = os.memfd_create("files")
        os.write(number, struct.pack(f"={1 + len(paths)}Q", len(paths), *offsets) + (entries or b"\0" * 8))
        mine, brokers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(ours, [b"\1"], [number, brokers.fileno()])
        os.close(number)
        brokers.close()
        return BrokeredFiles(mine.detach(), len(paths))

    yield offer
    ours.close()
    engine.stdin.close()
    engine.wait()
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(pid, 0)
            signal.sigtimedwait([], 0.05)


def make(folder: Path, count: int) -> list[Path]:
    """Files that everybody may read, each with its number in it."""
    folder = Path("/var/tmp") / f"zerrow-broker-{os.getpid()}-{folder.name}"
    folder.mkdir(mode=0o755)
    files = [folder / f"{number}.parquet" for number in range(count)]
    for number, file in enumerate(files):
        file.write_text(str(number))
        file.chmod(0o666)
    return files


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Path]]:
    """Files of a source."""
    made = make(tmp_path, 3 * FILES_MAX)
    yield made
    for file in made[0].parent.iterdir():
        file.unlink()
    made[0].parent.rmdir()


def text(descriptor: int) -> str:
    """What is in a file, which is closed."""
    with os.fdopen(descriptor) as file:
        return file.read()


def test_files_come_in_any_order_and_again(offer, files):
    brokered = offer(files)
    order = [*range(len(files)), 5, len(files) - 1, 0, 1, 2, 2]
    assert [text(brokered.open(number)) for number in order] == [str(number) for number in order]


def test_a_descriptor_can_not_be_made_one_to_write_with(offer, files):
    descriptor = offer(files).open(0)
    for action in (
        lambda: os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR),
        lambda: os.fchmod(descriptor, 0o777),
        lambda: os.utime(descriptor),
        lambda: os.write(descriptor, b"x"),
    ):
        with pytest.raises(OSError) as error:
            action()
        assert error.value.errno in (errno.EROFS, errno.EBADF)
    os.close(descriptor)


def test_another_file_of_the_same_name_is_not_opened(offer, files):
    brokered = offer(files)
    secret = files[0].parent / "secret"
    secret.write_text("secret")
    files[0].unlink()
    files[0].symlink_to(secret)
    os.rename(files[2], files[1])
    files[3].unlink()
    os.mkfifo(files[3])
    outcomes = []
    for number in range(5):
        try:
            outcomes.append(text(brokered.open(number)))
        except OSError as error:
            outcomes.append(errno.errorcode[error.errno])
    assert outcomes == ["ELOOP", "ESTALE", "ENOENT", "ESTALE", "4"]


@pytest.mark.parametrize("request_", [(999, 1), (2**32 - 1, 2), (0, 0), (0, 65), (0, 2**32 - 1)])
def test_what_is_not_on_the_list_is_not_opened(offer, files, request_):
    brokered = offer(files)
    brokered._socket.sendall(struct.pack("=II", *request_))
    answer, descriptors, _, _ = socket.recv_fds(brokered._socket, 1000, 100)
    assert descriptors == []
    assert answer == b"" or set(struct.unpack(f"={len(answer) // 4}i", answer)) == {errno.EINVAL}


def test_a_scan_is_told_when_its_broker_has_ended(offer, files):
    brokered = offer(files)
    brokered._socket.sendall(b"no request")
    with pytest.raises(OSError):
        brokered.open(0)


def test_the_functions_are_there(library):
    assert ctypes.CDLL(str(library)).zerrow_file_broker_spawn

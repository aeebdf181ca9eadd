"""Each system call has the answer that docs/system-calls.md gives it; every number that is not there is ENOSYS."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from pathlib import Path

import pytest

NUMBER_END = 600
ALLOWED, DEPENDS = 0, -1
# uretprobe and uprobe of x86-64: the kernel calls them from code that it puts there itself, and asks no filter; for
# anybody else they are nothing.
UNFILTERED = {335, 336} if os.uname().machine == "x86_64" else set()
PAGE = Path(__file__).resolve().parents[2] / "docs/system-calls.md"


class SystemCall(ctypes.Structure):
    """A zerrow_system_call."""

    _fields_ = (("name", ctypes.c_char_p), ("number", ctypes.c_int), ("answer", ctypes.c_int))


@pytest.fixture(scope="session")
def table(library: Path) -> dict[str, tuple[int, int]]:
    """Number and answer of each call by its name, from the source that the filter is made of."""
    functions = ctypes.CDLL(str(library))
    functions.zerrow_system_calls.restype = ctypes.POINTER(SystemCall)
    count = ctypes.c_size_t()
    calls = functions.zerrow_system_calls(ctypes.byref(count))
    found = {calls[i].name.decode(): (calls[i].number, calls[i].answer) for i in range(count.value)}
    assert len(found) == count.value, "a call is listed twice"
    return found


def test_the_page_lists_each_call_with_its_answer(table):
    listed = {}
    for line in PAGE.read_text().splitlines():
        columns = [column.strip() for column in line.strip("|").split("|")]
        if not line.startswith("| ") or columns[0] in ("answer", "---"):
            continue
        for name in re.findall(r"`(\w+)`", columns[1]):
            assert name not in listed, f"{name} is listed twice"
            listed[name] = columns[0]
    words = {ALLOWED: "allowed", DEPENDS: "depends"}
    known = {name: words.get(answer) or errno.errorcode[answer] for name, (_, answer) in table.items()}
    # The page has the calls of both architectures.
    assert {name: word for name, word in listed.items() if name in known} == known
    assert len(listed) - len(known) <= 45


def probe(numbers):
    """What each call answers to arguments that are nothing: an error's name, `done`, or `dead` if it did not return."""
    import ctypes
    import errno
    import os
    import signal

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    nothing = [ctypes.c_long(-1)] * 6
    answers = {}
    for number in numbers:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 2)
            result = libc.syscall(ctypes.c_long(number), *nothing)
            os.write(writing, (errno.errorcode.get(ctypes.get_errno(), "?") if result == -1 else "done").encode())
            os._exit(0)
        os.close(writing)
        answers[number] = os.read(reading, 100).decode() or "dead"
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return answers


def test_every_number_has_its_answer_in_a_worker(sandbox, table):
    # They make processes that share the caller's stack, which is still in use.
    skipped = {table[name][0] for name in ("vfork", "clone", "fork") if name in table}
    answers = sandbox.run(probe, [number for number in range(NUMBER_END) if number not in skipped])
    found = {int(number): answer for number, answer in answers.items()}
    by_number = {number: (name, answer) for name, (number, answer) in table.items()}
    wrong = {}
    for number, answer in found.items():
        name, wanted = by_number.get(number, (f"call {number}", errno.ENOSYS))
        if number in UNFILTERED and answer in ("dead", "ENXIO"):
            continue
        if wanted in (ALLOWED, DEPENDS):
            if answer == "ENOSYS" and probe([number])[number] != "ENOSYS":  # this kernel may be older than the call
                wrong[name] = answer
        elif answer != errno.errorcode[wanted]:
            wrong[name] = answer
    assert wrong == {}


@pytest.mark.parametrize(
    "name",
    [
        *("mbind", "set_mempolicy", "get_mempolicy", "migrate_pages", "move_pages", "memfd_secret", "io_setup"),
        *("mq_open", "msgget", "shmget", "semget", "io_uring_setup", "inotify_init1", "cachestat", "clone3"),
    ],
)
def test_what_is_closed_is_in_no_list(table, name):
    assert name not in table


def test_the_probe_sees_a_call_that_is_let_through():
    assert probe([39 if os.uname().machine == "x86_64" else 172]) == {
        39 if os.uname().machine == "x86_64" else 172: "done"
    }  # getpid

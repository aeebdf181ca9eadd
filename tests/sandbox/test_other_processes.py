"""A worker sees, reaches and outlives nobody; whoever dies takes along what hangs on it."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest
from host import SECONDS_MAX


def is_dead(pidfd: int) -> bool:
    """Whether the process ends; waits for it."""
    return bool(select.select([pidfd], [], [], SECONDS_MAX)[0])


def is_alive(pidfd: int) -> bool:
    """Whether the process has not ended so far."""
    return not select.select([pidfd], [], [], 0)[0]


def stay():
    """A worker's function that says it is there and stays."""
    import os
    import time

    os.write(4, b"!")
    time.sleep(1000)


def start_staying(sandbox):
    """A worker that runs `stay`, once it is there."""
    reading, writing = os.pipe()
    worker = sandbox.start(stay, descriptors=[writing])
    os.close(writing)
    assert os.read(reading, 1) == b"!"
    os.close(reading)
    return worker


def test_a_worker_is_alone(sandbox):
    other = start_staying(sandbox)

    def look():
        import os

        return [name for name in os.listdir("/proc") if name.isdigit()], os.getpid(), os.getppid()

    assert sandbox.run(look) == [["1"], 1, 0]
    assert is_alive(other.pidfd)


def test_a_worker_has_its_own_descriptors_only(sandbox):
    def look():
        import os

        return sorted(int(name) for name in os.listdir("/proc/self/fd"))

    # 3 is the result's pipe, 4 the folder that is being listed.
    assert sandbox.run(look) == [0, 1, 2, 3, 4]


def test_a_worker_can_signal_nobody(sandbox):
    other = start_staying(sandbox)

    def kill():
        import os
        import signal

        outcomes = [attempt(os.kill, pid, signal.SIGKILL) for pid in range(2, 400)]
        attempt(os.kill, -1, signal.SIGKILL)
        # Its own group; by way of a child, as it may go along.
        if os.fork() == 0:
            os.kill(0, signal.SIGTERM)
            os._exit(0)
        os.kill(0, signal.SIGKILL)
        os.killpg(0, signal.SIGKILL)
        return sorted(set(outcomes))

    assert sandbox.run(kill) == ["ESRCH"]
    assert is_alive(other.pidfd)
    assert is_alive(sandbox.zygote)


def test_a_worker_leads_a_session_of_its_own(sandbox):
    def look():
        import os

        return os.getsid(0), os.getpgid(0)

    assert sandbox.run(look) == [1, 1]


def test_a_worker_cannot_read_or_trace_what_started_it(sandbox):
    def trace():
        import os

        ATTACH, SEIZE = 16, 0x4206
        child = os.fork()
        if child == 0:
            import time

            time.sleep(1000)
        return {
            "proc of the parent": attempt(os.stat, f"/proc/{os.getppid()}/mem") if os.getppid() else "ENOENT",
            "trace the child": attempt(call, number_of("ptrace"), ATTACH, child, 0, 0),
            "seize the child": attempt(call, number_of("ptrace"), SEIZE, child, 0, 0),
            "trace itself": attempt(call, number_of("ptrace"), 0, 0, 0, 0),
            "read the child": attempt(call, number_of("process_vm_readv"), child, 0, 0, 0, 0, 0),
            "take descriptors": attempt(lambda: call(number_of("pidfd_getfd"), os.pidfd_open(child), 0, 0)),
        }

    assert set(sandbox.run(trace).values()) == {"EPERM", "ENOENT"}


def test_a_daemon_is_dead_when_the_end_of_its_worker_is_reported(sandbox):
    reading, writing = os.pipe()

    def leave_a_daemon():
        import os
        import signal
        import time

        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                os.write(4, b"alive")
                time.sleep(1000)
            os._exit(0)
        time.sleep(0.2)
        return "left"

    worker = sandbox.start(leave_a_daemon, descriptors=[writing])
    os.close(writing)
    assert os.read(reading, 5) == b"alive"
    worker.wait()
    # The end of the pipe: the daemon held it last.
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.mark.parametrize("victim", ["engine", "zygote"])
def test_all_die_with_what_started_them(make, victim):
    sandbox = make()
    workers = [start_staying(sandbox) for _ in range(3)]
    if victim == "engine":
        sandbox.engine.kill()
    else:
        signal.pidfd_send_signal(sandbox.zygote, signal.SIGKILL)
    assert is_dead(sandbox.zygote)
    assert all(is_dead(worker.pidfd) for worker in workers)


def test_a_killed_engine_leaves_no_mount(make):
    before = Path("/proc/self/mountinfo").read_text()
    sandbox = make()
    worker = start_staying(sandbox)
    sandbox.engine.kill()
    assert is_dead(worker.pidfd)
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_death_of_a_worker_disturbs_no_other(sandbox):
    workers = [start_staying(sandbox) for _ in range(3)]
    signal.pidfd_send_signal(workers[1].pidfd, signal.SIGKILL)
    assert workers[1].wait() == -signal.SIGKILL
    assert is_alive(workers[0].pidfd) and is_alive(workers[2].pidfd) and is_alive(sandbox.zygote)


def test_no_worker_makes_what_others_could_find_by_a_key(sandbox):
    def make_shared():
        made = [LIBC.shmget(0x7A65, 4096, 0o1666), LIBC.msgget(0x7A65, 0o1666), LIBC.semget(0x7A65, 1, 0o1666)]
        return [*made, ctypes.CDLL(None).mq_open(b"/queue", os.O_CREAT | os.O_RDWR, 0o666, None)]

    assert sandbox.run(make_shared) == [-1] * 4


def test_workers_have_users_of_their_own_where_the_engine_is_root(sandbox):
    first, second = start_staying(sandbox), start_staying(sandbox)
    owners = {os.stat(f"/proc/{worker.host_pid()}").st_uid for worker in (first, second)}
    zygote = os.stat(f"/proc/{sandbox.zygote_pid}").st_uid
    if sandbox.user == 0:
        assert len(owners | {zygote, 0}) == 4
    else:
        assert owners == {zygote} == {sandbox.user}

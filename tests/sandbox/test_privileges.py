"""A worker has no privilege, can't get one, and can't use the parts of the kernel it has no business with."""

from __future__ import annotations

import platform
import signal

import pytest


def test_no_capability_is_left(sandbox):
    def look():
        with open("/proc/self/status") as file:
            lines = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
        return {name: lines[name] for name in names}

    none = "0" * 16
    assert sandbox.run(look) == {
        "CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
        "NoNewPrivs": "1", "Seccomp": "2",
    }  # fmt: skip


def test_a_program_that_a_worker_starts_has_none_either(sandbox):
    def look():
        import subprocess

        done = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True, check=True)
        return [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("CapEff", "CapPrm", "CapBnd"))]

    assert sandbox.run(look) == ["0" * 16] * 3


def test_no_other_user_can_be_become(sandbox):
    def become():
        import os

        own = os.getuid()
        users = [user for user in (0, 1, 1000, 1001, 1002, 65534) if user != own]
        outcomes = [attempt(os.setresuid, user, user, user) for user in users]
        outcomes += [attempt(os.setresgid, user, user, user) for user in users]
        return [*outcomes, attempt(os.setgroups, [])]

    assert set(sandbox.run(become)) <= {"EPERM", "EINVAL"}


def test_no_namespace_can_be_made(sandbox):
    def make():
        flags = {
            "user": 0x10000000, "mount": 0x00020000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000,
            "uts": 0x04000000, "cgroup": 0x02000000,
        }  # fmt: skip
        outcomes = {f"unshare {name}": attempt(call, number_of("unshare"), flag) for name, flag in flags.items()}
        for name, flag in flags.items():
            outcomes[f"clone {name}"] = attempt(call, number_of("clone"), flag | 17, 0, 0, 0, 0)
        with open("/proc/self/ns/user") as own:
            outcomes["setns"] = attempt(call, number_of("setns"), own.fileno(), 0)
        return outcomes

    assert set(sandbox.run(make).values()) == {"EPERM"}


FORBIDDEN = [
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "unshare", "setns", "mount", "umount2",
    "pivot_root", "chroot", "bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl",
    "init_module", "finit_module", "delete_module", "kexec_load", "reboot", "swapon", "swapoff", "acct",
    "quotactl", "quotactl_fd", "syslog", "settimeofday", "clock_settime", "sethostname", "personality",
    "open_by_handle_at", "name_to_handle_at", "fanotify_init", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "pidfd_getfd", "process_madvise", "mount_setattr",
]  # fmt: skip
ABSENT = ["clone3", "io_uring_setup", "statmount", "open_tree_attr", "last"]


def test_forbidden_calls_are_refused(sandbox):
    def make(names):
        return {name: attempt(call, number_of(name), 0, 0, 0, 0, 0, 0) for name in names}

    assert sandbox.run(make, FORBIDDEN) == dict.fromkeys(FORBIDDEN, "EPERM")
    assert sandbox.run(make, ABSENT) == dict.fromkeys(ABSENT, "ENOSYS")


def test_programs_that_a_worker_starts_are_filtered_too(sandbox):
    def make():
        import subprocess

        return subprocess.run(["/usr/bin/unshare", "-U", "/bin/true"], capture_output=True, text=True).returncode

    assert sandbox.run(make) != 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other architecture has no second set of calls")
@pytest.mark.parametrize("kind", ["x32", "i386"])
def test_calls_of_a_foreign_architecture_kill(sandbox, kind):
    def make(kind):
        import ctypes
        import mmap
        import os

        child = os.fork()
        if child == 0:
            if kind == "x32":
                attempt(call, 0x40000000 + 39)
            else:
                code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
                code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, getpid; int 0x80; ret
                ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    # A kernel without 32-bit calls answers int 0x80 with SIGSEGV.
    assert sandbox.run(make, kind) in ({signal.SIGSYS} if kind == "x32" else {signal.SIGSYS, signal.SIGSEGV})


def test_a_crash_is_not_written_down(sandbox):
    def look():
        import resource

        return resource.getrlimit(resource.RLIMIT_CORE)

    # 1 is what keeps the kernel from piping a dump to a program of the host too.
    assert sandbox.run(look) == [1, 1]


def test_a_worker_may_crash(sandbox):
    def crash():
        import ctypes

        ctypes.string_at(0)

    worker = sandbox.start(crash)
    with pytest.raises(EOFError):
        worker.value()
    assert worker.wait() == -signal.SIGSEGV


def test_a_worker_goes_before_the_engine_when_memory_is_short(sandbox):
    def look():
        return int(open("/proc/self/oom_score_adj").read())

    assert sandbox.run(look) >= 500


def test_no_terminal_is_within_reach(sandbox):
    def look():
        import os

        TIOCSTI = 0x5412
        return attempt(os.open, "/dev/tty", os.O_RDWR), attempt(
            call, 16 if platform.machine() == "x86_64" else 29, 0, TIOCSTI, 0
        )

    assert sandbox.run(look) == ["ENOENT", "EPERM"]


def test_of_kernelzero_the_known_calls_are_let_through_and_no_others(sandbox):
    """The device comes from the engine; here another file answers, that it knows no such call."""

    def ask():
        import os

        def number(kind, size):
            return 3 << 30 | size << 16 | 0xB7 << 8 | kind

        ioctl = 16 if platform.machine() == "x86_64" else 29
        requests = {
            "info": number(0, 64),
            "deanonymize": number(1, 104),
            "unknown": number(2, 8),
            "sized": number(1, 112),
        }
        with open("/dev/null") as file:
            outcomes = {name: attempt(call, ioctl, file.fileno(), request, 0) for name, request in requests.items()}
        return outcomes, os.path.exists("/dev/kernelzero")

    outcomes, is_there = sandbox.run(ask)
    assert outcomes == {"info": "ENOTTY", "deanonymize": "ENOTTY", "unknown": "EPERM", "sized": "EPERM"}
    assert not is_there, "a worker has the device by its descriptor only"

# SPDX-License-Identifier: GPL-2.0-only
"""What a machine's run says: which tests passed, and what the kernel complained about in its log."""

import re
from dataclasses import dataclass, field

# Words of the kernel that mean something is broken. The tests' own lines begin with "kernelzero test:".
COMPLAINT = re.compile(
    r"BUG|WARNING|Oops|Bad (page|rss|swap|pagetable)|bad (page|rss|swap)|general protection|Call Trace|hung_task"
    r"|blocked for more than|soft lockup|rcu.*(stall|detected)|possible circular|lockdep|KASAN|UBSAN|Kernel panic"
    r"|double free|corrupt|vmstat_refresh|page dumped because|unable to handle|segfault|refcount_t"
    r"|swap_(dup|free|info_get|entry_free)|get_swap_device|nonzero _|use-after-free|leaked"
)
# Words of Debian's kernels at boot that match but are normal.
HARMLESS = re.compile(
    r"RCU CPU stall warnings timeout|RCU lockdep checking is enabled"
    r"|Command line:|Kernel command line:|module verification failed|loading out-of-tree"
)
# What comes before the kernel tells how a process came to pass the limit of its control group, a call trace included.
LIMIT_REACHED = re.compile(r"invoked oom-killer")
# What comes instead of that group's figures where the machine itself has no more memory.
MACHINE_IS_FULL = re.compile(r"Out of memory: Kill|System is deadlocked on memory")
# Lines of the log that are shown after a complaint: most are followed by what the kernel was doing.
CONTEXT_LINES = 30
TEST_LINE = re.compile(r"kernelzero test: (\S+)")


@dataclass
class Verdict:
    """Filled from the lines of a run, then from its log. All names are those of tests.

    With `limits_kill` the kernel may kill what passes the limit of a control group, and tell of it.
    """

    passed: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    complaints: list[tuple[str, str]] = field(default_factory=list)
    limits_kill: bool = False
    running: str | None = None
    complete: bool = False

    def take_line(self, line: str) -> bool:
        """Takes a line of the tests; true if it is one to show."""
        word, _, rest = line.partition(" ")
        if word == "run":
            self.running = rest
        elif word in ("ok", "FAIL"):
            name, _, words = rest.partition(" ")
            (self.passed if word == "ok" else self.failed)[name] = words
            self.running = None
            return True
        elif word == "end":
            self.complete = True
        return False

    def take_log(self, log: str) -> None:
        """Looks through the kernel's log: each complaint belongs to the test that ran when it came."""
        test = "boot"
        context = 0
        expects_trace = False
        for line in log.splitlines():
            if match := TEST_LINE.search(line):
                test = match[1]
                context = 0
            elif self.limits_kill and LIMIT_REACHED.search(line):
                expects_trace = True
            elif expects_trace and "Call Trace" in line:
                expects_trace = False
            elif MACHINE_IS_FULL.search(line) or (COMPLAINT.search(line) and not HARMLESS.search(line)):
                context = CONTEXT_LINES
            if context > 0:
                self.complaints.append((test, line.strip()))
                context -= 1

    @property
    def has_not_begun(self) -> bool:
        """Whether the machine ended before its first test."""
        return not self.complete and not self.passed and set(self.failed) <= {"machine"}

    def take_end(self, ended: str) -> None:
        """Takes how the machine ended: one that died fails the test that ran."""
        if not self.complete:
            self.failed[self.running or "machine"] = ended or "the machine ended while it ran"

    def tests_with_complaints(self) -> dict[str, list[str]]:
        """The log's complaints by test."""
        tests: dict[str, list[str]] = {}
        for test, line in self.complaints:
            tests.setdefault(test, []).append(line)
        return tests

"""A plugin of pytest that prints what the runner of the kernel tests reads.

That is `run NAME` when a test begins and, when it is over, `ok NAME`, or what failed and `FAIL NAME`. The kernel's log
gets the names, too, so that it can be told whose its words are.
"""

from __future__ import annotations

import contextlib

import pytest


class Report:
    """Prints the lines as things happen."""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        say(f"run {name(nodeid)}")
        with contextlib.suppress(OSError), open("/dev/kmsg", "w") as log:
            log.write(f"kernelzero test: {name(nodeid)}\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            say(report.longreprtext, *(text for _, text in report.sections))
            say(f"FAIL {name(report.nodeid)} {report.when} failed")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            say(f"skip {name(report.nodeid)} {reason.removeprefix('Skipped: ')}")
        elif report.when == "call":
            say(f"ok {name(report.nodeid)} {report.duration:.1f} s")
            for title, text in report.sections:
                if "stderr call" in title:
                    say(*(f"# {line}" for line in text.splitlines()))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            say(report.longreprtext, f"FAIL {name(report.nodeid)} can't be collected")


def name(nodeid: str) -> str:
    """A test's name: a word."""
    return nodeid.removeprefix("tests/").replace(" ", "_")


def say(*lines: str) -> None:
    """Print lines at once."""
    print(*lines, sep="\n", flush=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Report())

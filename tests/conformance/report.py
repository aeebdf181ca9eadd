"""A plugin of pytest that prints one line for each test, and before it what failed."""

from __future__ import annotations

import sys

import pytest


class Report:
    """Prints `ok`, `skip` or `FAIL`, and the name of a test as soon as it is over."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.removeprefix("tests/")
        if report.failed:
            print(report.longreprtext, *(text for _, text in report.sections), sep="\n")
            print(f"FAIL {name}" + ("" if report.when == "call" else f" ({report.when})"), flush=True)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            print(f"skip {name}: {reason.removeprefix('Skipped: ')}", flush=True)
        elif report.when == "call":
            print(f"ok {name} ({report.duration:.1f} s)", flush=True)
            for title, text in report.sections:
                if "stderr call" in title:
                    print("".join(f"# {line}\n" for line in text.splitlines()), end="", flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(report.longreprtext, f"FAIL {report.nodeid} (collection)", sep="\n", flush=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Report())
    sys.stdout.reconfigure(line_buffering=True)

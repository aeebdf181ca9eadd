"""A trap, a programmer's mistake, says its reason in a release build too."""

import os
import signal
from pathlib import Path

import pytest
from command import HOME, Project

BINARY = Path(os.environ.get("ZERROW_COMMAND", HOME / ".build/release/zerrow"))


def test_reasons_of_preconditions_are_in_the_release_build():
    """The compiler leaves them out of a build whose preconditions don't print them."""
    content = BINARY.read_bytes()
    for reason in (b"an empty message reads as the end of the stream", b"bytes can't be negative"):
        assert reason in content


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGTRAP])
def test_a_trap_without_a_reason_says_where_it_was(project: Project, serve, number):
    """A check of arithmetic is an illegal instruction; here somebody sends the signal."""
    server = serve(project.caller)
    server.process.send_signal(number)
    assert server.process.wait(timeout=60) in (-number, 128 + number)
    assert server.says(f"stops it ({number.name} at 0x")

"""What models print is shown while they run, whole and in order."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest
from command import Project

LIVE = """
    import sys
    import time
    import zerrow


    @zerrow.model()
    def talks(numbers=zerrow.Model("numbers", columns=["a"])):
        print("before the sleep")
        print("half a", end="", flush=True)
        time.sleep(600)
        return numbers
"""


def read_until(descriptor: int, text: bytes, seconds: float = 120) -> bytes:
    """What comes from a descriptor up to a text; a bound against hanging, not a measurement."""
    found, end = b"", time.monotonic() + seconds
    while text not in found:
        assert time.monotonic() < end, found
        if select.select([descriptor], [], [], 1)[0]:
            piece = os.read(descriptor, 1 << 16)
            assert piece, found
            found += piece
    return found


def test_lines_come_through_a_pipe_while_the_model_sleeps(project: Project) -> None:
    project.write("models.py", LIVE)
    process = project.start()
    found = read_until(process.stderr.fileno(), b"half a\n")
    assert re.search(rb"talks . before the sleep\n", found) or b"before the sleep\n" in found
    process.send_signal(signal.SIGINT)
    process.wait(60)


def test_lines_come_to_a_terminal_whole_while_the_model_sleeps(project: Project) -> None:
    project.write("models.py", LIVE)
    process, terminal = pty.fork()
    if process == 0:
        command = project.command()
        os.execve(command[0], command, project.environment({"TERM": "xterm", "LANG": "C.UTF-8"}))
    found = read_until(terminal, b"half a")
    # The display is still drawn below: something runs.
    found += read_until(terminal, b"1 running")
    os.kill(process, signal.SIGINT)
    try:
        while piece := os.read(terminal, 1 << 16):
            found += piece
    except OSError:
        pass
    os.waitpid(process, 0)
    os.close(terminal)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line) for line in found.decode().split("\n")]
    assert sum(line.rstrip().endswith("before the sleep") for line in lines) == 1
    assert sum(line.rstrip().endswith("half a") for line in lines) == 1


def printed(project: Project, body: str, *options: str) -> list[str]:
    """The lines that a model of that body prints, as a run through a pipe shows them."""
    lines = "\n".join("        " + line for line in body.strip().splitlines())
    project.write(
        "models.py",
        f"""
    import sys
    import time
    import zerrow


    @zerrow.model()
    def talks(numbers=zerrow.Model("numbers", columns=["a"])):
{lines}
        return numbers
""".replace("\n    ", "\n"),
    )
    done = subprocess.run(
        project.command(*options), capture_output=True, text=True, env=project.environment({"LANG": "C.UTF-8"})
    )
    assert done.returncode == 0, done.stderr
    return [line.partition("│ ")[2] for line in done.stderr.split("\n") if line.startswith("talks") and "│ " in line]


def test_a_line_without_an_end_is_not_lost(project: Project) -> None:
    assert printed(project, "print('one')\nprint('two', end='')") == ["one", "two"]
    assert printed(project, "print('three', end='')\nsys.stdout.flush()\ntime.sleep(2)\nprint(' four')") == [
        "three",
        " four",
    ]


def test_a_progress_bar_is_no_endless_line_and_ends_as_a_terminal_shows_it(project: Project) -> None:
    body = """
for step in range(2001):
    sys.stderr.write(f"\\rstep {step} of 2000")
    sys.stderr.flush()
sys.stderr.write("\\n")
print("done")
"""
    lines = printed(project, body)
    assert lines[-2:] == ["step 2000 of 2000", "done"]
    assert len(lines) < 100 and all(re.fullmatch(r"step \d+ of 2000", line) for line in lines[:-1])


@pytest.mark.parametrize("end", ["\\r\\n", "\\n"])
def test_ends_of_lines_are_one_end(project: Project, end: str) -> None:
    assert printed(project, f"sys.stdout.write('a{end}b{end}{end}c{end}')\nsys.stdout.flush()") == ["a", "b", "", "c"]

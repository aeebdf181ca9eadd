"""How the tests of the planner ask for a plan."""

from __future__ import annotations

import subprocess
from pathlib import Path

from command import Project

HANG_SECONDS = 120
"""A bound against a planner that never ends; no measurement."""

MODEL = """
    import zerrow

    @zerrow.model()
    def model(numbers=zerrow.Model("numbers")):
        return numbers
"""


def plan(project: Project, *arguments: str, command: str = "plan", cwd: Path | None = None, **env: str):
    """One call of the command; nothing may wait for ever."""
    words = [*project.caller.words, command]
    words += [] if cwd is not None else ["-p", str(project.folder)]
    done = subprocess.run(
        [*words, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=HANG_SECONDS,
        env=project.environment(env),
        cwd=cwd,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def refused(project: Project, *words: str, **env: str) -> str:
    """The message for a project that can't be planned; it has all the words."""
    done = plan(project, **env)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("error: ")
    assert "the planner failed" not in done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    return done.stderr


# What an interpreter would import before, or in place of, what the planner and the workers need.


def limited(project: Project) -> None:
    """Much to parse: on any machine longer than the limit that is given, and than it takes to kill somebody."""
    project.write("reader.sql", "SELECT * FROM numbers")
    lines = "".join(f"x{n} = [a{n}, (b{n} + c{n}) * d{n}]\n" for n in range(250_000))
    for number in range(10):
        project.write(f"long{number}.py", lines)

"""Some rounds of the campaign, each time others; and that a round that is wrong is said to be."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run")


def test_whatever_is_killed_nothing_is_left_all_that_is_said_is_true_and_caches_are_right():
    seed = random.randrange(2**31)
    # Its files lie where it chooses: the path of a socket has to be short.
    words = [sys.executable, str(RUN), "--seed", str(seed), "--count", "30"]
    done = subprocess.run(words, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, f"seed {seed}"


# A round whose janitor is killed, which fails nothing.
SEED = 29
# What is wrong in each: a process that lives on, a file that stays, half an export, no report, false rows.
WRONGS = {
    "left behind: process": 'nohup sleep 77 >/dev/null 2>&1 & exec "$@"',
    "left behind: tmp/": 'touch "$TMPDIR/half"; exec "$@"',
    "is no table": '"$@"; code=$?; for f in "$EXPORTS"/*; do echo half >"$f"; done; exit $code',
    "no report": 'exec "$@" >/dev/null',
    "rows, it has": '"$@" | sed -E "s/(.rows. *: *)[0-9]+/\\\\17777/g"; exit ${PIPESTATUS[0]}',
}


@pytest.mark.parametrize("says", WRONGS)
def test_a_round_that_is_wrong_is_found_and_can_be_repeated(tmp_path: Path, says: str, monkeypatch: pytest.MonkeyPatch):
    """A command around the real one that breaks one promise: each kind of check sees it."""
    sys.path[:0] = [str(RUN.parent), str(RUN.parents[1] / "endtoend")]
    from command import HOME, ZERROW

    wrapper = tmp_path / "zerrow"
    folder = tmp_path / "round"
    lines = f'#!/bin/bash\nset -- "{ZERROW}" "$@"\nEXPORTS=$(dirname "$TMPDIR")/export\n{WRONGS[says]}\n'
    wrapper.write_text(lines)
    wrapper.chmod(0o755)
    folder.mkdir()
    words = [sys.executable, str(RUN), "--seed", str(SEED), "--count", "1", "--alone", "--folder", str(folder)]
    monkeypatch.setenv("ZERROW_COMMAND", str(wrapper))
    monkeypatch.setenv("ZERROW_HOME", str(HOME))
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1 and says in done.stdout, done.stdout + done.stderr
    assert f"again: tests/chaos/run --seed {SEED} --count 1 --alone" in done.stdout

"""`zerrow bench paper`: what it prints and writes, and that it leaves nothing behind, also when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
ZERROW = Path(os.environ.get("ZERROW_COMMAND", HOME / "zerrow"))
GROUPS = Path("/sys/fs/cgroup")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes a swap file and a control group")


@pytest.fixture
def command(tmp_path: Path):
    """Words and environment of a call; its tables are the test's own."""
    words = [
        str(ZERROW),
        "bench",
        "paper",
        "--scale",
        "quick",
        "--output",
        "json",
        "--report",
        str(tmp_path / "report"),
    ]
    return words, {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "ZERROW_SOCKET": "/nonexistent/socket"}


def traces(pid: int, cache: Path) -> list[str]:
    """What is there of the benchmark with this process number: swap, groups, folders and processes."""
    name = f"zerrow-bench-{pid}"
    found = [line for line in Path("/proc/swaps").read_text().splitlines() if name in line]
    places = [*Path("/var/tmp").glob(f"{name}*"), *Path("/dev/shm").glob(f"{name}*"), *GROUPS.glob(f"**/{name}*")]
    found += [str(path) for path in places]
    work = f"work-{pid}"
    found += [str(path) for path in (cache / "zerrow/bench").glob(work)]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if work in words:
            found.append(words)
    return found


def wait_until(condition, what: str, seconds: float = 60) -> None:
    """Wait for something that must come; a bound against hanging, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def test_the_report_has_ratios_and_plots_and_says_what_is_left_out(command, tmp_path):
    words, environment = command
    # No place for a swap file: the experiment that needs it can't run, whoever calls.
    done = subprocess.run(
        [*words, "--only", "1,3", "--swap-folder", "/proc"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [entry["name"] for entry in result["experiments"]] == ["hand-off", "hand-off, reader side"]
    for entry in result["experiments"]:
        assert entry["baseline_ms"] > 0 and entry["zerrow_ms"] > 0 and entry["paper_ratio"] > 1
        assert entry["ratio"] == pytest.approx(entry["baseline_ms"] / entry["zerrow_ms"], rel=0.01)
    cases = result["experiments"][0]["cases"]
    assert {case["system"] for case in cases} == {"full copy", "writer copy", "zero copy (zerrow)"}
    assert [one["experiment"] for one in result["left_out"]] == [3]
    assert "swap file" in result["left_out"][0]["reason"]
    text = (tmp_path / "report/report.md").read_text()
    assert "Experiment 3 is left out" in text
    plots = sorted((tmp_path / "report").glob("*.svg"))
    assert len(plots) == 2
    for plot in plots:
        assert ElementTree.parse(plot).getroot().tag.endswith("svg")
        assert plot.name in text
    assert not list((tmp_path / "cache/zerrow/bench").glob("work-*"))


@needs_root
def test_a_killed_benchmark_leaves_no_swap_group_folder_or_process(command, tmp_path):
    words, environment = command
    with subprocess.Popen(
        [*words, "--only", "3"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            # Both systems have run; the next round is on its way.
            if "round 0, zerrow" in line:
                break
        assert process.poll() is None, "".join(said)
        work = next((tmp_path / "cache/zerrow/bench").glob("work-*"))
        pid = int(work.name.partition("-")[2])
        there = "\n".join(traces(pid, tmp_path / "cache"))
        for part in (f"/var/tmp/zerrow-bench-{pid}.swap", f"zerrow-bench-{pid}-generous", "baseline.py", "--no-serve"):
            assert part in there
        os.kill(pid, signal.SIGKILL)
        process.stderr.read()
    assert process.returncode != 0
    wait_until(lambda: not traces(pid, tmp_path / "cache"), "the end of all that it made")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "8"], "there is no experiment 8"),
        (["--only", "x"], "not a list of numbers"),
        (["--rounds", "0"], "not a number of 1 or more"),
    ],
)
def test_a_wrong_option_is_named(command, words, complaint):
    done = subprocess.run([*command[0], *words], capture_output=True, text=True, env=command[1])
    assert done.returncode == 2
    assert complaint in done.stderr

"""`zerrow bench pipeline`: what isolation costs.

The models of examples/tpch, three ways, in turn: in sandboxed processes of a warm engine (zerrow), the same functions
in one process that passes pointers (in-process), and in a process per model that passes Arrow IPC files in /dev/shm
(ipc-files).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from measure import HOME, ZERROW, LineProcess, PeakMemory, log, medians, result_on_stdout

# One engine for all rounds, in which no table of an earlier round is used again.
WARM = ("--again-on-line", "--no-serve", "--no-cache", "--no-decache")


def zerrow_figures(report: dict) -> dict:
    """A round's figures from the engine's report."""
    assert report["status"] == "success", report
    return {"wall_ms": report["wall_ms"], "cpu_ms": sum(m["timing"].get("cpu_ms", 0) for m in report["models"])}


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    parser = argparse.ArgumentParser(prog="zerrow bench pipeline", description=__doc__)
    parser.add_argument("--output", choices=("tty", "json"), default="tty")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-p", "--project", default=str(HOME / "examples/tpch"))
    options = parser.parse_args()
    # A run makes sources that are missing; the baselines don't.
    subprocess.run([ZERROW, "run", "-p", options.project, "--dry-run"], stdout=sys.stderr, check=True)
    systems = {
        "zerrow": LineProcess([ZERROW, "run", "-p", options.project, "--output", "json", *WARM]),
        "in-process": LineProcess([sys.executable, HOME / "bench/in_process.py", "in-process", options.project]),
        "ipc-files": LineProcess([sys.executable, HOME / "bench/in_process.py", "ipc-files", options.project]),
    }
    rounds: dict[str, list[dict]] = {name: [] for name in systems}
    for number in range(options.rounds + 1):
        for name, system in systems.items():
            with PeakMemory() as memory:
                result = zerrow_figures(system.round()) if name == "zerrow" else system.round()
            result["memory_bytes_max"] = memory.bytes_max
            log(f"round {number}, {name}: {result}")
            if number:
                rounds[name].append(result)
    for system in systems.values():
        system.close()
    cases = [{"system": name, **medians(rounds[name])} for name in systems]
    with result_on_stdout():
        if options.output == "json":
            print(json.dumps({"cases": cases}))
        else:
            show(cases)


def show(cases: list[dict]) -> None:
    """The cases as a table."""
    base = next(case["wall_ms"] for case in cases if case["system"] == "in-process")
    print(f"{'system':<11} {'wall ms':>9} {'cpu ms':>9} {'vs in-process':>14} {'peak MiB':>9}")
    for case in cases:
        print(
            f"{case['system']:<11} {case['wall_ms']:>9.0f} {case['cpu_ms']:>9.0f} {case['wall_ms'] / base:>13.2f}x "
            f"{int(case['memory_bytes_max']) >> 20:>9}"
        )


if __name__ == "__main__":
    main()

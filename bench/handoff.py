"""`zerrow bench handoff`: what it costs to hand a table from one isolated process to the next.

Ten int64 columns. The producer has the table in memory; the clock starts when it begins to publish. `publish_ms` ends
when any reader could start, `open_ms` when the reader's code has the table. Then it sums all columns twice. Systems
take turns within each round.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time

from measure import HOME, PeakMemory, log, medians, others_python, result_on_stdout, zerrow

MIB = 1 << 20
SIZES = (64 * MIB, 1024 * MIB, 4096 * MIB)


def zerrow_round(size: int) -> dict:
    """One run of bench/handoff; the times are the engine's and the workers' own, on one monotonic clock."""
    report, printed = zerrow("-p", str(HOME / "bench/handoff"), "--param", f"bytes={size}")
    models = {model["name"]: model for model in report["models"]}
    produced, consumed = models["produced"], models["consumed"]
    assert produced["output"]["copied_bytes"] == 0, produced
    found = re.search(r"first_pass_ms=([\d.]+) second_pass_ms=([\d.]+)", printed)
    ready = produced["timing"]["ready_at_ms"]
    return {
        "publish_ms": ready - produced["timing"]["publish_at_ms"],
        "open_ms": consumed["timing"]["user_at_ms"] - ready,
        "first_pass_ms": float(found[1]),
        "second_pass_ms": float(found[2]),
    }


def baseline_round(system: str, size: int) -> dict:
    """One round of an Arrow IPC file, or of none of all that, in processes of its own."""
    done = subprocess.run(
        [sys.executable, HOME / "bench/baselines.py", system, str(size)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


class Ray:
    """A warm Ray cluster, asked for one round at a time."""

    def __init__(self, sizes: list[int]) -> None:
        self.process = None
        if python := others_python():
            command = [python, HOME / "bench/baselines.py", "ray", *map(str, sizes)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self, size: int) -> dict:
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        while not line.startswith("{"):
            if not line:
                raise SystemExit("Ray ended")
            line = self.process.stdout.readline()
        return json.loads(line)

    def close(self) -> None:
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    parser = argparse.ArgumentParser(prog="zerrow bench handoff", description=__doc__)
    parser.add_argument("--output", choices=("tty", "json"), default="tty")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default=",".join(str(size // MIB) for size in SIZES), help="MiB, comma-separated")
    parser.add_argument("--systems", default="zerrow,in-process,ipc-mapped,ipc-read,ray")
    parser.add_argument("--pause", type=float, default=0, help="seconds of rest before each measurement")
    options = parser.parse_args()
    sizes = [int(size) * MIB for size in options.sizes.split(",")]
    systems = options.systems.split(",")
    ray = Ray(sizes) if "ray" in systems else None
    if ray and not ray.process:
        systems.remove("ray")
    cases = []
    for size in sizes:
        rounds: dict[str, list[dict]] = {system: [] for system in systems}
        # One more round than counted: the first one pays for memory that nobody has used yet.
        for number in range(options.rounds + 1):
            for system in systems:
                time.sleep(options.pause)
                with PeakMemory() as memory:
                    if system == "zerrow":
                        result = zerrow_round(size)
                    elif system == "ray":
                        result = ray.round(size)
                    else:
                        result = baseline_round(system, size)
                result.pop("total", None)
                result["memory_bytes_max"] = memory.bytes_max
                log(f"{size // MIB} MiB, round {number}, {system}: {result}")
                if number:
                    rounds[system].append(result)
        cases += [{"system": system, "bytes": size, **medians(rounds[system])} for system in systems]
    if ray:
        ray.close()
    with result_on_stdout():
        if options.output == "json":
            print(json.dumps({"cases": cases}))
        else:
            show(cases)


def show(cases: list[dict]) -> None:
    """The cases as a table, with what each costs as a multiple of zerrow's."""
    head = ("MiB", "system", "publish", "open", "pass 1", "pass 2", "to 1st sum", "vs zerrow", "peak MiB")
    print(("{:>6} {:<11}" + " {:>10}" * 7).format(*head))
    base = {case["bytes"]: first_sum_ms(case) for case in cases if case["system"] == "zerrow"}
    for case in cases:
        total = first_sum_ms(case)
        figures = [case[key] for key in ("publish_ms", "open_ms", "first_pass_ms", "second_pass_ms")] + [total]
        ratio = f"{total / base.get(case['bytes'], total):.1f}x"
        times = "".join(f" {figure:>10.1f}" for figure in figures)
        memory = case["memory_bytes_max"] // MIB
        print(f"{case['bytes'] // MIB:>6} {case['system']:<11}{times} {ratio:>10} {memory:>10}")


def first_sum_ms(case: dict) -> float:
    """From the producer's call to publish to the end of the consumer's first pass."""
    return case["publish_ms"] + case["open_ms"] + case["first_pass_ms"]


if __name__ == "__main__":
    main()

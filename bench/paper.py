"""`zerrow bench paper`: the evaluation of the Zerrow paper (arXiv 2504.06151), rebuilt as ratios.

1 hand-off of a table · 2 Parquet to Arrow · 3 a pipeline under memory limits · 4 DAGs that share inputs ·
5 resharing with dictionaries · 6 ways to make room when memory is short · 7 the whole.

Writes report.md with a plot per experiment. 3, 6 and 7 make a swap file, 3 and 7 a control group: that takes root, and
they are left out without. Both are removed at the end, also when the benchmark is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from measure import log, result_on_stdout
from paper import eviction, handoff, pressure, report, resharing, scan, shared_inputs, whole
from paper.data import Workspace
from paper.experiment import MIB, SCALES, Bench, Experiment
from paper.janitor import Janitor
from paper.limits import Unavailable

EXPERIMENTS = {
    1: handoff.run,
    2: scan.run,
    3: pressure.run,
    4: shared_inputs.run,
    5: resharing.run,
    6: eviction.run,
    7: whole.run,
}


def numbers(text: str) -> list[int]:
    """The experiments of `--only`."""
    try:
        chosen = [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers, as 1,4") from None
    if unknown := [number for number in chosen if number not in EXPERIMENTS]:
        raise argparse.ArgumentTypeError(f"there is no experiment {unknown[0]}: they are 1 to {max(EXPERIMENTS)}")
    return chosen


def positive(text: str) -> int:
    """A number of rounds."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 1 or more")
    return int(text)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="zerrow bench paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", choices=("tty", "json"), default="tty")
    parser.add_argument("--only", type=numbers, default=list(EXPERIMENTS), help="numbers of experiments, as 1,4")
    parser.add_argument("--rounds", type=positive, default=None, help="counted rounds (3, or 1 at scale quick)")
    parser.add_argument("--scale", choices=tuple(SCALES), default="full", help="quick: small tables, a few minutes")
    parser.add_argument("--report", type=Path, default=Path("bench-report"), help="the report's folder (bench-report)")
    parser.add_argument("--swap-folder", type=Path, default=Path("/var/tmp"), help="where the swap file is made")
    parser.add_argument("--tight", type=positive, metavar="MIB", help="the tight limit of 3 and 7")
    parser.add_argument("--short", type=positive, metavar="MIB", help="the limit of 6")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """All chosen experiments, one after the other; the report is complete after each."""
    scale = SCALES[options.scale]
    if options.tight:
        scale = replace(scale, tight_bytes=options.tight * MIB, tight_dags_bytes=options.tight * MIB)
    if options.short:
        scale = replace(scale, short_bytes=options.short * MIB)
    rounds = options.rounds or (1 if scale.name == "quick" else 3)
    cpus = len(os.sched_getaffinity(0))
    experiments: list[Experiment] = []
    left_out: list[dict] = []
    with Janitor() as janitor:
        bench = Bench(scale, rounds, Workspace(janitor), janitor, cpus, options.swap_folder)
        for number in options.only:
            log(f"experiment {number}")
            try:
                experiments.append(EXPERIMENTS[number](bench))
            except Unavailable as error:
                log(f"experiment {number} is left out: {error}")
                left_out.append({"experiment": number, "reason": str(error)})
            report.write(options.report, bench, experiments, left_out)
    entries = [entry for experiment in experiments for entry in experiment.json()]
    with result_on_stdout():
        if options.output == "json":
            result = {"experiments": entries, "left_out": left_out, "scale": scale.name, "rounds": rounds}
            print(json.dumps({**result, "machine": report.machine()}))
        else:
            print(report.summary(entries, left_out))
            print(f"\nreport: {options.report / 'report.md'}")
    if any(entry["ratio"] is None for entry in entries):
        sys.exit(1)


if __name__ == "__main__":
    # SIGTERM and SIGHUP leave as Ctrl-C does: through the blocks that clean up.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        run(parse())
    except KeyboardInterrupt:
        sys.exit(130)

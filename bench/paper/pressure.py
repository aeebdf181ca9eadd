"""Experiment 3: a pipeline under a generous and under a tight memory limit."""

from __future__ import annotations

from pathlib import Path

from measure import HOME

from .experiment import MIB, Bench, Case, Experiment, Ratio
from .limits import limited_group, swap_file
from .systems import baseline, take_turns, zerrow_alone

FILES, ZERROW = "IPC files and swap (baseline)", "zerrow"


def run(bench: Bench) -> Experiment:
    """examples/tpch under both limits. Raises Unavailable without control groups or swap."""
    cases: list[Case] = []
    situations = {}
    with swap_file(bench.janitor, bench.swap_folder, bench.scale.swap_bytes):
        for name, limit in (("generous", bench.scale.generous_bytes), ("tight", bench.scale.tight_bytes)):
            situations[name] = situation = f"{name}: {limit // MIB} MiB"
            with limited_group(bench.janitor, name, limit) as group:
                cases += compare(bench, situation, group, limit)
    return Experiment(
        number=3,
        title="A pipeline under a memory limit",
        text=f"The models of examples/tpch at scale factor {bench.scale.tpch_factor:g}. Baseline: a forked "
        "process per model, tables as Arrow IPC files in /dev/shm that readers map, all in a control "
        "group with the limit; what does not fit goes to the swap file. zerrow: the same limit with "
        "--memory, the same swap file at hand. Neither reads a source from an earlier round's cache.",
        axis="memory limit",
        ratios=[
            Ratio("TPC-H pipeline, generous memory", situations["generous"], FILES, ZERROW, 1.8),
            Ratio("TPC-H pipeline, tight memory", situations["tight"], FILES, ZERROW, 2.2),
        ],
        cases=cases,
    )


def compare(bench: Bench, situation: str, group: Path, limit: int) -> list[Case]:
    """Both systems under one limit."""
    tables = bench.workspace.tpch(bench.scale.tpch_factor)
    project = bench.workspace.project(HOME / "examples/tpch", tables, f"tpch-{limit}")
    systems = {
        FILES: baseline(bench, project, "--group", group),
        ZERROW: zerrow_alone(bench, project, "--memory", str(limit)),
    }
    return take_turns(bench, situation, systems, lambda: bench.workspace.warm(project))

"""Experiment 7: everything together, several pipelines at once, against the baseline."""

from __future__ import annotations

from pathlib import Path

from measure import HOME

from .at_once import Dags, run_at_once, situations
from .experiment import MIB, Bench, Case, Experiment, Ratio
from .limits import limited_group, swap_file
from .systems import System

ONE_BY_ONE, FILES, ZERROW = "IPC files and swap, DAG by DAG", "IPC files and swap (baseline)", "zerrow"
REGIONS = ("ASIA", "EUROPE", "AMERICA", "AFRICA", "MIDDLE EAST")
SEGMENTS = ("BUILDING", "MACHINERY", "AUTOMOBILE", "FURNITURE", "HOUSEHOLD")


def parameters_of(dag: int) -> dict[str, str]:
    """What a DAG asks for; no two ask for the same."""
    return {
        "region": REGIONS[dag % len(REGIONS)],
        "segment": SEGMENTS[(dag + dag // len(SEGMENTS)) % len(SEGMENTS)],
        "date": f"1995-03-{15 + dag}",
        "discount": f"0.0{2 + dag % 8}",
    }


def run(bench: Bench) -> Experiment:
    """examples/tpch several times at once, under both limits. Raises Unavailable without control groups or swap."""
    cases: list[Case] = []
    dags: dict[str, int] = {}
    panels: dict[str, list[str]] = {}
    counts = sorted({bench.scale.dags[0], bench.scale.dags[-2], bench.scale.dags[-1]})
    with swap_file(bench.janitor, bench.swap_folder, bench.scale.swap_bytes):
        for name, limit in (("generous", bench.scale.generous_bytes), ("tight", bench.scale.tight_dags_bytes)):
            limited = situations(counts, f", {limit // MIB} MiB")
            panels[name] = list(limited)
            dags |= limited
            with limited_group(bench.janitor, f"whole-{name}", limit) as group:
                cases += compare(bench, limited, group, limit)
    return Experiment(
        number=7,
        title="The whole",
        text=f"The models of examples/tpch at scale factor {bench.scale.tpch_factor:g}, several DAGs at once "
        "with parameters of their own, on one `zerrow serve --memory`: no copies, DeCache (empty at the "
        "start of each round) and eviction together, but no cached results. The baseline runs the same "
        "DAGs, which take turns as zerrow's do, in a control group with the same limit, with the same number "
        "of processes at a time, and leaves the rest to swap. DAG by DAG: one begins something only when "
        "those before it can't use a process, which needs least memory, and lets the last user wait longest.",
        axis="DAGs at once, memory limit",
        ratios=[Ratio("the whole", panels["tight"][-1], FILES, ZERROW, 9.5)],
        cases=cases,
        dags=dags,
        panels=panels,
    )


def compare(bench: Bench, counts: dict[str, int], group: Path, limit: int) -> list[Case]:
    """All systems under one limit, with each number of DAGs."""
    tables = bench.workspace.tpch(bench.scale.tpch_factor)
    project = bench.workspace.project(HOME / "examples/tpch", tables, f"tpch-at-once-{limit}")

    def systems(dags: Dags) -> dict[str, System]:
        return {
            ONE_BY_ONE: dags.baseline(project, "--group", group, "--one-by-one"),
            FILES: dags.baseline(project, "--group", group),
            ZERROW: dags.zerrow(project),
        }

    return run_at_once(bench, counts, parameters_of, systems, "--memory", str(limit))

"""Experiment 4: several DAGs that read the same tables."""

from __future__ import annotations

from measure import HOME

from .at_once import Dags, run_at_once, situations
from .experiment import Bench, Experiment, Ratio
from .systems import System

FILES, APART, SHARED = "IPC files (baseline)", "zerrow, DeCache off", "zerrow, DeCache on"


def run(bench: Bench) -> Experiment:
    """As many runs of the project shared as the scale says, at once."""
    tables = bench.workspace.tpch(bench.scale.tpch_factor)
    chosen = {name: tables[name] for name in ("lineitem", "orders")}
    project = bench.workspace.project(HOME / "bench/paper/projects/shared", chosen)

    def systems(dags: Dags) -> dict[str, System]:
        return {
            FILES: dags.baseline(project),
            APART: dags.zerrow(project, "--no-decache"),
            SHARED: dags.zerrow(project),
        }

    counts = situations(bench.scale.dags)
    cases = run_at_once(bench, counts, lambda dag: {"since": f"1995-{1 + dag:02d}-01"}, systems)
    most = list(counts)[-1]
    return Experiment(
        number=4,
        title="DAGs that share inputs",
        text="Runs of one project that differ in a parameter of their models, all at once on one `zerrow "
        "serve`; two of a DAG's scans share columns. DeCache starts each round empty."
        " Results of models are never taken from an earlier run (--no-cache).",
        axis="DAGs at once",
        ratios=[Ratio("DAGs that share inputs, DeCache", most, APART, SHARED, 2.8)],
        cases=cases,
        dags=counts,
    )

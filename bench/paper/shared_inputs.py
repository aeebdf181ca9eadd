"""Experiment 4: several DAGs that read the same tables."""

from __future__ import annotations

from measure import HOME

from .experiment import Bench, Case, Experiment, Ratio, measure
from .systems import baseline, clients, closing, served

FILES, APART, SHARED = "IPC files (baseline)", "zerrow, DeCache off", "zerrow, DeCache on"


def run(bench: Bench) -> Experiment:
    """As many runs of the project shared as the scale says, at once."""
    tables = bench.workspace.tpch(bench.scale.tpch_factor)
    chosen = {name: tables[name] for name in ("lineitem", "orders")}
    project = bench.workspace.project(HOME / "bench/paper/projects/shared", chosen)
    cases: list[Case] = []
    dags = {f"{count} DAG{'s' * (count > 1)}": count for count in bench.scale.dags}
    with served(bench) as server:
        for situation, count in dags.items():
            parameters = [{"since": f"1995-{1 + dag:02d}-01"} for dag in range(count)]
            given = [word for each in parameters for word in ("--param", f"since={each['since']}")]
            systems = {
                FILES: baseline(bench, project, "--dags", count, "--jobs", bench.cpus, *given),
                APART: clients(bench, project, server, parameters, "--no-decache"),
                SHARED: clients(bench, project, server, parameters),
            }
            with closing(systems):
                rounds = {name: system.round for name, system in systems.items()}
                cases += measure(bench, situation, rounds, server.forget)
    most = list(dags)[-1]
    return Experiment(
        number=4,
        title="DAGs that share inputs",
        text="Runs of one project that differ in a parameter of their models, all at once on one `zerrow "
        "serve`; two of a DAG's scans share columns. DeCache starts each round empty."
        " Results of models are never taken from an earlier run (--no-cache).",
        axis="DAGs at once",
        ratios=[Ratio("DAGs that share inputs, DeCache", most, APART, SHARED, 2.8)],
        cases=cases,
        dags=dags,
    )

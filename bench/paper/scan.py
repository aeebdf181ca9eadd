"""Experiment 2: a node that makes an Arrow table of a Parquet file, with and without the copy on the write side."""

from __future__ import annotations

from measure import HOME

from .experiment import MIB, Bench, Case, Experiment, Measurement, Ratio, measure
from .systems import System, baseline, closing, zerrow_alone

FILES, COPY, ZERO_COPY = "IPC file (baseline)", "zerrow with the copy", "zerrow"


def run(bench: Bench) -> Experiment:
    """Integers and the widest TPC-H table."""
    integers = f"integers, {bench.scale.scan_bytes // MIB} MiB"
    tables = {
        integers: bench.workspace.integers(bench.scale.scan_bytes),
        "TPC-H lineitem": bench.workspace.tpch(bench.scale.tpch_factor)["lineitem"],
    }
    cases: list[Case] = []
    for number, (situation, path) in enumerate(tables.items()):
        project = bench.workspace.project(HOME / "bench/paper/projects/scan", {"records": path}, f"scan-{number}")
        systems = {
            FILES: baseline(bench, project),
            COPY: zerrow_alone(bench, project, "--no-decache", "--no-arena", "--no-kernelzero"),
            ZERO_COPY: zerrow_alone(bench, project, "--no-decache"),
        }
        with closing(systems):
            rounds = {name: lambda system=system: node(system) for name, system in systems.items()}
            cases += measure(bench, situation, rounds, lambda project=project: bench.workspace.warm(project))
    return Experiment(
        number=2,
        title="Parquet to Arrow",
        text="The latency of one node that decodes a Parquet file, from its start until a reader could start. "
        "With the copy: without arena and kernel module (--no-arena --no-kernelzero), so that what was "
        "decoded into the worker's own memory is copied into a shared segment. The baseline decodes and "
        "writes an Arrow IPC file to /dev/shm.",
        axis="file",
        ratios=[Ratio("Parquet to Arrow, write-side copy", integers, COPY, ZERO_COPY, 2.0)],
        cases=cases,
    )


def node(system: System) -> Measurement:
    """One round; the time of its scan alone."""
    _, figures = system.round()
    models = system.answers[0]["models"]
    if isinstance(models, dict):
        return models["0.records"], figures
    return next(model["wall_ms"] for model in models if model["name"] == "records"), figures

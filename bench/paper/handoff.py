"""Experiment 1: a table of ten integer columns goes from one process to another."""

from __future__ import annotations

from handoff import baseline_round, zerrow_round

from .experiment import MIB, Bench, Case, Experiment, Measurement, Ratio, measure

FULL_COPY, WRITER_COPY, ZERO_COPY = "full copy", "writer copy", "zero copy (zerrow)"
WRITER, READER = "writer side", "reader side"


def run(bench: Bench) -> Experiment:
    """The three ways at each size."""

    def measured(figures: dict) -> Measurement:
        figures.pop("total", None)
        return figures["publish_ms"] + figures["open_ms"] + figures["first_pass_ms"], figures

    cases: list[Case] = []
    for size in bench.scale.handoff_bytes:
        systems = {
            FULL_COPY: lambda size=size: measured(baseline_round("ipc-read", size)),
            WRITER_COPY: lambda size=size: measured(baseline_round("ipc-mapped", size)),
            ZERO_COPY: lambda size=size: measured(zerrow_round(size)),
        }
        whole = measure(bench, f"{size // MIB} MiB", systems)
        cases += whole + sides(whole)
    sizes = [f"{size // MIB} MiB" for size in bench.scale.handoff_bytes]
    largest = sizes[-1]
    return Experiment(
        number=1,
        title="Hand-off of a table",
        text="Ten int64 columns. From the writer's call until the reader has summed all columns once. Full "
        "copy: an Arrow IPC file in /dev/shm, read into memory. Writer copy: the same file, mapped. Zero "
        "copy: zerrow, from one sandboxed process to another. The writer side ends when a reader could "
        "start (for zerrow, that includes the end of the writer's process, trimming and locking); the "
        "reader side is opening the table and the first pass over it.",
        axis="table",
        ratios=[
            Ratio("hand-off", largest, FULL_COPY, ZERO_COPY, 3.9),
            Ratio("hand-off, reader side", f"{largest}, {READER}", WRITER_COPY, ZERO_COPY, 2.3),
        ],
        cases=cases,
        panels={
            "whole": sizes,
            "sides": [f"{size}, {side}" for size in sizes for side in (WRITER, READER)],
        },
    )


def sides(whole: list[Case]) -> list[Case]:
    """The same rounds, split into the writer's and the reader's part."""
    parts = []
    for side, names in ((WRITER, ("publish_ms",)), (READER, ("open_ms", "first_pass_ms"))):
        for case in whole:
            rounds = [sum(figures[name] for name in names) for figures in case.figures]
            parts.append(Case(f"{case.situation}, {side}", case.system, rounds, failure=case.failure))
    return parts

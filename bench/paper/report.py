"""The report: what was measured, as text with a plot per experiment."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from . import svg
from .experiment import Bench, Experiment


def ratio_text(value: float | None) -> str:
    """A ratio as people write it."""
    return "failed" if value is None else f"{value:.1f}x"


def machine() -> dict[str, str | int]:
    """Where it was measured."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "kernel": platform.release(),
        "processor": model,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
    }


def summary(entries: Sequence[dict], left_out: Sequence[dict]) -> str:
    """All ratios, one per line, for a terminal."""
    rows = [("experiment", "where", "baseline ms", "zerrow ms", "ratio", "paper")]
    for entry in entries:
        times = [f"{entry[key]:,.0f}" if entry[key] else "failed" for key in ("baseline_ms", "zerrow_ms")]
        rows.append(
            (entry["name"], entry["situation"], *times, ratio_text(entry["ratio"]), ratio_text(entry["paper_ratio"]))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines += [f"experiment {one['experiment']} is left out: {one['reason']}" for one in left_out]
    return "\n".join(lines)


def plots(experiment: Experiment) -> dict[str, str]:
    """The experiment's plots by file name."""
    everything = list(dict.fromkeys(case.situation for case in experiment.cases))
    name = f"{experiment.number}-{experiment.title.lower().replace(' ', '-')}"
    draw = svg.lines if experiment.dags else svg.bars
    panels = experiment.panels or {"": everything}
    return {
        f"{name}-{panel}.svg" if panel else f"{name}.svg": draw(
            experiment, f"{experiment.title}: {panel}" if panel else experiment.title, situations
        )
        for panel, situations in panels.items()
    }


def table(experiment: Experiment) -> list[str]:
    """All cases as a table in Markdown."""
    lines = [f"| {experiment.axis} | system | median ms | rounds ms |", "|---|---|---:|---|"]
    for case in experiment.cases:
        rounds = ", ".join(f"{taken:,.0f}" for taken in case.rounds_ms)
        median = f"{case.ms:,.1f}" if case.ms else f"failed: {(case.failure or '').replace('|', '/')[:200]}"
        lines.append(f"| {case.situation} | {case.system} | {median} | {rounds} |")
    return lines


def write(folder: Path, bench: Bench, experiments: Sequence[Experiment], left_out: Sequence[dict]) -> None:
    """Writes report.md and the plots into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    here = machine()
    lines = [
        "# The paper's evaluation, rebuilt",
        "",
        f"Ratios of medians over {bench.rounds} rounds, in which the systems took turns; a first round of each is not "
        f"counted. Scale: {bench.scale.name}. Linux {here['kernel']}, {here['cpus']} cores ({here['processor']}), "
        f"{int(here['memory_bytes']) / (1 << 30):.0f} GiB of memory.",
        "",
        "| experiment | where | baseline | ms | zerrow | ms | ratio | paper |",
        "|---|---|---|---:|---|---:|---:|---:|",
    ]
    for experiment in experiments:
        for entry in experiment.json():
            times = [f"{entry[key]:,.1f}" if entry[key] else "failed" for key in ("baseline_ms", "zerrow_ms")]
            cells = [entry["name"], entry["situation"], entry["baseline"], times[0], entry["zerrow"], times[1]]
            cells += [f"**{ratio_text(entry['ratio'])}**", ratio_text(entry["paper_ratio"])]
            lines.append(f"| {' | '.join(cells)} |")
    for one in left_out:
        lines += ["", f"Experiment {one['experiment']} is left out: {one['reason']}."]
    for experiment in experiments:
        lines += ["", f"## {experiment.number}. {experiment.title}", "", experiment.text, ""]
        for name, document in plots(experiment).items():
            (folder / name).write_text(document)
            lines.append(f"![{experiment.title}]({name})")
        lines += ["", *table(experiment)]
        for note in experiment.notes:
            lines += ["", note]
    (folder / "report.md").write_text("\n".join(lines) + "\n")

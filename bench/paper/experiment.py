"""What an experiment is made of: cases measured round by round, system by system, and the ratios that follow."""

from __future__ import annotations

import statistics
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measure import log

from .data import Workspace
from .janitor import Janitor


@dataclass(frozen=True)
class Scale:
    """How large the tables are and how often things are measured."""

    name: str
    handoff_bytes: tuple[int, ...]
    scan_bytes: int
    tpch_factor: float
    text_rows: int
    partition_bytes: int
    dags: tuple[int, ...]
    generous_bytes: int
    tight_bytes: int
    tight_dags_bytes: int
    short_bytes: int
    swap_bytes: int


MIB = 1 << 20
GIB = 1 << 30
SCALES = {
    "quick": Scale(
        name="quick",
        handoff_bytes=(16 * MIB,),
        scan_bytes=16 * MIB,
        tpch_factor=0.05,
        text_rows=50_000,
        partition_bytes=16 * MIB,
        dags=(1, 2),
        generous_bytes=4 * GIB,
        tight_bytes=512 * MIB,
        tight_dags_bytes=512 * MIB,
        short_bytes=256 * MIB,
        swap_bytes=1 * GIB,
    ),
    "full": Scale(
        name="full",
        handoff_bytes=(256 * MIB, 1 * GIB, 2 * GIB),
        scan_bytes=512 * MIB,
        tpch_factor=1,
        text_rows=2_000_000,
        partition_bytes=128 * MIB,
        dags=(1, 2, 4, 8),
        generous_bytes=10 * GIB,
        tight_bytes=1 * GIB,
        tight_dags_bytes=2 * GIB,
        short_bytes=1 * GIB,
        swap_bytes=16 * GIB,
    ),
}


@dataclass
class Bench:
    """What all experiments of one call share."""

    scale: Scale
    rounds: int
    workspace: Workspace
    janitor: Janitor
    cpus: int
    swap_folder: Path


@dataclass
class Case:
    """One system in one situation."""

    situation: str
    system: str
    rounds_ms: list[float] = field(default_factory=list)
    # More figures of each round, for the JSON: medians are made of them.
    figures: list[dict[str, float]] = field(default_factory=list)
    failure: str | None = None

    @property
    def ms(self) -> float | None:
        """The median; None when the system failed here."""
        return None if self.failure or not self.rounds_ms else round(statistics.median(self.rounds_ms), 3)

    def json(self) -> dict:
        """The case as DESIGN's JSON has it, with all rounds."""
        figures = {}
        if self.figures and not self.failure:
            names = set.intersection(*(set(one) for one in self.figures))
            figures = {name: round(statistics.median(one[name] for one in self.figures), 3) for name in sorted(names)}
        rounds = [round(taken, 3) for taken in self.rounds_ms]
        found = {"situation": self.situation, "system": self.system, "ms": self.ms, "rounds_ms": rounds, **figures}
        return {**found, "failure": self.failure} if self.failure else found


@dataclass
class Ratio:
    """One line of the result: a baseline against zerrow in one situation, and what the paper has for it."""

    name: str
    situation: str
    baseline: str
    zerrow: str
    paper_ratio: float


@dataclass
class Experiment:
    """All cases of one experiment, and how they are shown."""

    number: int
    title: str
    text: str
    # What the situations are: "table", "DAGs", "memory limit". Plots have it as the axis.
    axis: str
    ratios: list[Ratio]
    cases: list[Case]
    # Work done in a round, as a multiple of one DAG, by situation: plots of throughput need it.
    dags: dict[str, int] = field(default_factory=dict)
    # The situations of each plot, by a word for its file's name; all in one when there are none.
    panels: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def case(self, situation: str, system: str) -> Case:
        """The case of one system in one situation."""
        return next(case for case in self.cases if (case.situation, case.system) == (situation, system))

    def json(self) -> list[dict]:
        """One entry per ratio, the first with all cases."""
        entries = []
        for ratio in self.ratios:
            baseline, zerrow = (self.case(ratio.situation, name) for name in (ratio.baseline, ratio.zerrow))
            entries.append(
                {
                    "name": ratio.name,
                    "baseline_ms": baseline.ms,
                    "zerrow_ms": zerrow.ms,
                    "ratio": round(baseline.ms / zerrow.ms, 3) if baseline.ms and zerrow.ms else None,
                    "paper_ratio": ratio.paper_ratio,
                    "experiment": self.number,
                    "situation": ratio.situation,
                    "baseline": ratio.baseline,
                    "zerrow": ratio.zerrow,
                }
            )
        entries[0]["cases"] = [case.json() for case in self.cases]
        entries[0]["notes"] = self.notes
        return entries


# A round of a system: how long it took in ms, and more figures of it.
Measurement = tuple[float, dict[str, float]]


def measure(
    bench: Bench,
    situation: str,
    systems: dict[str, Callable[[], Measurement]],
    before: Callable[[], None] = lambda: None,
) -> list[Case]:
    """Lets the systems take turns, round by round. The first round of each is not counted: whoever comes first pays for
    memory that nobody has used yet. A system that fails is left out from then on, and its case says why.
    """
    cases = {name: Case(situation, name) for name in systems}
    for number in range(bench.rounds + 1):
        for name, run in systems.items():
            case = cases[name]
            if case.failure:
                continue
            before()
            try:
                taken, figures = run()
            except (Exception, SystemExit) as error:
                case.failure = str(error) or repr(error)
                log(f"{situation}, {name}: failed: {case.failure}")
                if not isinstance(error, RuntimeError | SystemExit):
                    log(traceback.format_exc())
                continue
            log(f"{situation}, round {number}, {name}: {taken:.0f} ms")
            if number:
                case.rounds_ms.append(taken)
                case.figures.append(figures)
    return list(cases.values())

"""Several DAGs at once: clients of one `zerrow serve`, beside baselines that run as many with the same parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .experiment import Bench, Case
from .systems import Server, System, baseline, clients, served, take_turns


@dataclass(frozen=True)
class Dags:
    """The DAGs of one situation, each with parameters of its own."""

    bench: Bench
    server: Server
    parameters: list[dict[str, str]]

    def zerrow(self, project: Path, *options: str) -> System:
        """A client of the server for each."""
        return clients(self.bench, project, self.server, self.parameters, *options)

    def baseline(self, project: Path, *options: object) -> System:
        """One runner for all, with as many processes at a time as the server has jobs."""
        given = [word for each in self.parameters for pair in each.items() for word in ("--param", "=".join(pair))]
        more = ("--dags", len(self.parameters), "--jobs", self.bench.cpus, *given)
        return baseline(self.bench, project, *options, *more)


def situations(counts: Iterable[int], more: str = "") -> dict[str, int]:
    """The number of DAGs of each situation, by the situation's name."""
    return {f"{count} DAG{'s' * (count > 1)}{more}": count for count in counts}


def run_at_once(
    bench: Bench,
    counts: dict[str, int],
    parameters_of: Callable[[int], dict[str, str]],
    systems: Callable[[Dags], dict[str, System]],
    *options: str,
) -> list[Case]:
    """Each situation's DAGs in every system, on a server with these options that forgets before each round what it has
    decoded. `parameters_of` has the parameters of the DAG with a number, from 0 up.
    """
    cases: list[Case] = []
    with served(bench, *options) as server:
        for situation, count in counts.items():
            dags = Dags(bench, server, [parameters_of(dag) for dag in range(count)])
            cases += take_turns(bench, situation, systems(dags), server.forget)
    return cases

"""The baseline: a process per model, tables as Arrow IPC files in /dev/shm, mapped by their readers. What does not fit
a memory limit is left to swap.

    python bench/paper/baseline.py PROJECT --dags 4 --param region=ASIA --param region=EUROPE

It runs the same plans as zerrow, through the very functions a worker runs, and forks its processes from this one, which
has imported all modules before: the warm start a zygote gives. All DAGs together use `--jobs` processes at a time, by
default one per processor, and take turns, as with `zerrow serve`; with `--one-by-one` a DAG begins something only when
those before it can't use a process. A line on standard input is a round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from in_process import IpcFiles, Model, read_plan


class TakingTurns(IpcFiles):
    """DAGs that run at once: of those that could start a model, the one with the fewest running does, then the one
    that started its last one longest ago.
    """

    def round(self) -> dict[str, float]:
        """One run of all DAGs."""
        self._running_of: dict[str, int] = {}
        self._turn_of: dict[str, int] = {}
        self._turn = 0
        return super().round()

    def choose(self, ready: list[Model]) -> Model:
        """The first model of the DAG whose turn it is."""
        chosen = min(ready, key=lambda model: (self._running_of.get(dag(model), 0), self._turn_of.get(dag(model), 0)))
        self._turn += 1
        self._turn_of[dag(chosen)] = self._turn
        self._running_of[dag(chosen)] = self._running_of.get(dag(chosen), 0) + 1
        return chosen

    def wait(self) -> str:
        """Waits for a model of any DAG."""
        name = super().wait()
        self._running_of[name.partition(".")[0]] -= 1
        return name


def dag(model: Model) -> str:
    """The number of a model's DAG."""
    return model["name"].partition(".")[0]


def merged(plans: list[dict[str, Any]]) -> dict[str, Any]:
    """Several plans as one, whose models keep the order of the DAGs. Each DAG reads its sources for itself."""
    models = []
    for number, plan in enumerate(plans):
        for model in plan["models"]:
            inputs = [f"{number}.{name}" for name in model["inputs"]]
            models.append({**model, "name": f"{number}.{model['name']}", "inputs": inputs})
    return {**plans[0], "models": models}


def parameters_of_dags(texts: list[str], dags: int) -> list[dict[str, str]]:
    """`--param name=value` given several times is one value for each DAG in turn."""
    values: dict[str, list[str]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        values.setdefault(name, []).append(value)
    return [{name: given[dag % len(given)] for name, given in values.items()} for dag in range(dags)]


def main() -> None:
    """Answers each line of standard input with the figures of a round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project")
    parser.add_argument("--dags", type=int, default=1)
    parser.add_argument("--param", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--one-by-one", action="store_true", help="do not take turns")
    parser.add_argument("--group", type=Path, help="the control group that models enter")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where tables are")
    options = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    plans = [read_plan(options.project, given) for given in parameters_of_dags(options.param, options.dags)]
    kind = IpcFiles if options.one_by_one else TakingTurns
    pipeline = kind(merged(plans), options.jobs or cpus, cpus, options.group, options.folder)
    for _ in sys.stdin:
        figures = pipeline.round()
        print(json.dumps({**figures, "models": pipeline.milliseconds}), flush=True)


if __name__ == "__main__":
    main()

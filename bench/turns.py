"""Systems that take turns, what each of them took, and the result as JSON and as a table."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from measure import log, result_on_stdout

Figures = dict[str, float]


@dataclass
class Case:
    """One system doing one thing. `count` is by how many models the figures per model are divided."""

    name: str
    system: str
    count: int = 1
    rounds: list[Figures] = field(default_factory=list)
    failure: str | None = None

    def json(self) -> dict:
        """The medians, per model where there are several, and wall times of all rounds."""
        found: dict = {"case": self.name, "system": self.system}
        if self.failure:
            return {**found, "failure": self.failure}
        for key in self.rounds[0]:
            found[key] = round(statistics.median(one[key] for one in self.rounds), 3)
        if self.count > 1:
            found |= {"models": self.count, "wall_ms_per_model": round(found["wall_ms"] / self.count, 3)}
            found["cpu_ms_per_model"] = round(found["cpu_ms"] / self.count, 3)
        found["memory_bytes_max"] = int(found["memory_bytes_max"])
        return {**found, "rounds_ms": [round(one["wall_ms"], 3) for one in self.rounds]}


def take_turns(
    name: str,
    systems: dict[str, Callable[[], Figures]],
    rounds: int,
    *,
    counts: dict[str, int] | None = None,
    rounds_max: dict[str, int] | None = None,
) -> list[Case]:
    """Round by round, system by system; the first round isn't counted. One that fails is left out from then on."""
    cases = {system: Case(name, system, (counts or {}).get(system, 1)) for system in systems}
    for number in range(rounds + 1):
        for system, run in systems.items():
            case = cases[system]
            if case.failure or number > (rounds_max or {}).get(system, rounds):
                continue
            try:
                figures = run()
            except (Exception, SystemExit) as error:
                case.failure = str(error) or repr(error)
                log(f"{name}, {system}: failed: {case.failure}")
                if not isinstance(error, RuntimeError | SystemExit):
                    log(traceback.format_exc())
                continue
            log(
                f"{name}, round {number}, {system}: {figures['wall_ms']:.1f} ms, {figures['cpu_ms']:.1f} ms of CPU, "
                f"{int(figures['memory_bytes_max']) >> 20} MiB"
            )
            if number:
                case.rounds.append(figures)
    return list(cases.values())


def sum_of(name: str, cases: list[Case]) -> list[Case]:
    """For each system its cases one after the other: times add up, memory is the most. Without those that failed."""
    sums = []
    for system in dict.fromkeys(case.system for case in cases):
        parts = [case for case in cases if case.system == system]
        failed = [case.name for case in parts if case.failure]
        total = Case(name, system, failure=f"failed: {', '.join(failed)}" if failed else None)
        for rounds in zip(*(case.rounds for case in parts), strict=not failed):
            figures = {key: sum(one[key] for one in rounds) for key in ("wall_ms", "cpu_ms")}
            total.rounds.append({**figures, "memory_bytes_max": max(one["memory_bytes_max"] for one in rounds)})
        sums.append(total)
    return sums


def print_result(cases: list[Case], output: str, base: Callable[[str, str], str], more: dict) -> None:
    """The result on standard output; ends with 1 when a system failed.

    `base` names what a system is compared with in a case.
    """
    entries = [case.json() for case in cases]
    with result_on_stdout():
        if output == "json":
            print(json.dumps({"cases": entries, **more}))
        else:
            show(entries, base)
    if any("failure" in entry for entry in entries):
        sys.exit(1)


def show(entries: list[dict], base: Callable[[str, str], str]) -> None:
    """A table for people: times per model where there are several, and multiples of the base's."""
    width = max([len(entry["case"]) for entry in entries] + [4])
    head = f"{'case':<{width}} {'system':<18} {'wall ms':>10} {'cpu ms':>10} {'peak MiB':>9}"
    print(f"{head}   {'wall':>7} {'cpu':>7}  against")
    for entry in entries:
        head = f"{entry['case']:<{width}} {entry['system']:<18}"
        if "failure" in entry:
            print(f"{head} failed: {entry['failure'][:100]}")
            continue
        other = base(entry["case"], entry["system"])
        one = next((e for e in entries if (e["case"], e["system"]) == (entry["case"], other)), {})
        wall, cpu = (("wall_ms_per_model", "cpu_ms_per_model") if "models" in entry else ("wall_ms", "cpu_ms"))[:2]
        times = "".join(f" {entry[key] / one[key]:>6.2f}x" if one.get(key) else f" {'-':>7}" for key in (wall, cpu))
        print(
            f"{head} {entry[wall]:>10.1f} {entry[cpu]:>10.1f} {entry['memory_bytes_max'] >> 20:>9}  {times}"
            f"  {other if one else ''}"
        )


def parser(name: str, description: str, systems: tuple[str, ...], rounds: int) -> argparse.ArgumentParser:
    """The options that all benchmarks with these parts have."""
    made = argparse.ArgumentParser(
        prog=f"zerrow bench {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--output", choices=("tty", "json"), default="tty")
    made.add_argument("--rounds", type=positive, default=rounds, help=f"counted rounds ({rounds})")
    made.add_argument(
        "--systems", type=chosen(systems), default=list(systems), help=f"some of {','.join(systems)}, comma-separated"
    )
    return made


def positive(text: str) -> int:
    """A number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 1 or more")
    return int(text)


def chosen(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Reads a list of some of these names; they keep their own order."""

    def read(text: str) -> list[str]:
        words = text.split(",")
        if unknown := [word for word in words if word not in names]:
            raise argparse.ArgumentTypeError(f"there is no '{unknown[0]}': {', '.join(names)}")
        return [name for name in names if name in words]

    return read

"""`zerrow bench models`: what a model costs that does next to nothing.

chain      each of 60 models reads the one before and replaces one of ten columns, with tables of 1 KB and of 100 MB:
           zerrow (a sandboxed process per model in files of their own, warm engine), in-process (the functions in one
           process), multiprocessing (a process per model, tables pickled), ray (tasks in warm workers, used again),
           dagster (multiprocess executor, tables as pickles in files)
fan-in     as many models read one, and the last reads all of them
one-file   400 models of a chain in one file
own-files  the same in files of their own

Times are per model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from measure import HOME, others_python
from stage import Stage, stage
from trivial import projects
from trivial.steps import rows_of
from turns import Case, chosen, parser, positive, print_result, take_turns

SYSTEMS = ("zerrow", "in-process", "multiprocessing", "ray", "dagster")
SHAPES = ("chain", "one-file", "own-files", "fan-in")
SCRIPTS = HOME / "bench/trivial"
# Slow systems run a part of the chain, and figures are per model; the slowest does so once after its first round.
PARTS = {"multiprocessing": 3, "dagster": 12}
ROUNDS_MAX = {"dagster": 1}
RUN = ("--no-cache", "--no-decache")


def chain_systems(scene: Stage, options: argparse.Namespace, size: int) -> tuple[dict[str, Callable], dict[str, int]]:
    """The systems that are asked for and can be had, warm, and how many models each runs."""
    counts = {system: max(3, options.count // PARTS.get(system, 1)) for system in options.systems}
    systems: dict[str, Callable] = {}
    scripts = {
        "in-process": "in_process.py",
        "multiprocessing": "processes.py",
        "ray": "ray_tasks.py",
        "dagster": "dagster_ops.py",
    }
    for system in options.systems:
        if system == "zerrow":
            systems[system] = zerrow_system(scene, projects.chain(counts[system], rows_of(size)), in_one_file=False)
            continue
        python = others_python() if system in ("ray", "dagster") else Path(sys.executable)
        if python is None:
            continue
        # Their processes import the scripts too.
        environment = {"PYTHONPATH": str(SCRIPTS)}
        if system == "dagster":
            environment["ZERROW_BENCH_FOLDER"] = str(scene.workspace.private_folder("dagster"))
            environment |= {"ZERROW_BENCH_COUNT": str(counts[system]), "ZERROW_BENCH_BYTES": str(size)}
        account = scene.account(system)
        words = [python, SCRIPTS / scripts[system], counts[system], size]
        process = account.start(words, environment, scene.workspace.log())
        systems[system] = lambda account=account, process=process: account.measure(process.round)[0]
    return systems, counts


def zerrow_system(scene: Stage, texts: list[str], *, in_one_file: bool) -> Callable:
    """A warm engine that runs these models each round."""
    folder = projects.write(scene.workspace.private_folder("project") / "trivial", texts, in_one_file=in_one_file)
    return scene.server("zerrow").client(folder, *RUN).round


def chain_cases(scene: Stage, options: argparse.Namespace) -> list[Case]:
    """The chain with tables of each size."""
    cases = []
    for size in options.sizes:
        with scene.scene():
            systems, counts = chain_systems(scene, options, size)
            name = f"chain, {size // 1000:,} KB".replace(",000 KB", " MB")
            cases += take_turns(name, systems, options.rounds, counts=counts, rounds_max=ROUNDS_MAX)
    return cases


def shape_cases(scene: Stage, options: argparse.Namespace) -> list[Case]:
    """The other shapes, which are zerrow's alone: they take turns with each other."""
    size = rows_of(options.sizes[0])
    made = {
        "one-file": (projects.chain(options.many, size), True),
        "own-files": (projects.chain(options.many, size), False),
        "fan-in": (projects.fan_in(options.count, size), False),
    }
    shapes = [shape for shape in options.shapes if shape in made]
    systems: dict[str, Callable] = {}
    cases = []
    with scene.scene():
        for shape in shapes:
            texts, in_one_file = made[shape]
            systems[shape] = zerrow_system(scene, texts, in_one_file=in_one_file)
        for case in take_turns("shapes", systems, options.rounds, counts={s: len(made[s][0]) for s in shapes}):
            case.name, case.system = f"{case.system}, {case.count} models", "zerrow"
            cases.append(case)
    return cases


def sizes(text: str) -> list[int]:
    """The sizes of `--sizes`: KB, comma-separated."""
    return [positive(word) * 1000 for word in text.split(",")]


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    options_of = parser("models", __doc__, SYSTEMS, rounds=3)
    options_of.add_argument("--shapes", type=chosen(SHAPES), default=list(SHAPES), help=f"some of {','.join(SHAPES)}")
    options_of.add_argument("--count", type=positive, default=60, help="models of the chain and the fan-in (60)")
    options_of.add_argument("--many", type=positive, default=400, help="models of one-file and own-files (400)")
    options_of.add_argument("--sizes", type=sizes, default=[1000, 100_000_000], help="KB of a table (1,100000)")
    options = options_of.parse_args()
    with stage() as scene:
        cases = chain_cases(scene, options) if "chain" in options.shapes else []
        if "zerrow" in options.systems:
            cases += shape_cases(scene, options)
        print_result(cases, options.output, lambda _case, _system: "zerrow", {"figures_from": scene.source})


if __name__ == "__main__":
    main()

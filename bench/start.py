"""`zerrow bench start`: what a run of one model takes from the call to the end of the command, as a user feels it.

cold     `zerrow run` with an engine of its own
served   `zerrow run` where `zerrow serve` is warm; the model runs, the source is decoded (--no-cache --no-decache)
cached   the same, with its result from the cache
script   `python script.py`, which reads the same columns of the same file and calls the same function

The model sums two columns of TPC-H's orders by a text. Planning is part of it. Processor time and memory are those of
all processes: a served run's include the engine's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable

from measure import HOME, ZERROW
from paper.data import SETTLED_S
from stage import Stage, run_once, stage
from tpch import data
from turns import Figures, parser, print_result, take_turns

SYSTEMS = ("cold", "served", "cached", "script")
FRESH = ("--no-cache", "--no-decache")


def systems_of(scene: Stage, names: list[str], scale: float) -> dict[str, Callable[[], Figures]]:
    """The ways that are asked for. Each checks that its output names the five priorities."""
    orders = data.tables(scene.workspace, scale)["orders"]
    data.warm({"orders": orders})
    project = scene.workspace.private_folder("start") / "project"
    project.mkdir()
    shutil.copy(HOME / "bench/start/models.py", project)
    sources = f"sources:\n  orders: {json.dumps(str(orders))}\n"
    (project / "zerrow_project.yml").write_text(f"project: {{name: start}}\n{sources}")
    # No cache trusts a file that was changed a moment ago.
    time.sleep(SETTLED_S)
    own, script = scene.account("cold"), scene.account("script")
    # Nobody's server may answer.
    alone = {**os.environ, "ZERROW_SOCKET": str(scene.workspace.folder / "nobody.sock")}
    cold = [ZERROW, "run", "-p", project, "--no-serve", *FRESH]
    plain = [sys.executable, HOME / "bench/start/script.py", orders]
    ways: dict[str, Callable[[], tuple[Figures, str]]] = {
        "cold": lambda: own.measure(lambda: run_once(own, cold, alone)),
        "script": lambda: script.measure(lambda: run_once(script, plain, alone)),
    }
    for name, options in (("served", FRESH), ("cached", ())):
        if name in names:
            server = scene.server(name)
            ways[name] = lambda s=server, o=options: s.account.measure(lambda: s.run(project, *o, output="tty"))

    def checked(way: Callable[[], tuple[Figures, str]]) -> Figures:
        figures, printed = way()
        if "1-URGENT" not in printed or "5-LOW" not in printed:
            raise RuntimeError(f"the answer is not there: {printed[-300:]}")
        return figures

    return {name: lambda way=ways[name]: checked(way) for name in names}


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    options_of = parser("start", __doc__, SYSTEMS, rounds=7)
    options_of.add_argument("--scale", type=float, default=1, help="scale factor of TPC-H (1)")
    options = options_of.parse_args()
    with stage() as scene:
        cases = take_turns("one model", systems_of(scene, options.systems, options.scale), options.rounds)
        print_result(
            cases,
            options.output,
            lambda _case, _system: "script",
            {"scale": options.scale, "figures_from": scene.source},
        )


if __name__ == "__main__":
    main()

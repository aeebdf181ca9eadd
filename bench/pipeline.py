"""`zerrow bench pipeline`: what isolation costs.

The models of examples/tpch, three ways, in turn: in sandboxed processes of a warm engine (zerrow), the same functions
in one process that passes pointers (in-process), and in a process per model that passes Arrow IPC files in /dev/shm
(ipc-files). Wall time is from the line that starts a round to its answer, the plan read before; processor time and
memory are those of all processes, engine and zygotes included.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from measure import HOME, ZERROW
from stage import Client, Stage, stage
from turns import Figures, parser, print_result, take_turns

SYSTEMS = ("zerrow", "in-process", "ipc-files")
# One engine for all rounds, in which no table of an earlier round is used again.
WARM = ("--again-on-line", "--no-serve", "--no-cache", "--no-decache")


def systems_of(scene: Stage, names: list[str], project: str) -> dict[str, Callable[[], Figures]]:
    """The systems that are asked for, warm."""
    found: dict[str, Callable[[], Figures]] = {}
    for name in names:
        account, said = scene.account(name), scene.workspace.log()
        if name == "zerrow":
            words = [ZERROW, "run", "-p", project, "--output", "json", *WARM]
            found[name] = Client(account, account.start(words, errors=said), said.name).round
        else:
            process = account.start([sys.executable, HOME / "bench/in_process.py", name, project], errors=said)
            found[name] = lambda account=account, process=process: account.measure(process.round)[0]
    return found


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    options_of = parser("pipeline", __doc__, SYSTEMS, rounds=5)
    options_of.add_argument("-p", "--project", default=str(HOME / "examples/tpch"))
    options = options_of.parse_args()
    # A run makes sources that are missing; the baselines don't.
    subprocess.run([ZERROW, "run", "-p", options.project, "--dry-run"], stdout=sys.stderr, check=True)
    with stage() as scene:
        cases = take_turns("pipeline", systems_of(scene, options.systems, options.project), options.rounds)
        print_result(cases, options.output, lambda _case, _system: "in-process", {"figures_from": scene.source})


if __name__ == "__main__":
    main()

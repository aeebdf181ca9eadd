"""`zerrow bench sql`: the 22 queries of TPC-H as isolated SQL models, against the same engines in one process.

zerrow-duckdb, zerrow-datafusion   SQL models in sandboxed processes of a warm engine: each query is a run,
                                   and then all 22 are one ("in one run")
duckdb, datafusion                 one warm process straight on the Parquet files, a query after the other

All have as many threads as there are cores. With --memory zerrow's engine has that limit, DuckDB it as memory_limit,
and DataFusion a fair spill pool of it; all spill to the same file system. Answers are compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import HOME, ZERROW, log
from stage import Client, Server, Stage, run_once, stage
from tpch import answers, data
from turns import Case, Figures, chosen, parser, print_result, sum_of, take_turns

SYSTEMS = ("zerrow-duckdb", "duckdb", "zerrow-datafusion", "datafusion")
RUN = ("--no-cache", "--no-decache")
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ALL = "in one run"


class OneProcess:
    """An engine in one warm process."""

    def __init__(self, scene: Stage, engine: str, folder: Path, memory: int, spill: Path) -> None:
        self._account = scene.account(engine)
        words = [sys.executable, HOME / "bench/tpch/one_process.py", engine, folder, "--threads", scene.cpus]
        self._process = self._account.start(
            [*words, "--memory", memory, "--spill", spill], errors=scene.workspace.log()
        )

    def round(self, sql: str, answer: Path | None = None) -> Figures:
        """One statement. Raises RuntimeError when the engine refuses it."""
        asked = {"sql": sql} | ({"answer": str(answer)} if answer else {})
        figures, told = self._account.measure(lambda: self._process.round(json.dumps(asked)))
        if "error" in told:
            raise RuntimeError(told["error"])
        return figures


class Isolated:
    """zerrow's models of one engine: a project of each query, and one of all.

    Each has a `zerrow serve` of its own as long as it is measured: one that has served 22 projects keeps processes
    warm for many of them, as no user's would who has 22 models in one.
    """

    def __init__(
        self, scene: Stage, engine: str, queries: dict[str, str], tables: dict[str, Path], options: list[str]
    ) -> None:
        self._scene = scene
        self._engine = engine
        self._account = scene.account(f"{engine}-answers")
        self._options = options
        self._client: tuple[Server, Client] | None = None
        self._projects: dict[str, Path] = {}
        folder = scene.workspace.private_folder(engine)
        for name, texts in {**{name: {name: text} for name, text in queries.items()}, ALL: queries}.items():
            self._projects[name] = write_project(folder / name.replace(" ", "-"), engine, texts, tables)

    def round(self, name: str) -> Figures:
        """One run."""
        if self._client is None:
            server = self._scene.server(self._engine, *self._options)
            self._client = server, server.client(self._projects[name], *RUN)
        return self._client[1].round()

    def leave(self) -> None:
        """Ends the engine, before the next query is measured."""
        if self._client:
            self._client[1].close()
            self._client[0].close()
            self._client = None

    def answer(self, name: str, folder: Path) -> None:
        """Writes the answer into the folder."""
        words = [
            ZERROW,
            "run",
            "-p",
            self._projects[name],
            "--no-serve",
            *RUN,
            *self._options,
            "--format",
            "arrow",
            "--export",
            folder,
        ]
        run_once(self._account, words, dict(os.environ))


def write_project(folder: Path, engine: str, queries: dict[str, str], tables: dict[str, Path]) -> Path:
    """A project of SQL models. It reads the very files that the others read."""
    folder.mkdir()
    sources = "".join(f"  {name}: {json.dumps(str(path))}\n" for name, path in tables.items())
    (folder / "zerrow_project.yml").write_text(f"project: {{name: queries}}\nsources:\n{sources}")
    for name, text in queries.items():
        (folder / f"{name}.sql").write_text(f"-- zerrow: engine = {engine}\n{text}")
    return folder


def systems_of(
    scene: Stage, names: list[str], queries: dict[str, str], tables: dict[str, Path], memory: str, spill: Path
) -> dict:
    """The systems that are asked for."""
    found: dict[str, OneProcess | Isolated] = {}
    for name in names:
        if name.startswith("zerrow-"):
            limits = ["--memory", memory, "--spill-dir", str(spill)] if memory else []
            found[name] = Isolated(scene, name.removeprefix("zerrow-"), queries, tables, limits)
        else:
            found[name] = OneProcess(scene, name, tables["lineitem"].parent, size_of(memory), spill)
    return found


def compare(scene: Stage, systems: dict, queries: dict[str, str]) -> list[str]:
    """Runs every query everywhere, uncounted, and compares the answers; what is different, in words."""
    wrong = []
    for query, text in queries.items():
        first: tuple[str, object] | None = None
        for name, system in systems.items():
            folder = scene.workspace.private_folder("answer")
            try:
                if isinstance(system, Isolated):
                    system.answer(query, folder)
                else:
                    system.round(text, folder / f"{query}.arrows")
                table = answers.read(folder / f"{query}.arrows")
            except (OSError, RuntimeError) as error:
                wrong.append(f"{query}, {name}: no answer: {str(error)[-300:]}")
                continue
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if first is None:
                first = name, table
            elif different := answers.difference(first[1], table):
                wrong.append(f"{query}: {first[0]} and {name} differ: {different}")
    for text in wrong:
        log(text)
    return wrong


def cases_of(systems: dict, queries: dict[str, str], rounds: int) -> list[Case]:
    """Each query, their sum, and all in one run."""
    cases: list[Case] = []
    for query, text in queries.items():
        runs: dict[str, Callable[[], Figures]] = {}
        for name, system in systems.items():
            runs[name] = partial(system.round, query if isinstance(system, Isolated) else text)
        cases += take_turns(query, runs, rounds)
        for system in systems.values():
            if isinstance(system, Isolated):
                system.leave()
    total = sum_of("sum of all", cases)
    isolated = {name: partial(system.round, ALL) for name, system in systems.items() if isinstance(system, Isolated)}
    whole = take_turns(ALL, isolated, rounds)
    for case in total:
        # In one process there is no difference between a run of all and one after the other.
        if case.system not in isolated:
            whole.append(Case(ALL, case.system, rounds=case.rounds, failure=case.failure))
    return cases + total + whole


def size_of(text: str) -> int:
    """Bytes of a size as zerrow writes them; 0 for none."""
    found = re.fullmatch(r"(\d+)([KMG]iB|)", text) if text else None
    return int(found[1]) * UNITS[found[2]] if found else 0


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    options_of = parser("sql", __doc__, SYSTEMS, rounds=3)
    options_of.add_argument("--scale", type=float, default=1, help="scale factor of TPC-H (1)")
    options_of.add_argument("--memory", default="", help="limit of memory, as 2GiB (none)")
    options_of.add_argument("--queries", type=chosen(data.NAMES), default=list(data.NAMES), help="some of q01 to q22")
    options_of.add_argument("--spill-dir", type=Path, default=Path("/var/tmp"), help="where all spill to (/var/tmp)")
    options = options_of.parse_args()
    if options.memory and not size_of(options.memory):
        options_of.error(f"'{options.memory}' is not a size, as 2GiB")
    queries = {name: data.query(name, options.scale) for name in options.queries}
    with stage() as scene:
        tables = data.tables(scene.workspace, options.scale)
        data.warm(tables)
        systems = systems_of(scene, options.systems, queries, tables, options.memory, options.spill_dir)
        wrong = compare(scene, systems, queries)
        cases = cases_of(systems, queries, options.rounds)
        more = {"scale": options.scale, "memory": options.memory, "wrong_answers": wrong, "figures_from": scene.source}
        # Each of zerrow's against the same engine in one process.
        print_result(cases, options.output, lambda _case, system: system.removeprefix("zerrow-"), more)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()

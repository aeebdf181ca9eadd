"""`zerrow bench scan`: what it costs to read a Parquet file, TPC-H's lineitem.

all      the whole file as a table: zerrow's scan (--no-decache), against pyarrow.parquet.read_table
rows     the hundredth of the rows that were shipped in 25 days, all columns
column   one column
count    count(*)

zerrow-python (filter= and columns=), zerrow-duckdb and zerrow-datafusion (SQL models) run in sandboxed processes of a
warm engine: their time is that of the whole run, a process for the scan and one for the model (`scan_ms` in the JSON:
the scan alone). pyarrow, duckdb and datafusion each are one warm process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import HOME
from stage import Stage, stage
from tpch import data
from turns import Case, Figures, chosen, parser, print_result, take_turns

SYSTEMS = ("zerrow-python", "pyarrow", "zerrow-duckdb", "duckdb", "zerrow-datafusion", "datafusion")
RUN = ("--no-cache", "--no-decache")
DAYS = ("1994-01-01", "1994-01-25")
BETWEEN = f"l_shipdate between date '{DAYS[0]}' and date '{DAYS[1]}'"
PRICE = "l_extendedprice"
# What is asked: in SQL, of pyarrow, and as the argument of a Python model, which passes on what it gets.
ASKED = {
    "all": ("select * from lineitem", {}, ""),
    "rows": (f"select * from lineitem where {BETWEEN}", {"between": ["l_shipdate", *DAYS]}, f', filter="{BETWEEN}"'),
    "column": (f"select {PRICE} from lineitem", {"columns": [PRICE]}, f', columns=["{PRICE}"]'),
    "count": ("select count(*) as n from lineitem", {"count": True}, None),
}
# A whole file as a table is pyarrow's business. It can't filter texts in views, which the generator's files hold.
LEFT_OUT = {
    ("rows", "pyarrow"),
    ("all", "zerrow-duckdb"),
    ("all", "duckdb"),
    ("all", "zerrow-datafusion"),
    ("all", "datafusion"),
}


def write_project(folder: Path, system: str, case: str, lineitem: Path) -> Path:
    """A project of one model that asks for that."""
    sql, _, argument = ASKED[case]
    folder.mkdir(parents=True)
    (folder / "zerrow_project.yml").write_text(
        f"project: {{name: scan}}\nsources:\n  lineitem: {json.dumps(str(lineitem))}\n"
    )
    engine = system.removeprefix("zerrow-")
    if engine == "python":
        head = f'def answer(lineitem=zerrow.Model("lineitem"{argument})):'
        (folder / "models.py").write_text(f"import zerrow\n\n\n@zerrow.model()\n{head}\n    return lineitem\n")
    else:
        (folder / "answer.sql").write_text(f"-- zerrow: engine = {engine}\n{sql}\n")
    return folder


def cases_of(scene: Stage, names: list[str], asked: list[str], scale: float, rounds: int) -> list[Case]:
    """All cases, one after the other."""
    lineitem = data.tables(scene.workspace, scale)["lineitem"]
    data.warm({"lineitem": lineitem})
    servers = {name: scene.server(name) for name in names if name.startswith("zerrow-")}
    processes = {}
    for name in names:
        if name not in servers:
            account = scene.account(name)
            words = [sys.executable, HOME / "bench/tpch/one_process.py", name, lineitem.parent, "--threads", scene.cpus]
            processes[name] = account, account.start(words, errors=scene.workspace.log())
    cases = []
    for case in asked:
        sql, arrow, argument = ASKED[case]
        counts: dict[str, int] = {}
        systems: dict[str, Callable[[], Figures]] = {}
        for name in names:
            if (case, name) in LEFT_OUT or (name == "zerrow-python" and argument is None):
                continue
            if name in servers:
                folder = scene.workspace.private_folder("scan") / "project"
                client = servers[name].client(write_project(folder, name, case, lineitem), *RUN)
                systems[name] = partial(rows_of_run, client, name, counts)
            else:
                line = json.dumps({"sql": json.dumps({"table": "lineitem", **arrow}) if name == "pyarrow" else sql})
                systems[name] = partial(rows_of_process, *processes[name], line, name, counts)
        cases += take_turns(case, systems, rounds)
        if len(set(counts.values())) > 1:
            raise SystemExit(f"{case}: the systems have different numbers of rows: {counts}")
    return cases


def rows_of_run(client, name: str, counts: dict[str, int]) -> Figures:
    """A run, with the time of its scan alone; notes how many rows its answer has."""
    figures = client.round()
    scans = [model["wall_ms"] for model in client.report["models"] if model["name"] != "answer"]
    figures["scan_ms"] = float(sum(scans))
    counts[name] = next(model["output"]["rows"] for model in client.report["models"] if model["name"] == "answer")
    return figures


def rows_of_process(account, process, line: str, name: str, counts: dict[str, int]) -> Figures:
    """A statement; notes how many rows its answer has."""
    figures, told = account.measure(lambda: process.round(line))
    if "error" in told:
        raise RuntimeError(told["error"])
    counts[name] = told["rows"]
    return figures


def against(case: str, system: str) -> str:
    """What a system is compared with in a case."""
    if system == "zerrow-python":
        return "duckdb" if (case, "pyarrow") in LEFT_OUT else "pyarrow"
    return system.removeprefix("zerrow-")


def main() -> None:
    """Run all systems and print one JSON object, or a table for people."""
    options_of = parser("scan", __doc__, SYSTEMS, rounds=7)
    options_of.add_argument("--scale", type=float, default=1, help="scale factor of TPC-H (1)")
    options_of.add_argument(
        "--cases", type=chosen(tuple(ASKED)), default=list(ASKED), help=f"some of {','.join(ASKED)}"
    )
    options = options_of.parse_args()
    with stage() as scene:
        cases = cases_of(scene, options.systems, options.cases, options.scale, options.rounds)
        print_result(cases, options.output, against, {"scale": options.scale, "figures_from": scene.source})


if __name__ == "__main__":
    main()

"""A filter keeps the rows that DataFusion's WHERE keeps, wherever it is evaluated; what a query's WHERE pushes into a
scan changes no result of either engine.

`ZERROW_PREDICATES` is how many random predicates are tried (1,000), `ZERROW_SEED` the seed that is printed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import polars
import predicates
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zerrow.plan import plan_project
from zerrow.plan.filter import read_filter
from zerrow.plan.findings import Findings
from zerrow.plan.footer_reader import FooterReader
from zerrow.plan.project_file import read_project_file
from zerrow.plan.sources import read_sources
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.predicate import Predicate, keep_rows
from zerrow.worker.tasks import execute, prepare_arguments

COUNT = int(os.environ.get("ZERROW_PREDICATES", "1000"))
SEED = int(os.environ.get("ZERROW_SEED", random.randrange(1 << 32)))
ROWS = 40
TABLES = max(2, COUNT // 1000)


class Files:
    """One table in memory, and in files of several layouts and writers, as projects that plan reads."""

    def __init__(self, folder: Path, table: pa.Table) -> None:
        self.table = table
        self.folders: list[Path] = []
        for rows in (1, 2, ROWS):
            for writer in ("pyarrow", "polars"):
                place = folder / f"{writer}-{rows}"
                place.mkdir(parents=True)
                if writer == "pyarrow":
                    pq.write_table(table, place / "x.parquet", row_group_size=rows, store_schema=rows != 2)
                else:
                    polars.from_arrow(table).write_parquet(place / "x.parquet", row_group_size=rows)
                (place / "zerrow_project.yml").write_text("sources: {x: x.parquet}\n")
                self.folders.append(place)

    def kinds(self, folder: Path) -> dict[str, str | None]:
        """The kinds of the columns, as the planner sees them."""
        (folder / "m.sql").write_text("select 1 as one")
        findings, footers = Findings(), FooterReader()
        try:
            project = read_project_file(folder, findings)
            kinds = read_sources([project.sources["x"]], project, footers, findings)["x"].kinds
        finally:
            footers.close()
        assert kinds is not None
        return kinds


def scanned(folder: Path, sql: str, kinds: dict[str, str | None] | None, columns: list[str] | None) -> pa.Table:
    filter_ = read_filter(sql, {}, kinds, "x").as_json()
    file = str(folder / "x.parquet")
    return execute({"kind": "scan", "table": "x", "files": [file], "columns": columns, "filter": filter_}, {}, cpus=2)


def where(table: pa.Table, sql: str, batch_rows: int = ROWS) -> list[int] | Exception:
    """The oracle: DataFusion alone, as it comes."""
    context = datafusion.SessionContext()
    context.register_record_batches("x", [table.to_batches(max_chunksize=batch_rows)])
    try:
        return sorted(context.sql(f"select row from x where {sql}").to_arrow_table()["row"].to_pylist())
    except Exception as error:
        return error


def is_at_fault(table: pa.Table, sql: str) -> bool:
    """Whether the engine alone fails on some batches. It passes over a part of a condition that could fail, or
    doesn't, by what all rows of a batch are."""
    return any(isinstance(where(table, sql, rows), Exception) for rows in (1, 2, 3, 5, 10, ROWS // 2))


def duckdb_where(table: pa.Table, sql: str) -> list[int] | Exception:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("x", table)
        try:
            return sorted(row for (row,) in connection.sql(f"select row from x where {sql}").fetchall())
        except duckdb.Error as error:
            return error


def pushed_and_run(folder: Path, engine: str, sql: str) -> tuple[list[int], bool]:
    """The rows of a SQL model over what its scan gives, and whether something was pushed into the scan."""
    (folder / "m.sql").write_text(f"-- zerrow: engine = {engine}\nselect row from x where {sql}\n")
    scan, model = plan_project(folder)["models"]
    table = execute(scan["task"], {}, cpus=2)
    result = execute(model["task"], prepare_arguments(model["task"], [table]), [table])
    return sorted(result["row"].to_pylist()), scan["task"]["filter"] is not None


def attempts(tmp_path: Path, count: int) -> Any:
    """Predicates, each with the files it is tried on."""
    print(f"seed: ZERROW_SEED={SEED}")
    chance = random.Random(SEED)
    made = predicates.Predicates(chance)
    for number in range(TABLES):
        files = Files(tmp_path / str(number), predicates.table(chance, ROWS))
        for _ in range(count // TABLES):
            yield chance, files, made.predicate()


def test_a_filter_keeps_what_datafusion_keeps_in_memory_and_in_files_of_any_layout(tmp_path: Path) -> None:
    differing, tried, refused = [], 0, 0
    kinds: dict[Path, dict[str, str | None]] = {}
    for chance, files, sql in attempts(tmp_path, COUNT):
        tried += 1
        # A filter works where it works on each row by itself.
        wanted = where(files.table, sql, 1)
        whole = where(files.table, sql)
        assert isinstance(whole, Exception) or isinstance(wanted, Exception) or whole == wanted
        predicate = Predicate.of(read_filter(sql, {}, None, "x").as_json(), "x")
        assert predicate is not None
        try:
            kept: Any = keep_rows(files.table, predicate, chance.choice([1, 2]))["row"].to_pylist()
        except WorkerFailure as error:
            kept = error
        if isinstance(wanted, Exception):
            refused += 1
            answers = [where(files.table, sql, rows) for rows in (ROWS, ROWS // 2)]
            if kept not in answers and not isinstance(kept, WorkerFailure):
                differing.append((sql, "in memory", kept, answers))
            continue
        if kept != wanted:
            differing.append((sql, "in memory", kept, wanted))
        for folder in chance.sample(files.folders, 3):
            if folder not in kinds:
                kinds[folder] = files.kinds(folder)
            try:
                found: Any = scanned(folder, sql, kinds[folder], ["row"])["row"].to_pylist()
            except WorkerFailure as error:
                found = error
            if found == wanted:
                continue
            # What a file holds is what pyarrow reads: polars, and Parquet alone, have their own types for some columns.
            alone = where(pq.read_table(folder / "x.parquet"), sql, 1)
            if found != alone and not (isinstance(found, WorkerFailure) and isinstance(alone, Exception)):
                differing.append((sql, folder.name, found, wanted))
    print(f"{tried} predicates, {refused} refused by the engine itself, {len(differing)} differing")
    for each in differing[:10]:
        print(*each, sep="\n    ")
    assert not differing
    assert refused < tried / 2


@pytest.mark.parametrize("engine", ["datafusion", "duckdb"])
def test_what_a_query_pushes_into_its_scan_changes_no_result(engine: str, tmp_path: Path) -> None:
    differing, tried, pushed = [], 0, 0
    for chance, files, sql in attempts(tmp_path, COUNT // 2):
        folder = chance.choice(files.folders)
        tried += 1
        table = pq.read_table(folder / "x.parquet")
        wanted = where(table, sql) if engine == "datafusion" else duckdb_where(table, sql)
        if isinstance(wanted, Exception):
            continue
        try:
            found, is_pushed = pushed_and_run(folder, engine, sql)
        except Exception as error:
            if not is_at_fault(files.table, sql):
                differing.append((sql, folder.name, repr(error)[:300], wanted))
            continue
        pushed += is_pushed
        if found != wanted:
            differing.append((sql, folder.name, found, wanted))
    print(f"{tried} queries, {pushed} with a pushed condition, {len(differing)} differing")
    for each in differing[:10]:
        print(*each, sep="\n    ")
    assert not differing
    assert pushed > tried / 20

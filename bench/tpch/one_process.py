"""DuckDB or DataFusion in one process, straight on Parquet files: what a SQL model is compared with.

Reads a JSON object per line, {"sql": …} or {"sql": …, "answer": file}, runs the statement to an Arrow table, writes
it to the file if there is one, and answers with {"rows": …}.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Protocol

import pyarrow as pa


class Engine(Protocol):
    """One of the two."""

    def table(self, sql: str) -> pa.Table: ...


class DuckDB:
    """DuckDB, its memory limited to `memory` bytes if that isn't 0; it spills to the folder."""

    def __init__(self, tables: dict[str, str], threads: int, memory: int, spill: str) -> None:
        import duckdb

        self._connection = duckdb.connect()
        self._connection.execute(f"set threads = {threads}")
        if memory:
            self._connection.execute(f"set memory_limit = '{memory}B'")
            self._connection.execute(f"set temp_directory = '{spill}'")
        for name, path in tables.items():
            self._connection.execute(f"create view {name} as from read_parquet('{path}')")

    def table(self, sql: str) -> pa.Table:
        """The answer."""
        return self._connection.sql(sql).to_arrow_table()


class DataFusion:
    """DataFusion, with a fair pool of `memory` bytes if that isn't 0; it spills to the folder."""

    def __init__(self, tables: dict[str, str], threads: int, memory: int, spill: str) -> None:
        import datafusion

        runtime = datafusion.RuntimeEnvBuilder()
        if memory:
            runtime = runtime.with_fair_spill_pool(memory).with_disk_manager_specified(spill)
        settings = datafusion.SessionConfig().with_target_partitions(threads)
        self._session = datafusion.SessionContext(settings, runtime)
        for name, path in tables.items():
            self._session.register_parquet(name, path)

    def table(self, sql: str) -> pa.Table:
        """The answer."""
        frame = self._session.sql(sql)
        return pa.Table.from_batches(frame.collect(), frame.schema())


class PyArrow:
    """pyarrow's own reader; the statement names a way of reading, and is no SQL."""

    def __init__(self, tables: dict[str, str], threads: int, memory: int, spill: str) -> None:

        pa.set_cpu_count(threads)
        self._tables = tables

    def table(self, sql: str) -> pa.Table:
        """The table that `NAME` and what else the JSON has say: columns, filter, or its count."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        asked = json.loads(sql)
        path = self._tables[asked["table"]]
        if asked.get("count"):
            return pa.table({"count": [pa.dataset.dataset(path).count_rows()]})
        rows = None
        if "between" in asked:
            column, least, most = asked["between"]
            kind = pq.read_schema(path).field(column).type
            rows = (pc.field(column) >= pa.scalar(least).cast(kind)) & (pc.field(column) <= pa.scalar(most).cast(kind))
        return pq.read_table(path, columns=asked.get("columns"), filters=rows)


ENGINES = {"duckdb": DuckDB, "datafusion": DataFusion, "pyarrow": PyArrow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=tuple(ENGINES))
    parser.add_argument("folder", type=Path, help="the tables, NAME.parquet each")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory", type=int, default=0, help="bytes")
    parser.add_argument("--spill", default="/var/tmp")
    options = parser.parse_args()
    tables = {path.stem: str(path) for path in sorted(options.folder.glob("*.parquet"))}
    engine: Engine = ENGINES[options.engine](tables, options.threads, options.memory, options.spill)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            table = engine.table(asked["sql"])
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"[:500]}), flush=True)
            continue
        if "answer" in asked:
            with pa.OSFile(asked["answer"], "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        print(json.dumps({"rows": table.num_rows}), flush=True)
        # The next statement finds the memory free, as the next model does.
        del table


if __name__ == "__main__":
    main()

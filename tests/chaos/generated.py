"""Pipelines made from a seed, and what each of their tables must hold: computed by DuckDB here, on the same rows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

HEAD = """
import subprocess
import time

import pyarrow as pa
import pyarrow.compute as pc
import zerrow

"""

# The models: each makes a table (k, v) of tables (k, v). First what the model does, then the same for DuckDB. No value
# is negative.
PYTHON = {
    "some": ("return a.filter(pc.equal(pc.bit_wise_and(a['v'], 3), {n}))", "select k, v from {a} where v & 3 = {n}"),
    "other": (
        "v = pc.add(pc.multiply(a['v'], 3), {n})\n"
        "return a.set_column(1, 'v', pc.subtract(v, pc.multiply(pc.divide(v, 99991), 99991)))",
        "select k, (v * 3 + {n}) % 99991 as v from {a}",
    ),
    "grouped": (
        "sums = a.group_by('k').aggregate([('v', 'sum')])\nreturn pa.table({{'k': sums['k'], 'v': sums['v_sum']}})",
        "select k, sum(v)::bigint as v from {a} group by k",
    ),
    "sliced": (
        "a = a.sort_by([('v', 'ascending'), ('k', 'ascending')])\nreturn a.slice(a.num_rows // 3, a.num_rows // 2)",
        "select k, v from (select *, row_number() over (order by v, k) - 1 as place, count(*) over () as rows from {a})"
        " where place >= rows // 3 and place < rows // 3 + rows // 2",
    ),
    "starting": (
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)\ntime.sleep(0.3)\nreturn a.select(['k', 'v'])",
        "select k, v from {a}",
    ),
    "framed": (
        "frame = a.to_pandas()\nframe['v'] = (frame['v'] * 7 + {n}) % 99991\nreturn frame",
        "select k, (v * 7 + {n}) % 99991 as v from {a}",
    ),
    "both": (
        "top = b.group_by('k').aggregate([('v', 'max')])\n"
        "joined = a.join(top, 'k', join_type='inner').combine_chunks()\n"
        "return pa.table({{'k': joined['k'], 'v': pc.add(joined['v'], joined['v_max'])}})",
        "select a.k, a.v + b.v as v from {a} a join (select k, max(v) as v from {b} group by k) b on a.k = b.k",
    ),
}
SQL = {
    "chosen": "select k, v from {a} where v % 5 <> {n}",
    "mapped": "select k, (v * 5 + {n}) % 99991 as v from {a}",
    "summed": "select k, cast(sum(v) as bigint) as v from {a} group by k",
    "joined": "select a.k, a.v + b.v as v from {a} a join (select k, min(v) as v from {b} group by k) b on a.k = b.k",
}


@dataclass
class Step:
    """One model: its name, what it reads, its text, and its query for DuckDB."""

    name: str
    inputs: list[str]
    text: str
    query: str
    is_sql: bool


class Generated:
    """A project in a folder, by the numbers of `chance`."""

    def __init__(self, folder: Path, chance: Random, rows: int, is_prepared: bool) -> None:
        self.folder = folder
        self.rows = rows
        self.seed = chance.randrange(2**32)
        self.is_prepared = is_prepared
        self.steps: list[Step] = []
        for number in range(chance.randint(3, 6)):
            self.steps.append(self._step(number, chance))
        read = {name for step in self.steps for name in step.inputs}
        self.finals = [step.name for step in self.steps if step.name not in read]
        self._write()
        self.expected = self._compute()

    def _step(self, number: int, chance: Random) -> Step:
        kind = chance.choice([*PYTHON, *SQL])
        text, query = PYTHON.get(kind, (SQL.get(kind), SQL.get(kind)))
        # The last ones are likelier to be read: pipelines are deep as well as wide.
        names = ["numbers", *(step.name for step in self.steps)]
        inputs = [chance.choice(names[-3:]), chance.choice(names)][: 2 if "{b}" in query else 1]
        values = {"a": inputs[0], "b": inputs[-1], "n": chance.randrange(4)}
        return Step(
            f"{kind}{number}", list(dict.fromkeys(inputs)), self._python(kind, number, inputs, text.format(**values))
            if kind in PYTHON else text.format(**values), query.format(**values), kind in SQL,
        )  # fmt: skip

    @staticmethod
    def _python(kind: str, number: int, inputs: list[str], body: str) -> str:
        arguments = ", ".join(f'{key}=zerrow.Model("{name}")' for key, name in zip("ab", inputs, strict=False))
        return f"@zerrow.model()\ndef {kind}{number}({arguments}):\n{textwrap.indent(body, '    ')}\n"

    def _table(self) -> pa.Table:
        chance = Random(self.seed)
        k = [chance.randrange(40) for _ in range(1000)]
        v = [chance.randrange(99991) for _ in range(1000)]
        times = -(-self.rows // 1000)
        table = pa.table({"k": pa.array(k * times, pa.int64()), "v": pa.array(v * times, pa.int64())})
        return table.slice(0, self.rows)

    def _write(self) -> None:
        (self.folder / "data").mkdir(parents=True)
        source = self.folder / "data" / "numbers.parquet"
        pq.write_table(self._table(), source, row_group_size=max(self.rows // 4, 1))
        prepare = ""
        if self.is_prepared:
            source.rename(self.folder / "kept.parquet")
            prepare = "prepare: [python, make_it.py]\n"
            text = "import os, shutil, time\ntime.sleep(0.3)\nshutil.copy('kept.parquet', 'data/made.tmp')\n"
            (self.folder / "make_it.py").write_text(text + "os.replace('data/made.tmp', 'data/numbers.parquet')\n")
        project = f"project: {{name: chaos}}\nsources:\n  numbers: data/numbers.parquet\n{prepare}"
        (self.folder / "zerrow_project.yml").write_text(project)
        (self.folder / "models.py").write_text(HEAD + "\n\n".join(s.text for s in self.steps if not s.is_sql))
        for step in self.steps:
            if step.is_sql:
                (self.folder / f"{step.name}.sql").write_text(step.text + "\n")

    def _compute(self) -> dict[str, pa.Table]:
        """Each model's table, in the order of its rows' values."""
        database = duckdb.connect()
        database.register("numbers", self._table())
        tables = {}
        for step in self.steps:
            database.execute(f"create table {step.name} as {step.query}")
            tables[step.name] = database.sql(f"select k, v from {step.name} order by k, v").to_arrow_table()
        database.close()
        return tables

    def is_right(self, name: str, table: pa.Table) -> bool:
        """Whether that is the model's table; the order of rows is nobody's promise."""
        columns = pa.schema([("k", pa.int64()), ("v", pa.int64())])
        got = table.select(["k", "v"]).cast(columns).sort_by([("k", "ascending"), ("v", "ascending")])
        return got.combine_chunks().equals(self.expected[name].cast(columns).combine_chunks())

"""Projects of trivial models in their shapes, written as a user would."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HEAD = "import numpy\nimport pyarrow as pa\nimport pyarrow.compute as pc\nimport zerrow\n"
FIRST = """

@zerrow.model()
def m0(seed=zerrow.Model("seed")):
    return pa.table({{f"c{{i}}": numpy.arange({rows}, dtype="f8") for i in range(10)}})
"""
STEP = """

@zerrow.model()
def m{number}(table=zerrow.Model("m{reads}")):
    return table.set_column(0, "c0", pc.add(table["c0"], 1.0))
"""
LAST = """

@zerrow.model()
def last({arguments}):
    return pa.table({{"rows": [sum(table.num_rows for table in ({names}))]}})
"""


def chain(count: int, rows: int) -> list[str]:
    """Each model reads the one before."""
    return [FIRST.format(rows=rows), *(STEP.format(number=i, reads=i - 1) for i in range(1, count))]


def fan_in(count: int, rows: int) -> list[str]:
    """All models but two read the first, and the last reads all those."""
    middle = range(1, count - 1)
    arguments = ", ".join(f'm{i}=zerrow.Model("m{i}")' for i in middle)
    names = "".join(f"m{i}, " for i in middle)
    steps = [STEP.format(number=i, reads=0) for i in middle]
    return [FIRST.format(rows=rows), *steps, LAST.format(arguments=arguments, names=names)]


def write(folder: Path, texts: list[str], *, in_one_file: bool) -> Path:
    """The project of these models."""
    folder.mkdir(parents=True)
    (folder / "zerrow_project.yml").write_text("project: {name: trivial}\nsources:\n  seed: seed.parquet\n")
    pq.write_table(pa.table({"seed": [7]}), folder / "seed.parquet")
    if in_one_file:
        (folder / "models.py").write_text(HEAD + "".join(texts))
    else:
        for number, text in enumerate(texts):
            (folder / f"model_{number}.py").write_text(HEAD + text)
    return folder

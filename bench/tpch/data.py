"""All eight tables of TPC-H, made once and kept, and the 22 queries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from measure import HOME
from paper.data import Workspace

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
QUERIES = HOME / "bench/sql/queries"
NAMES = tuple(path.stem for path in sorted(QUERIES.glob("q*.sql")))


def tables(workspace: Workspace, scale: float) -> dict[str, Path]:
    """The tables at a scale factor: row groups of about a million lines and Snappy, as examples/tpch makes them."""

    def write(folder: Path) -> None:
        command = [Path(sys.executable).parent / "tpchgen-cli", "parquet", "--scale-factor", f"{scale:g}"]
        command += ["--output-dir", folder, "--tables", ",".join(TABLES), "--quiet"]
        subprocess.run(
            [*command, "--compression", "SNAPPY", "--row-group-bytes", "128MB"], check=True, stdout=sys.stderr
        )

    folder = workspace.kept(f"tpch-all-{scale:g}", write)
    return {name: folder / f"{name}.parquet" for name in TABLES}


def warm(tables: dict[str, Path]) -> None:
    """Brings the files into the system's file cache, charged to this process and not to a system."""
    for path in tables.values():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


def query(name: str, scale: float) -> str:
    """A query's text. Query 11 has the scale factor in it."""
    text = (QUERIES / f"{name}.sql").read_text()
    return text.replace("* 0.0001", f"* {0.0001 / scale:.12f}") if name == "q11" else text

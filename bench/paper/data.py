"""The experiments' tables and projects. Tables are made once and kept in ~/.cache/zerrow/bench; projects are copied,
with links to their tables, into a folder that goes when the benchmark goes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import HOME, log

from .janitor import Janitor

ROWS_PER_GROUP = 1 << 20
# No cache trusts a file that was changed a moment ago, and a new link is a change.
SETTLED_S = 2.1


def cache_folder() -> Path:
    """Where tables are kept from call to call."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zerrow" / "bench"


class Workspace:
    """The folder of one call of the benchmark."""

    def __init__(self, janitor: Janitor) -> None:
        self.cache = cache_folder()
        self.cache.mkdir(parents=True, exist_ok=True)
        # Beside the tables: hard links need the same file system.
        self.folder = self.cache / f"work-{os.getpid()}"
        janitor.expect("folder", self.folder)
        self.folder.mkdir()

    def log(self) -> IO[str]:
        """A file for what processes say."""
        return tempfile.NamedTemporaryFile("w+", dir=self.folder, prefix="log-", delete=False)

    def private_folder(self, name: str) -> Path:
        """A new folder that nobody else may enter."""
        return Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{name}-"))

    def project(self, source: Path, tables: dict[str, Path], name: str | None = None) -> Path:
        """A copy of a project whose data/ has these tables, each as NAME.parquet."""
        folder = self.folder / (name or source.name)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
        (folder / "data").mkdir()
        for table, path in tables.items():
            os.link(path, folder / "data" / f"{table}.parquet")
        time.sleep(SETTLED_S)
        return folder

    def warm(self, project: Path) -> None:
        """Brings the project's files into the system's file cache."""
        for path in sorted((project / "data").iterdir()):
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass

    def integers(self, size: int, seed: int = 0) -> Path:
        """Ten int64 columns, together so many bytes in memory; plain encoded and Snappy, as such columns are."""

        def write(path: Path) -> None:
            rows = size // 80
            random = np.random.default_rng(seed)
            columns = {f"c{i}": random.integers(0, 1 << 40, rows) for i in range(10)}
            pq.write_table(pa.table(columns), path, use_dictionary=False, row_group_size=ROWS_PER_GROUP)

        return self.kept(f"integers-{size}-{seed}.parquet", write)

    def texts(self, rows: int) -> Path:
        """Four columns of texts of about 80 bytes, thousands of different ones each, and a number per row."""

        def write(path: Path) -> None:
            random = np.random.default_rng(1)
            columns: dict[str, pa.Array] = {"id": pa.array(random.permutation(rows))}
            for number in range(4):
                words = [f"column {number} text {word:06d} " * 4 for word in range(4000)]
                codes = pa.array(random.integers(0, len(words), rows, dtype=np.int32))
                columns[f"text{number}"] = pa.array(words).take(codes)
            pq.write_table(pa.table(columns), path, row_group_size=ROWS_PER_GROUP)

        return self.kept(f"texts-{rows}.parquet", write)

    def tpch(self, factor: float) -> dict[str, Path]:
        """The tables of examples/tpch at a scale factor, made by its own make_data.py."""

        def write(folder: Path) -> None:
            folder.mkdir()
            shutil.copy(HOME / "examples/tpch/make_data.py", folder)
            subprocess.run(
                [sys.executable, folder / "make_data.py", f"{factor:g}"], check=True, stdout=sys.stderr, cwd=folder
            )

        folder = self.kept(f"tpch-{factor:g}", write)
        return {path.stem: path for path in sorted((folder / "data").glob("*.parquet"))}

    def kept(self, name: str, write: Callable[[Path], None]) -> Path:
        """A file or folder of the cache; it appears when it is complete."""
        path = self.cache / name
        if not path.exists():
            log(f"making {path}")
            temporary = self.folder / name
            write(temporary)
            # Another benchmark may have been faster.
            with contextlib.suppress(OSError):
                os.rename(temporary, path)
        return path

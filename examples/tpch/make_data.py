"""Makes the TPC-H tables as Parquet files in data/, with tpchgen-cli (`pip install tpchgen-cli`).

Usage: python make_data.py [SCALE_FACTOR]. The default is 1: 6 million order lines, 280 MB. The files appear when all
are complete: an interrupted run leaves nothing that looks like data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TABLES = ("customer", "lineitem", "nation", "orders", "part", "region", "supplier")


def generator() -> str:
    """The tpchgen-cli of this Python's environment, or else the one on the path."""
    beside = Path(sys.executable).parent / "tpchgen-cli"
    found = str(beside) if beside.is_file() else shutil.which("tpchgen-cli")
    if found is None:
        sys.exit(f"tpchgen-cli is not installed: {sys.executable} -m pip install tpchgen-cli")
    return found


def main() -> None:
    scale_factor = sys.argv[1] if len(sys.argv) > 1 else "1"
    data = FOLDER / "data"
    with tempfile.TemporaryDirectory(prefix=".data-", dir=FOLDER) as temporary:
        print(f"making TPC-H at scale factor {scale_factor} in {data.name}/", file=sys.stderr)
        command = [generator(), "parquet", "--scale-factor", scale_factor, "--output-dir", temporary, "--quiet"]
        # Row groups of about a million lines and Snappy: what warehouses usually write.
        command += ["--tables", ",".join(TABLES), "--compression", "SNAPPY", "--row-group-bytes", "128MB"]
        subprocess.run(command, check=True)
        data.mkdir(exist_ok=True)
        for table in TABLES:
            os.replace(Path(temporary, f"{table}.parquet"), data / f"{table}.parquet")


if __name__ == "__main__":
    main()

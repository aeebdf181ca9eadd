"""Every file of a corpus is read as pyarrow reads it, or refused by its name; `run` does the same for any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from judge import HOME, different, judge
from writers import make_corpus

SEED = int(os.environ.get("ZERROW_CORPUS_SEED", "20240229"))
DAMAGED = 120


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    print(f"seed {SEED}: ZERROW_CORPUS_SEED={SEED} makes the same files")
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, SEED, DAMAGED)
    return folder


def test_each_file_is_read_as_pyarrow_reads_it_or_refused_by_its_name(corpus: Path) -> None:
    verdicts = judge(sorted(str(path) for path in corpus.iterdir()))
    others = {file: verdict.why for file, verdict in verdicts.items() if verdict.kind == "other"}
    assert not others, f"seed {SEED}: {json.dumps(others, indent=1)}"
    whole = {Path(file).name: verdict.kind for file, verdict in verdicts.items() if "damaged" not in file}
    refused = {name for name, kind in whole.items() if kind == "refused"}
    no_tables = ("empty", "magic", "reversed-magic", "short", "text")
    unnamed = ("deep-110", "nul", "nul-within", "same-names")
    assert refused == {f"{name}.parquet" for name in (*no_tables, *unnamed)}
    assert {verdict.kind for file, verdict in verdicts.items() if "damaged" in file} == {"equal", "refused"}


def test_the_script_tells_what_is_neither(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    script = [sys.executable, HOME / "tests" / "corpus" / "run", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0 and "1 files: 0 equal, 1 refused, 0 other" in done.stdout, done


def test_the_judge_sees_differences() -> None:
    table = pa.table({"a": [1.0, float("nan"), -0.0], "b": ["x", None, ""]})
    assert different(table, table) == ""
    others = [
        table.set_column(0, "a", pa.array([1.0, float("nan"), 0.0])),
        table.set_column(1, "b", pa.array(["x", "", ""])),
        table.set_column(0, "a", pa.array([1.0, None, -0.0], pa.float32())),
        table.slice(1),
        table.select(["b", "a"]),
    ]
    assert all(different(other, table) for other in others)


def test_the_command_names_the_files_that_cannot_be_read(corpus: Path, tmp_path: Path) -> None:
    """A footer, pages and a good file, by the command itself."""
    content = (corpus / "one-i32.parquet").read_bytes()
    bad = bytearray(content)
    bad[4:20] = b"\xff" * 16
    os.chmod(tmp_path, 0o755)
    for name, each in (("good", content), ("pages", bytes(bad)), ("footer", content[:-20])):
        (tmp_path / f"{name}.parquet").write_bytes(each)
    environment = {**os.environ, "ZERROW_SOCKET": "/nonexistent/socket", "ZERROW_HISTORY": ""}

    def run(*names: str) -> subprocess.CompletedProcess[str]:
        sources = {name: f"{name}.parquet" for name in names}
        (tmp_path / "zerrow_project.yml").write_text(json.dumps({"sources": sources}))
        for name in names:
            (tmp_path / f"of_{name}.sql").write_text(f"select sum(i32) as n from {name}")
        command = [HOME / "zerrow", "run", "-p", tmp_path, "--keep-going", "--output", "json"]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = run("good", "pages")
    reports = {model["name"]: model["status"] for model in json.loads(done.stdout)["models"]}
    assert reports == {"of_good": "success", "of_pages": "failed"}, done
    assert (
        f"{tmp_path}/pages.parquet cannot be read, in the column 'i32'" in done.stderr
        and "Traceback" not in done.stderr
    )
    done = run("good", "footer")
    assert (
        f"{tmp_path}/footer.parquet is no Parquet file" in done.stdout + done.stderr and "Traceback" not in done.stderr
    )

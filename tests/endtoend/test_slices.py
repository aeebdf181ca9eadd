"""A few rows of a large table, from a model to memory, to a file, and to the next run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
from command import Project

MODELS = """
    import pyarrow as pa
    import zerrow

    N = 200_000

    @zerrow.model()
    def few(t=zerrow.Model("numbers")):
        text = pa.array([f"{i:020}" for i in range(N)])
        lists = pa.ListArray.from_arrays(pa.array(range(N + 1), pa.int32()), text)
        columns = {"text": text, "views": text.cast(pa.string_view()), "lists": lists}
        return pa.table(columns | {"n": range(N)}).slice(N - 3)

    @zerrow.model()
    def passed_on(t=zerrow.Model("few")):
        return t.slice(1)
"""


def test_a_few_rows_cost_a_few_rows_everywhere(any_project: Project, tmp_path: Path) -> None:
    any_project.write("models.py", MODELS)
    time.sleep(2.1)  # what was changed right before a run is not kept
    out, cache = tmp_path / "out", tmp_path / "cache"
    for folder in (out, cache):
        folder.mkdir()
        os.chown(folder, any_project.caller.uid, -1)
    result = any_project.run("--format", "arrow", "--export", str(out), "--cache-dir", str(cache))
    assert result.code == 0, result.err
    for name in ("few", "passed_on"):
        output = result.model(name)["output"]
        assert output["bytes"] < 2000
        ways = ("reshared_bytes", "born_shared_bytes", "deanonymized_bytes", "packed_bytes", "copied_bytes")
        assert output["bytes"] == sum(output[way] for way in ways)
    exported = out / "passed_on.arrows"
    expected = [f"{number:020}" for number in (199_998, 199_999)]
    table = pa.ipc.open_stream(exported).read_all()
    table.validate(full=True)
    assert table.to_pydict() == {
        "text": expected, "views": expected, "lists": [[text] for text in expected], "n": [199_998, 199_999],
    }  # fmt: skip
    assert exported.stat().st_size < 4000
    saved = [file.stat().st_size for file in cache.iterdir() if file.suffix == ".arrow"]
    assert saved and max(saved) < 60_000  # the source's columns, where they are kept, and the rest
    again = any_project.run("--format", "arrow", "--export", str(out), "--cache-dir", str(cache))
    assert again.code == 0 and pa.ipc.open_stream(exported).read_all().equals(table)

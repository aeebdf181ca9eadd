"""The guides in docs/guides: every snippet is run, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import HOME, ZERROW, Project


@pytest.mark.parametrize("name", ["python.md"])
def test_the_snippets_of_a_guide_run(project: Project, tmp_path: Path, name: str):
    text = (HOME / "docs" / "guides" / name).read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    environment = project.environment({"PYTHONPATH": str(HOME / "python"), "ZERROW_COMMAND": str(ZERROW)})
    folder = tmp_path / "guide"
    folder.mkdir()
    subprocess.run([ZERROW, "init", "shop"], cwd=folder, check=True, capture_output=True, env=environment)
    script = []
    for snippet in snippets:
        # A snippet that begins with a file's name is that file, and a test.
        if named := re.match(r"# (tests/\w+\.py)\n", snippet):
            (folder / "tests").mkdir(exist_ok=True)
            (folder / named[1]).write_text(snippet)
        else:
            script.append(snippet)
    assert len(script) >= 4 and (folder / "tests").exists()
    for words in (["-c", "\n".join(script)], ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]):
        done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert set(os.listdir(folder)) == {"shop", "tests"}

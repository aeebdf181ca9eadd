"""Numbers of hundreds of digits are refused with their place, wherever a project has numbers."""

from pathlib import Path

import pytest
from zerrow.errors import PlanError
from zerrow.plan.planner import plan_project

DIGITS = "9" * 400
PROJECT = "project: {name: p}\nsources: {numbers: data/numbers.parquet}\n"
MODEL = "import zerrow\n\n\n@zerrow.model(%s)\ndef m(numbers=zerrow.Model('numbers')):\n    return numbers\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("zerrow_project.yml", f"{PROJECT}timeout: {DIGITS}\n"),
        ("zerrow_project.yml", f"{PROJECT}parameters: {{rate: {{type: float, default: {DIGITS}}}}}\n"),
        ("zerrow_project.yml", f"{PROJECT}parameters: {{rate: {{type: int, default: {DIGITS}}}}}\n"),
        ("models.py", MODEL % f"timeout={DIGITS}"),
        ("models.py", MODEL % f"memory='{DIGITS}G'"),
        ("models.py", MODEL % f"memory={DIGITS}"),
        ("model.sql", f"-- zerrow: timeout = {DIGITS}\nselect * from numbers\n"),
        ("model.sql", f"-- zerrow: memory = {DIGITS}\nselect * from numbers\n"),
    ],
)
def test_a_number_of_hundreds_of_digits_is_refused_with_its_place(tmp_path: Path, file: str, text: str):
    (tmp_path / "zerrow_project.yml").write_text(PROJECT)
    (tmp_path / file).write_text(text)
    with pytest.raises(PlanError) as caught:
        plan_project(tmp_path)
    assert any(problem.file == file and problem.line for problem in caught.value.errors)

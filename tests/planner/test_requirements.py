"""Packages as projects ask for them become requirements, and nothing else that pip or uv would take."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from zerrow.plan.requirements import BadRequirement, requirement, requirement_line


@pytest.mark.parametrize(
    ("name", "version", "fits", "others"),
    [
        ("pandas", "2.2.2", ["2.2.2"], ["2.2.3", "2.2"]),
        ("pandas", "2", ["2.0", "2.9.1"], ["3.0", "1.9"]),
        ("polars", "1.37", ["1.37.0", "1.37.9"], ["1.38", "1.3"]),
        ("pyarrow", "23.0", ["23.0.0", "23.0.1"], ["23.1.0"]),
        ("numpy", ">=2,<3", ["2.0", "2.9"], ["1.26", "3.0"]),
        ("numpy", "~=2.1", ["2.1", "2.9"], ["3.0", "2.0"]),
        ("numpy", "==2.2.2", ["2.2.2"], ["2.2.3"]),
        ("numpy", "2.*", ["2.9"], ["3.0"]),
        ("numpy", "", ["1", "99"], []),
        ("numpy", "*", ["1", "99"], []),
        ("numpy", " 1.0rc1 ", ["1.0rc1"], ["1.0"]),
    ],
)
def test_a_version_means_what_it_is_a_part_of(name: str, version: str, fits: list[str], others: list[str]) -> None:
    asked = Requirement(requirement(name, version, "m.py", 1).text)
    assert asked.name == name
    assert all(asked.specifier.contains(Version(each), prereleases=True) for each in fits)
    assert not any(asked.specifier.contains(Version(each), prereleases=True) for each in others)


def test_names_are_those_of_the_index_and_keep_their_extras() -> None:
    asked = requirement("Scikit_Learn", "1", "m.py", 1)
    assert (asked.name, Requirement(asked.text).name) == ("scikit-learn", "scikit-learn")
    assert Requirement(requirement("moto[s3, server]", "5", None, None).text).extras == {"s3", "server"}
    line = requirement_line('tomli>=2 ; python_version < "3.11" --hash=sha256:00ff --hash=sha256:11', "r.txt", 3)
    assert (line.hashes, line.file, line.line) == (("sha256:00ff", "sha256:11"), "r.txt", 3)
    assert str(Requirement(line.text).marker) == 'python_version < "3.11"'


@pytest.mark.parametrize(
    "name",
    [
        "", "--index-url=http://x", "-r /etc/passwd", "-e .", "six @ http://x/six.whl", "git+https://x/y", "./six",
        "/six", "~six", "six\n--pre", "six --pre", "${HOME}", "six\\", "s%20x", "six;os.system('x')", "six\0", "sıx",
    ],
)  # fmt: skip
def test_what_is_no_package_is_refused(name: str) -> None:
    with pytest.raises(BadRequirement):
        requirement(name, "", "m.py", 1)
    with pytest.raises(BadRequirement):
        requirement_line(name, "m.py", 1)


@pytest.mark.parametrize(
    "version", ["latest", "^2", "1 -r x", "1\n-r x", "1 --hash=sha256:00", "@http://x", "2;x", "x" * 999]
)
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(BadRequirement):
        requirement("six", version, "m.py", 1)


def test_a_project_asks_for_packages_as_it_is_written(shop: Any) -> None:
    text = "packages:\n  - six==1.16.0\n  - {name: pandas, version: 2.10}\n  - attrs\npython: {version: 3.10}\n"
    shop.write({"zerrow_project.yml": "sources: {sales: sales.parquet}\n" + text})
    from zerrow.plan.findings import Findings
    from zerrow.plan.project_file import read_project_file

    findings = Findings()
    file = read_project_file(shop.folder, findings)
    assert [each.text for each in file.packages] == ["six==1.16.0", "pandas==2.10.*", "attrs"]
    assert (file.python.text, file.python.line) == ("3.10", 6)
    assert [findings.errors, findings.warnings] == [[], []]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("packages: six", 2),
        ("packages: {six: [1]}", 2),
        ("packages: [{version: 1}]", 2),
        ("python: [3]", 2),
        ("packages:\n  six: latest", 3),
    ],
)
def test_packages_in_another_form_are_an_error(shop: Any, text: str, line: int) -> None:
    shop.write({"zerrow_project.yml": f"sources: {{sales: sales.parquet}}\n{text}\n", "q.sql": "select 1 from sales"})
    (error,) = shop.errors()
    assert (error["file"], error["line"]) == ("zerrow_project.yml", line)

"""What tests of published tables share."""

from __future__ import annotations

import pytest
from catalog import published
from command import Project

MODEL = """
    import zerrow

    @zerrow.model(materialization_strategy="{strategy}")
    def out(numbers=zerrow.Model("numbers", filter="a < $limit"), limit=zerrow.Parameter("limit")):
        return numbers
"""
PARAMETERS = """
    project: {name: test}
    sources: {numbers: data/numbers.parquet}
    parameters: {limit: {type: int, default: 10}}
"""


@pytest.fixture
def parametrised(project: Project) -> Project:
    """A project whose model `out` has as many rows as the parameter `limit` says."""
    project.write("zerrow_project.yml", PARAMETERS)
    return project


def succeed(project: Project, *arguments: str, env: dict | None = None) -> dict:
    done = project.run(*arguments, env=env)
    assert done.code == 0, done.err
    return done.report


def fail(project: Project, *arguments: str) -> str:
    done = project.run(*arguments)
    assert done.code == 1, done.err
    assert done.report["published"] == []
    return "\n".join(each["message"] for each in done.report["errors"])


PARTITIONED = """
    import pyarrow as pa
    import zerrow

    @zerrow.model(materialization_strategy="{strategy}", partitioned_by={by}{more})
    def out(numbers=zerrow.Model("numbers"), rows=zerrow.Parameter("rows")):
        days, values = zip(*[each.split(":") for each in rows.split(",")])
        return pa.table({{"day": list(days), "v": [int(each) for each in values]}})
"""


@pytest.fixture
def by_day(project: Project) -> Project:
    """A project that publishes what the parameter `rows` says: `day:value,…`."""
    project.write(
        "zerrow_project.yml",
        """
        project: {name: test}
        sources: {numbers: data/numbers.parquet}
        parameters: {rows: {type: str, required: true}}
        """,
    )
    return project


def rows_of(project: Project, name: str = "out") -> list[tuple]:
    table = published(project, name)
    return sorted(zip(*[table.column(each).to_pylist() for each in table.column_names], strict=True))

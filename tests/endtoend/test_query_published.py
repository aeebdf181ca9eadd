"""Queries of tables that runs have published."""

from __future__ import annotations

from catalog import call, queried
from command import Project


def test_a_query_reads_what_was_published_and_not_what_its_model_would_give_now(project: Project):
    project.write("bauplan_project.yml", "parameters: {most: {type: int, default: 100}}\n")
    project.write(
        "models.py",
        """
        import bauplan

        @bauplan.model(materialization_strategy="APPEND")
        def small(data=bauplan.Model("numbers", columns=["a"], filter="a < $most")):
            return data

        @bauplan.model()
        def not_kept(data=bauplan.Model("small")):
            return data
        """,
    )
    for most in ("30", "7"):
        assert project.run("--param", f"most={most}").code == 0
    counts = "select (select count(*) from small) as s, (select count(*) from bauplan.small) as t"
    assert first_row(project, counts) == ["37", "37"]
    assert first_row(project, "select count(*) as n from not_kept") == ["37"]
    # A run reads its own model all the same.
    assert project.run("--param", "most=5").model("not_kept")["output"]["rows"] == 5
    call(project, "table", "rm", "small", "-p", str(project.folder))
    assert first_row(project, "select count(*) as n from small") == ["100"]


def first_row(project: Project, sql: str) -> list[str]:
    """The one row that a query gives."""
    return queried(project, sql).splitlines()[2].split()

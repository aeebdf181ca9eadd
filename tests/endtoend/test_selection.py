"""`run MODEL…`, `--select` and `--exclude`: what runs, what is shown, and what is published."""

import json

import pytest
from command import Project

MODELS = """
    import zerrow


    @zerrow.model(tags=["first"], materialization_strategy="REPLACE")
    def one(numbers=zerrow.Model("numbers")):
        return numbers


    @zerrow.model(tags=["second"], materialization_strategy="REPLACE")
    def two(one=zerrow.Model("one")):
        return one


    @zerrow.model()
    def three(two=zerrow.Model("two")):
        return two


    @zerrow.expectation()
    def one_has_rows(one=zerrow.Model("one")):
        return one.num_rows > 0


    @zerrow.expectation()
    def three_has_rows(three=zerrow.Model("three")):
        return three.num_rows > 0
"""


@pytest.fixture
def chain_of_three(project: Project) -> Project:
    """one → two → three, the first two of them published, with expectations of the first and the last."""
    project.write("models.py", MODELS)
    project.write("beside.sql", "-- zerrow: tags = first\nselect count(*) as n from numbers")
    return project


def run(project: Project, *words: str) -> tuple[set[str], dict]:
    """What ran, without scans and sinks, and the report."""
    result = project.run(*words)
    assert result.code == 0, result.err
    names = {each["name"] for each in result.report["models"]}
    return names - {"numbers"}, result.report


@pytest.mark.parametrize(
    ("words", "ran", "published"),
    [
        (["one"], {"one", "one_has_rows", "publish bauplan.one"}, {"bauplan.one"}),
        (["two"], {"one", "two", "one_has_rows", "publish bauplan.two"}, {"bauplan.two"}),
        (
            ["--select", "+two", "beside"],
            {"one", "two", "beside", "one_has_rows", "publish bauplan.one", "publish bauplan.two"},
            {"bauplan.one", "bauplan.two"},
        ),
        (["-m", "tag:first", "--exclude", "one"], {"beside"}, set()),
        (["three", "--exclude", "one_has_rows"], {"one", "two", "three", "three_has_rows"}, set()),
        (["kind:sql"], {"beside"}, set()),
        (["source:numbers", "--dry-run"], {"one", "beside", "one_has_rows"}, set()),
    ],
)
def test_only_what_was_selected_runs_with_what_it_needs(
    chain_of_three: Project, words: list[str], ran: set[str], published: set[str]
):
    names, report = run(chain_of_three, *words)
    assert names == ran
    assert {each["table"] for each in report["published"]} == published


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["+three"], {"three"}),
        (["one", "three"], {"one", "three"}),
        (["one+"], {"one", "three"}),
        (["+three", "--exclude", "three"], {"two"}),
        ([], {"three", "beside"}),
    ],
)
def test_the_tables_that_were_named_are_exported_and_the_last_ones(
    chain_of_three: Project, words: list[str], files: set[str]
):
    out = chain_of_three.folder.parent / "out"
    run(chain_of_three, *words, "--export", str(out))
    assert {path.stem for path in out.iterdir()} == files


def test_the_tables_that_were_named_are_shown(chain_of_three: Project):
    shown = chain_of_three.call("run", "one", "two").stdout
    assert "\n\none\n" in shown and "\n\ntwo\n" in shown
    assert "three" not in shown


def test_a_plan_is_narrowed_as_a_run_is(chain_of_three: Project):
    plan = json.loads(chain_of_three.call("plan", "two", "-O", "json").stdout)
    assert [model["name"] for model in plan["models"] if model["final"]] == ["two"]
    assert "three" not in chain_of_three.call("plan", "-s", "beside").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["thre"], "did you mean 'three'?"),
        (["tag:frist"], "did you mean 'first'?"),
        (["one", "--exclude", "one"], "leave no model"),
        (["+"], "is no selector"),
    ],
)
def test_a_selector_without_a_model_is_an_error_and_nothing_runs(chain_of_three: Project, words: list[str], said: str):
    done = chain_of_three.call("run", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""


def test_a_folder_in_the_place_of_a_model_is_told(chain_of_three: Project):
    done = chain_of_three.call("run", "./data")
    assert done.returncode == 2
    assert "-p ./data" in done.stderr


def test_a_broken_model_that_is_not_selected_stops_nothing_that_runs(chain_of_three: Project):
    chain_of_three.write(
        "broken.py", "import zerrow\n\n\n@zerrow.model()\ndef bad(t=zerrow.Model('three')):\n    1 / 0\n"
    )
    assert chain_of_three.call("run", "two").returncode == 0
    assert chain_of_three.call("run", "bad").returncode == 1

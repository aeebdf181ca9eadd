"""`zerrow plan -O svg|mermaid|json`, and words that were mistyped."""

import json
import subprocess
import xml.etree.ElementTree as xml

import pytest
from command import Project

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawn(project: Project) -> Project:
    """A query over a query over the source."""
    project.write("first.sql", "select a, b from numbers")
    project.write("second.sql", "select a from first")
    return project


def test_a_plan_is_a_picture_that_any_reader_of_xml_takes(drawn: Project):
    done = drawn.call("plan", "-O", "svg", "--no-stream")
    assert done.returncode == 0, done.stderr
    picture = xml.fromstring(done.stdout)
    texts = [each.text for each in picture.iter(f"{SVG}text")]
    assert {"numbers", "first", "second"} <= set(texts)
    assert len(list(picture.iter(f"{SVG}path"))) == 2


def test_a_plan_is_a_flowchart_of_mermaid(drawn: Project):
    lines = drawn.call("plan", "-O", "mermaid", "--no-stream").stdout.splitlines()
    assert lines[0] == "flowchart LR"
    assert sum("-->" in line for line in lines) == 2


def test_what_is_wrong_is_an_object_on_standard_output_too(drawn: Project):
    drawn.write("second.sql", "select nothing from first")
    done = drawn.call("plan", "-O", "json")
    assert done.returncode == 1
    (error,) = json.loads(done.stdout)["errors"]
    assert error["model"] == "second"
    assert "nothing" in error["message"]
    assert "nothing" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["jbo", "ls"], "Did you mean 'job'?"),
        (["job", "lgos"], "Did you mean 'logs'?"),
        (["something"], "there are: init, run, query"),
        (["run", "--exprot", "x"], "Did you mean '--export'?"),
        (["query", "select 1", "--al-rows"], "Did you mean '--all-rows'?"),
    ],
)
def test_a_mistyped_word_is_told_with_the_one_that_was_meant(drawn: Project, words: list[str], said: str):
    done = drawn.call(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_completions_that_know_the_commands(drawn: Project, shell: str):
    done = drawn.call("--generate-completion-script", shell)
    assert done.returncode == 0
    assert "query" in done.stdout and "namespace" in done.stdout
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0

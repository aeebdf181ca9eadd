"""`run --retry-failed`: what the last run of a project did not get done."""

import json

from command import Project
from jobs import Jobs

MODELS = """
    import zerrow


    @zerrow.model()
    def good(numbers=zerrow.Model("numbers")):
        return numbers


    @zerrow.model()
    def bad(good=zerrow.Model("good")):
        {body}
        return good


    @zerrow.model()
    def behind(bad=zerrow.Model("bad")):
        return bad


    @zerrow.model()
    def beside(numbers=zerrow.Model("numbers")):
        return numbers
"""


def retry(jobs: Jobs, *words: str, code: int = 0) -> set[str]:
    """The project's own models that ran again."""
    done = jobs.call("run", "-p", str(jobs.project.folder), "--retry-failed", "-O", "json", *words)
    assert done.returncode == code, done.stderr
    return {each["name"] for each in json.loads(done.stdout)["models"]} - {"numbers"}


def test_only_what_failed_or_was_not_run_is_run_again(jobs: Jobs):
    project: Project = jobs.project
    project.write("models.py", MODELS.format(body="raise ValueError('no')"))
    first = jobs.call("run", "-p", str(project.folder), "--keep-going")
    assert first.returncode == 1
    # Still broken: the same once more, and nothing beside it.
    assert retry(jobs, code=1) == {"good", "bad", "behind"}
    project.write("models.py", MODELS.format(body="pass"))
    assert retry(jobs) == {"good", "bad", "behind"}
    done = jobs.call("run", "-p", str(project.folder), "--retry-failed")
    assert done.returncode == 0
    assert "nothing failed" in done.stderr
    assert done.stdout == ""


def test_a_project_whose_models_cannot_be_read_is_no_last_run(jobs: Jobs):
    project: Project = jobs.project
    project.write("models.py", MODELS.format(body="raise ValueError('no')"))
    assert jobs.call("run", "-p", str(project.folder)).returncode == 1
    project.write("models.py", "import zerrow\n\n@zerrow.model(\n")
    assert jobs.call("run", "-p", str(project.folder)).returncode == 1
    project.write("models.py", MODELS.format(body="pass"))
    assert retry(jobs) >= {"good", "bad", "behind"}


def test_without_a_last_run_it_says_so(jobs: Jobs):
    done = jobs.call("run", "-p", str(jobs.project.folder), "--retry-failed")
    assert done.returncode == 2
    assert "no run of the project" in done.stderr
    done = jobs.call("run", "-p", str(jobs.project.folder), "--retry-failed", env={"ZERROW_JOBS": ""})
    assert done.returncode == 2
    assert "ZERROW_JOBS" in done.stderr
    assert jobs.call("run", "good", "-p", str(jobs.project.folder), "--retry-failed").returncode == 2

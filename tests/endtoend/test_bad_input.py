"""Mistakes get an error that names the model, the file, the line and what to do; the command never hangs."""

import subprocess

import pytest
from command import IS_ROOT, ZERROW

GOOD = """
    import zerrow

    @zerrow.model()
    def good(numbers=zerrow.Model("numbers")):
        return numbers
"""


def failing(project, body: str, *arguments: str):
    """Run a project whose one model has this body; the failure's message."""
    project.write(
        "models.py", f"import zerrow\n\n\n@zerrow.model()\ndef broken(numbers=zerrow.Model('numbers')):\n{body}"
    )
    result = project.run(*arguments)
    assert result.code == 1, result.err
    assert result.report["status"] == "failed"
    assert result.report["error"]["model"] == "broken"
    assert "Traceback (most recent call last)" not in result.err or "models.py" in result.err
    return result.report["error"]["message"]


# What can be known before anything runs.


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("def broken(:\n    pass\n", ["models.py:1"]),
        (
            "import zerrow\n@zerrow.model()\ndef m(x=zerrow.Model('nmbers')):\n    return x\n",
            ["models.py:3", "nmbers", "numbers"],
        ),
        (
            "import zerrow\n@zerrow.model()\ndef m(x=zerrow.Model('numbers', columns=['aa'])):\n    return x\n",
            ["models.py:3", "aa", "'a'"],
        ),
        (
            "import zerrow\n@zerrow.model()\ndef m(x=zerrow.Model('n')):\n    return x\n"
            "@zerrow.model()\ndef n(x=zerrow.Model('m')):\n    return x\n",
            ["models.py:3", "m → n → m"],
        ),
        ("import zerrow\n@zerrow.model()\ndef m():\n    return 1\n", ["models.py:3", "has no input"]),
        (
            "import zerrow\n@zerrow.model()\ndef m(x=zerrow.Model('numbers', filter='a >')):\n    return x\n",
            ["models.py:3", "filter"],
        ),
        (
            "import zerrow\n@zerrow.model(name='m')\ndef a(x=zerrow.Model('numbers')):\n    return x\n"
            "@zerrow.model(name='m')\ndef b(x=zerrow.Model('numbers')):\n    return x\n",
            ["models.py", "'m'"],
        ),
    ],
    ids=["syntax", "table", "column", "cycle", "no-input", "filter", "duplicate"],
)
def test_mistakes_in_a_project_are_found_before_anything_runs(project, models, words):
    project.write("models.py", models)
    result = project.run()
    assert result.code == 1
    assert result.report["models"] == []
    text = result.report["error"]["message"]
    for word in words:
        assert word in text, text
    assert "Traceback" not in result.err


def test_a_missing_project_says_what_was_looked_for(tmp_path):
    done = subprocess.run([ZERROW, "run", "-p", tmp_path / "nowhere"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_wrong_usage_is_exit_code_2():
    for arguments in (["run", "--no-such-flag"], ["frobnicate"], ["run", "--param", "novalue"], ["run", "--jobs", "0"]):
        done = subprocess.run([ZERROW, *arguments], capture_output=True, text=True)
        assert done.returncode == 2, (arguments, done.stderr)
        assert done.stderr.strip()


# What only shows when it runs.


@pytest.mark.skipif(not IS_ROOT, reason="models are other users only where root runs them")
@pytest.mark.parametrize("private", ["data/numbers.parquet", "data"])
def test_a_source_has_to_be_readable_by_who_runs_it_alone(project, private):
    project.write("models.py", GOOD)
    (project.folder / private).chmod(0o700 if private == "data" else 0o600)
    assert project.run().code == 0


def test_an_exception_shows_the_users_own_frames(project):
    project.write("helpers.py", "def deep(x):\n    return 1 / x\n")
    text = failing(project, "    import helpers\n    return helpers.deep(0)\n")
    assert "ZeroDivisionError" in text
    assert "helpers.py:2" in text or ("helpers.py" in text and "line 2" in text)
    assert "zerrow/worker" not in text


def test_the_lines_of_an_exception_do_not_look_like_the_commands_own(project):
    project.write(
        "models.py",
        """
        import zerrow

        @zerrow.model()
        def broken(numbers=zerrow.Model("numbers")):
            raise ValueError("no\\nerror: model 'other' failed\\n\\nerror: too")
        """,
    )
    result = project.run()
    assert result.code == 1
    assert "\nerror: model 'other' failed" in result.report["error"]["message"]
    lines = result.err.splitlines()
    assert sum(line.startswith("error:") for line in lines) == 1, result.err
    assert "  error: model 'other' failed" in result.err
    # The traceback keeps its form.
    assert "  Traceback (most recent call last):\n    File " in result.err, result.err


def test_a_result_that_is_no_table_names_its_type(project):
    text = failing(project, "    return 42\n")
    assert "int" in text


def test_two_result_columns_of_one_name(project):
    text = failing(project, "    import pyarrow as pa\n    return pa.table([[1], [2]], names=['x', 'x'])\n")
    assert "'x'" in text


def test_sys_exit_is_a_failure(project):
    assert "exit" in failing(project, "    import sys\n    sys.exit(0)\n").lower()


def test_a_segfault_is_a_failure_that_says_so(project):
    text = failing(project, "    import ctypes\n    ctypes.string_at(0)\n")
    assert "segmentation fault" in text


def test_os_exit_is_a_failure(project):
    assert "status 7" in failing(project, "    import os\n    os._exit(7)\n")


def test_a_missing_package_is_named(project):
    text = failing(project, "    import no_such_package_here\n")
    assert "no_such_package_here" in text


def test_a_worker_over_its_memory_limit_fails_alone(project):
    text = failing(
        project,
        "    import numpy\n    kept = [bytearray(1 << 20) for _ in range(2000)]\n    return {'n': [len(kept)]}\n",
        "--memory",
        "512MiB",
    )
    assert "memory" in text.lower()


def test_finished_tables_of_other_branches_are_reported(project):
    project.write(
        "models.py",
        GOOD
        + """
    @zerrow.model()
    def broken(good=zerrow.Model("good")):
        raise ValueError("no")

    @zerrow.model()
    def after(broken=zerrow.Model("broken")):
        return broken
    """,
    )
    result = project.run()
    assert result.code == 1
    assert result.model("good")["status"] == "success"
    assert result.model("good")["output"]["rows"] == 1000
    assert result.model("broken")["status"] == "failed"
    assert result.model("after")["status"] == "skipped"
    assert result.report["error"]["model"] == "broken"


def test_prints_go_to_stderr_with_the_models_name(project):
    project.write("models.py", GOOD.replace("return numbers", "print('hello there')\n        return numbers"))
    result = project.run()
    assert result.code == 0
    assert any("good" in line and "hello there" in line for line in result.err.splitlines())
    assert "hello there" not in result.out


def test_empty_tables_pass(project):
    project.write(
        "models.py",
        """
    import zerrow

    @zerrow.model()
    def none(numbers=zerrow.Model("numbers", filter="a < 0")):
        return numbers

    @zerrow.model()
    def after(none=zerrow.Model("none")):
        assert none.column_names == ["a", "b", "s"]
        return none.select([])
    """,
    )
    result = project.run()
    assert result.code == 0, result.err
    assert result.model("none")["output"]["rows"] == 0

"""Workers run the code that was handed over when the run was planned, as Python runs the files."""

from __future__ import annotations

import base64
import importlib.util
import os
import py_compile
import textwrap
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_engine import Engine, Outcome, open_table
from zerrow import identity
from zerrow.plan import plan_project
from zerrow.worker.handed_over import modules

MODEL = "import zerrow\n@zerrow.model()\ndef model(t=zerrow.Model('t')):\n    return {'x': [str(value)]}\n"


class Project:
    """A project of one source and what a test writes, planned and run without the engine."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.engine = folder, engine
        pq.write_table(pa.table({"a": [1]}), folder / "t.parquet")
        (folder / "zerrow_project.yml").write_text("project: {name: p}\nsources: {t: t.parquet}\n")

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    def plan(self) -> tuple[dict[str, Any], bytes]:
        """The plan's models by name, and the code."""
        plan = plan_project(self.folder, hands_over=True)
        return {model["name"]: model for model in plan["models"]}, base64.b64decode(plan["handed_over"])

    def settle(self) -> None:
        """Waits until the clock tells what was written from what is written next."""
        for path in self.folder.iterdir():
            assert identity.settles(identity.identity(str(path)), time.time_ns())

    def run(self, planned: tuple[dict[str, Any], bytes] | None = None, name: str = "model") -> Outcome:
        models, code = planned or self.plan()
        scan = self.engine.run(models["t"]["task"])
        assert scan.table is not None, scan.error
        return self.engine.run(models[name]["task"], [scan.table], code)

    def value(self, planned: tuple[dict[str, Any], bytes] | None = None) -> str:
        """What the model gives in its one row."""
        outcome = self.run(planned)
        assert outcome.table is not None, outcome.error
        return open_table(outcome.table)["x"][0].as_py()


@pytest.fixture
def project(tmp_path: Path, engine: Engine) -> Project:
    return Project(tmp_path, engine)


def test_a_compiled_file_in_pycache_is_not_what_runs(project: Project) -> None:
    for name in ("models.py", "help.py"):
        path = project.write(name, "value = 'of another text'\n" + MODEL)
        py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    imports = "from help import value\nimport importlib\nother = importlib.import_module('un' + 'seen')\n"
    project.write("models.py", imports + MODEL.replace("(value)", "((value, other.value))"))
    project.write("help.py", "value = 1\n")
    unseen = project.write("unseen.py", "value = 3\n")
    py_compile.compile(str(unseen), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    project.write("unseen.py", "value = 2\n")
    assert project.value() == "(1, 2)"
    # And none is written.
    cached = {path.name.partition(".")[0] for path in (project.folder / "__pycache__").iterdir()}
    assert cached == {"models", "help", "unseen"}


def test_files_that_are_saved_or_removed_after_planning_change_nothing(project: Project) -> None:
    project.write("models.py", "from help import value\n" + MODEL)
    project.write("help.py", "value = 1\n")
    planned = project.plan()
    project.write("help.py", "value = 2\n")
    assert project.value(planned) == "1"
    os.remove(project.folder / "help.py")
    os.remove(project.folder / "models.py")
    assert project.value(planned) == "1"


def test_code_compiled_by_another_python_is_compiled_again(project: Project) -> None:
    project.write("models.py", "value = 1\n@zerrow.model()\ndef other(t=zerrow.Model('t')):\n    return t\n" + MODEL)
    project.write("models.py", "import zerrow\n" + (project.folder / "models.py").read_text())
    models, code = project.plan()
    models["model"]["task"]["compiled_for"] = "cpython-310 0"
    # The pieces are for nobody here.
    models["model"]["task"]["modules"][0]["pieces"] = [[0, 4]]
    assert project.value((models, code)) == "1"


def test_models_that_nothing_could_look_for_are_left_out(project: Project) -> None:
    other = "@zerrow.model()\ndef other(t=zerrow.Model('t')):\n    return t\n"
    project.write("models.py", "import zerrow\nvalue = 1\n" + other + MODEL)
    planned = project.plan()
    pieces = planned[0]["model"]["task"]["modules"][0]["pieces"]
    everything = "".join(repr(planned[1][start:end]) for start, end in pieces)
    assert "model" in everything and "other" not in everything and project.value(planned) == "1"
    for looks in ("'other' in globals()", "callable(vars().get('o' + 'ther', globals().get('o' + 'ther')))"):
        project.write("models.py", "import zerrow\nvalue = 1\n" + other + MODEL.replace("value", looks))
        assert project.value() == "True"


OTHER = '@zerrow.model()\ndef other(\n    t=zerrow.Model("t"),\n):\n    return """\n  x"""\n'
FILES = {
    "a text": "'doc'\nimport zerrow\n" + OTHER,
    "a text behind a function": OTHER + "'no doc'\n'none either'\nimport zerrow\n",
    "a future": "from __future__ import annotations\nimport zerrow\n" + OTHER + "def f(x: nothing): pass\n",
    "a cookie": "# -*- coding: latin-1 -*-\nname = 'é'\nimport zerrow\n" + OTHER,
    "a form feed": "\x0cname = 1\n\x0c\nimport zerrow\n" + OTHER,
    "a line that goes on": "import zerrow\nname = 1 + \\\n    2\n" + OTHER + "name += 1 ; name += 2\n",
    "functions of one name": "import zerrow\n" + OTHER + "def other(): return 3\n" + OTHER.replace("other", "last"),
    "the last lines": "import zerrow\n" + MODEL.replace("model(t", "also(t") + OTHER + OTHER.replace("other", "last"),
}


@pytest.mark.parametrize("name", FILES)
def test_another_python_runs_what_the_pieces_do(project: Project, name: str) -> None:
    """Without the lines of functions that are left out: the same names and values, and the same line numbers."""
    text = FILES[name] + MODEL + "value = 1\n"
    for end in ("\n", "\r\n"):
        written = text.replace("\n", end)
        project.write("models.py", written.encode("latin-1" if "latin" in text else "utf-8"))
        plan, content = project.plan()
        found = []
        for compiled_for in (plan["model"]["task"]["compiled_for"], "cpython-310 0"):
            task = {**plan["model"]["task"], "compiled_for": compiled_for}
            namespace: dict[str, Any] = {"__name__": "models"}
            for code in modules(task, memoryview(content))[0].codes():
                exec(code, namespace)
            values = {key: repr(value) for key, value in namespace.items() if isinstance(value, str | int)}
            lines = {key: each.__code__.co_firstlineno for key, each in namespace.items() if hasattr(each, "__code__")}
            found.append((namespace.get("__doc__"), values, lines))
        assert found[0] == found[1] and "model" in found[0][2] and "last" not in found[0][2]
        assert found[0][0] == ("doc" if name == "a text" else None)


TEXTS = {
    "a cookie": "# -*- coding: latin-1 -*-\nvalue = 'é'\n".encode("latin-1"),
    "a byte order mark": b"\xef\xbb\xbfvalue = '\xc3\xa9'\n",
    "ends of lines": b"value = '''\xc3\xa9'''\r\nif True:\r\n\tpass\r\n",
    "a form feed": b"\x0cvalue = '\xc3\xa9'\n\x0c\n",
    "a future": b"'''doc'''\nfrom __future__ import annotations\ndef f(x: nothing): pass\nvalue = '\xc3\xa9'\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_read_as_python_reads_them(project: Project, name: str) -> None:
    end = b"\r\n" if b"\r\n" in TEXTS[name] else b"\n"
    project.write("models.py", TEXTS[name] + MODEL.encode().replace(b"\n", end))
    project.write("help.py", TEXTS[name])
    assert project.value() == "é"
    text = (project.folder / "models.py").read_bytes()
    project.write("models.py", text.replace(b"import zerrow", b"import zerrow; from help import value"))
    assert project.value() == "é"


def test_a_file_that_no_python_reads_fails_as_in_python(project: Project) -> None:
    project.write("models.py", "from pack import bad as value\n" + MODEL)
    path = project.write("pack/bad.py", b"value = '\xe9'\n")
    with pytest.raises(SyntaxError) as failure:
        importlib.util.spec_from_file_location("bad", path).loader.get_code("bad")
    error = project.run().error
    assert error is not None and str(failure.value.msg) in error["message"] and error["file"] == "pack/bad.py"
    project.write("pack/bad.py", "value = 1\nif value\n    pass\n")
    error = project.run().error
    assert error is not None and error["file"] == "pack/bad.py" and error["line"] == 2


def test_tracebacks_and_sources_are_those_of_what_runs(project: Project) -> None:
    failing = "# first\n\n\ndef f():\n    return {}['lost']  # here\n\n\n"
    project.write("models.py", failing + MODEL.replace("value", "f()"))
    planned = project.plan()
    project.write("models.py", "nothing is left\n" * 20)
    error = project.run(planned).error
    assert error is not None and (error["file"], error["line"]) == ("models.py", 5)
    assert "return {}['lost']  # here" in error["traceback"] and "nothing is left" not in error["traceback"]
    looking = MODEL.replace("(value)", "(inspect.getsource(help.f))")
    project.write("models.py", "import inspect\nimport help\n" + looking)
    project.write("help.py", "\n\ndef f():\n    return '\x0c'\n")
    planned = project.plan()
    project.write("help.py", "")
    assert project.value(planned) == "def f():\n    return '\x0c'\n"


IMPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "a package": ("from pack import one\nvalue = one.x", {"pack/__init__.py": "", "pack/one.py": "x = 1"}),
    "a folder": ("import pack.one\nvalue = pack.one.x", {"pack/one.py": "x = 1"}),
    "relative ones": (
        "from pack.one import x as value",
        {"pack/__init__.py": "", "pack/one.py": "from . import two\nfrom .two import x", "pack/two.py": "x = 1"},
    ),
    "a star": ("from help import *\nvalue = x", {"help.py": "x = 1\n_y = 2"}),
    "circles": ("from one import value", {"one.py": "import two\nvalue = two.x", "two.py": "import one\nx = 1"}),
    "itself": ("import models\nvalue = 1 if models.__name__ == 'models' else 2", {}),
    "a try": ("try:\n    import no_such\nexcept ImportError:\n    from help import x as value", {"help.py": "x = 1"}),
    "a function": ("def f():\n    from help import x\n    return x\nvalue = f()", {"help.py": "x = 1"}),
    "a literal": ("import importlib\nvalue = importlib.import_module('help').x", {"help.py": "x = 1"}),
    "a name made": ("import importlib\nvalue = importlib.import_module('he' + 'lp').x", {"help.py": "x = 1"}),
    "a pickle": (
        "import pickle\nfrom help import C\nvalue = pickle.loads(pickle.dumps(C(1))).x",
        {"help.py": "import dataclasses\n@dataclasses.dataclass\nclass C:\n    x: int"},
    ),
    "own classes": (
        "import pickle, dataclasses\n@dataclasses.dataclass\nclass C:\n    x: 'int'\n"
        "value = pickle.loads(pickle.dumps(C(1))).x",
        {},
    ),
    "a path": ("import os\nvalue = 1 if os.path.exists(__file__) and __spec__.origin == __file__ else 2", {}),
    "like the standard library's": ("from random import x as value", {"random.py": "x = 1"}),
    "like one that is loaded": ("import types\nvalue = types.x", {"types.py": "x = 1"}),
    "like an installed one": ("import pandas, yaml\nvalue = yaml.x", {"yaml.py": "x = 1", "pytz.py": "1 / 0"}),
    "a package like another": (
        "import email.one as e\nfrom email import one\nvalue = e.x if e is one else 2",
        {"email/__init__.py": "", "email/one.py": "from .two import x", "email/two.py": "x = 1"},
    ),
    "a pickle of the like": (
        "import pickle\nfrom types import C\nvalue = pickle.loads(pickle.dumps(C())).x",
        {"types.py": "class C:\n    x = 1"},
    ),
    "built in": ("import math, time\nvalue = 1 if time.sleep and math.pi else 2", {"time.py": "x = 1"}),
    "one of the standard library beside a folder of that name": (
        "import email.message\nvalue = 1 if email.message.Message else 2",
        {"email/one.py": "x = 1"},
    ),
    "one of the standard library in a module of that name": (
        "from statistics import x as value",
        {"statistics.py": "import statistics\nx = statistics.mode([1])"},
    ),
    "a package beside a file of that name": ("from models import x as value", {"models/__init__.py": "x = 1"}),
    "zerrow": ("import zerrow\nvalue = 1 if zerrow.Model else 2", {"zerrow.py": "1 / 0"}),
    "a folder given first": (
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\n"
        "import help\nvalue = help.x",
        {"lib/help.py": "x = 1", "help.py": "x = 2"},
    ),
    "data": ("import pkgutil\nvalue = int(pkgutil.get_data('pack', 'n'))", {"pack/__init__.py": "", "pack/n": "1"}),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_imports_find_what_a_script_of_the_folder_finds(project: Project, name: str) -> None:
    head, files = IMPORTS[name]
    for file, text in files.items():
        project.write(file, text)
    project.write("models.py", head + "\n" + MODEL)
    assert project.value() == "1"


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_that_a_model_starts_find_its_functions(project: Project, way: str) -> None:
    head = "import multiprocessing\nfrom help import g\ndef f(x):\n    return g(x)\n"
    head += f"context = multiprocessing.get_context({way!r})\n"
    project.write("models.py", head + MODEL.replace("value", "context.Pool(1).map(f, [1])[0]"))
    project.write("help.py", "def g(x):\n    return x\n")
    assert project.value() == "1"


def test_a_module_of_the_project_takes_no_librarys_place(project: Project) -> None:
    for name in ("calendar", "decimal", "csv", "fractions", "pytz", "difflib", "numbers"):
        project.write(f"{name}.py", "raise RuntimeError('a library has imported a module of the project')\n")
    body = "import calendar_user\nimport pandas as pd\n"
    body += "value = len(pd.Series(pd.date_range('2024', periods=3)).dt.month_name())"
    project.write("calendar_user.py", "import statistics\n")
    project.write("models.py", body + "\n" + MODEL)
    assert project.value() == "3"


def test_an_order_of_definitions_is_part_of_the_code(project: Project) -> None:
    keys = []
    for order in (("1", "2"), ("2", "1"), ("2", "1", "1")):
        project.write("models.py", "".join(f"value = {each}\n" for each in order) + MODEL)
        keys.append(project.plan()[0]["model"]["key"])
        assert project.value() == order[-1]
    assert len(set(keys)) == 3 and None not in keys


def test_a_definition_that_does_something_is_never_left_out(project: Project) -> None:
    text = """
        import zerrow
        names = []
        def noted(function):
            names.append(function.__name__)
            return function

        @noted
        @zerrow.model()
        def first(t=zerrow.Model("t")):
            return t

        @zerrow.model()
        def second(t=zerrow.Model("t"), at=names.append("default")):
            return t

        """
    project.write("models.py", textwrap.dedent(text) + MODEL.replace("value", "names"))
    assert project.value() == "['first', 'default']"


def test_a_file_read_from_disk_that_was_changed_meanwhile_is_told(project: Project) -> None:
    project.write("models.py", "import importlib\nvalue = importlib.import_module('un' + 'seen').x\n" + MODEL)
    project.write("unseen.py", "x = 1\n")
    project.write("rates.csv", "1\n")
    project.settle()
    planned = project.plan()
    assert project.run(planned).table.changed == []
    project.write("unseen.py", "x = 2\n")
    assert project.run(planned).table.changed == ["unseen.py"]
    project.write("models.py", MODEL.replace("str(value)", "open('rates.csv').read()"))
    project.settle()
    planned = project.plan()
    assert project.run(planned).table.changed == []
    project.write("rates.csv", "2\n")
    assert project.run(planned).table.changed == ["rates.csv"]

"""Models run with the Python and the packages that they ask for, each in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from command import HOME, IS_ROOT, Caller, Project, Result, open_to_others, wait_for_line, wait_until
from wheels import source, wheel

NOWHERE = {"UV_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_OFFLINE": "1"}
"""An index that nobody can reach."""

MODEL = """
@zerrow.model()
@zerrow.python({python!r}, pip={pip!r})
def {name}(numbers=zerrow.Model("numbers")):
{body}
"""


def model(name: str, body: str, python: str | None = None, pip: dict[str, str] | None = None) -> str:
    """The text of a model that reads the source and returns what `body` does."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return MODEL.format(name=name, python=python, pip=pip or {}, body=lines)


def write(project: Project, *models: str) -> None:
    """Make these the models of a project."""
    (project.folder / "models.py").write_text("import zerrow\n" + "".join(models))


def values(project: Project, result: Result, name: str) -> list:
    """What a model of one column returned."""
    assert result.code == 0, result.err
    with pa.OSFile(str(project.folder.parent / "out" / f"{name}.arrows")) as file:
        return pa.ipc.open_stream(file).read_all().column(0).to_pylist()


def run(project: Project, *arguments: str, **options) -> Result:
    """A run whose final tables are written out."""
    return project.run("--format", "arrow", "--export", str(project.folder.parent / "out"), *arguments, **options)


def command(project: Project, *words: str, env: dict | None = None) -> subprocess.CompletedProcess:
    """Another command than run."""
    return subprocess.run(
        [*project.caller.words, *words], capture_output=True, text=True, timeout=300, env=project.environment(env)
    )


def planned(project: Project, env: dict | None = None) -> dict:
    """A project's plan."""
    done = command(project, "plan", "-p", str(project.folder), "-O", "json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def packages_of(project: Project, name: str = "only") -> list[str]:
    """The packages that a model's environment is planned with."""
    plan = planned(project)
    wanted = next(each["environment"] for each in plan["models"] if each["name"] == name)
    return next(each["packages"] for each in plan["environments"] if each["id"] == wanted)


@pytest.fixture
def fresh(project: Project, tmp_path: Path) -> Path:
    """A folder of environments in which there are none."""
    folder = tmp_path / "environments"
    project.caller = Caller(project.caller.words, {"ZERROW_ENVIRONMENTS": str(folder)})
    return folder


@pytest.fixture
def local(project: Project, tmp_path: Path) -> Path:
    """A folder of packages beside those of the index."""
    folder = tmp_path / "packages"
    folder.mkdir()
    environment = {**project.caller.environment, "UV_FIND_LINKS": str(folder)}
    project.caller = Caller(project.caller.words, environment)
    return folder


SIX = "import pyarrow, six, sys\nreturn pyarrow.table({'v': [six.__version__, '%d.%d' % sys.version_info[:2]]})"


def whole(folder: Path) -> list[Path]:
    """The environments that are there."""
    return [each for each in folder.iterdir() if each.is_dir() and "." not in each.name]


def test_two_pandas_in_one_run_each_behave_as_themselves(project: Project):
    body = """
import numpy, pandas, pyarrow
dtype = str(pandas.Series(["a"]).dtype)
total = int(numbers.to_pandas()["a"].groupby(numbers["b"].to_pandas() % 3).sum().sum())
return pyarrow.table({"v": [pandas.__version__, numpy.__version__, dtype, str(total)]})
"""
    write(
        project,
        model("old", body, (pythons("3.12") or ["3.11"])[0], {"pandas": "2.1"}),
        model("new", body, (pythons("3.13") or ["3.11"])[0], {"pandas": "3.0"}),
        model("own", body),
    )
    result = run(project)
    old, new, own = (values(project, result, name) for name in ("old", "new", "own"))
    total = str(sum(range(1000)))
    # pandas 2.1 is of NumPy 1, with which the newest pyarrow can't be loaded; pandas 3 has a type for texts.
    assert (old[0][:4], old[1][:2], old[2:]) == ("2.1.", "1.", ["object", total])
    assert (new[0].rsplit(".", 1)[0], new[2:]) == ("3.0", ["str", total])
    assert own[2:] == ["str", total]


def test_each_model_has_the_python_that_it_asks_for(project: Project):
    versions = pythons("3.10", "3.11", "3.12", "3.13", "3.14")
    assert versions
    pins = {"six": "1.16.0"}
    write(project, *(model(f"m{each.replace('.', '')}", SIX, each, pins) for each in versions))
    result = run(project)
    assert [values(project, result, f"m{each.replace('.', '')}") for each in versions] == [
        ["1.16.0", each] for each in versions
    ]


def test_parts_of_versions_underscores_extras_and_bounds(project: Project):
    pip = {"six": "1.15", "typing_extensions": "4", "requests[socks]": ">=2.30,<3", "tomli": "==2.0.1", "attrs": ""}
    body = """
import importlib.metadata, pyarrow, socks
names = ["six", "typing_extensions", "requests", "tomli", "attrs"]
return pyarrow.table({"v": [importlib.metadata.version(each) for each in names]})
"""
    write(project, model("only", body, pip=pip))
    six, extensions, requests, tomli, attrs = values(project, run(project), "only")
    assert six.startswith("1.15.")
    assert extensions.startswith("4.")
    assert requests.startswith("2.")
    assert tomli == "2.0.1"
    assert attrs


def test_the_project_and_its_requirements_are_for_all_models_and_the_nearest_counts(project: Project):
    write(project, model("only", SIX), model("other", SIX, pip={"six": "1.15.0"}))
    (project.folder / "requirements.txt").write_text(
        "# what all need\nsix==1.14.0 ; python_version >= '3'\n-r more.txt\n--extra-index-url https://example.invalid\n"
        "bauplan==0.1\n"
    )
    (project.folder / "more.txt").write_text("attrs \\\n  >= 22\ntomli==2.0.1\n")
    assert [each for each in packages_of(project) if each[0] in "st"] == ["six 1.14.0", "tomli 2.0.1"]
    file = project.folder / "zerrow_project.yml"
    version = pythons("3.12", "3.11")[0]
    file.write_text(file.read_text() + "packages: {six: 1.16, tomli: 2.0.0}\n" + f"python: '{version}'\n")
    assert [each for each in packages_of(project) if each[0] in "st"] == ["six 1.16.0", "tomli 2.0.0"]
    assert "six 1.15.0" in packages_of(project, "other")
    plan = planned(project)
    assert {each["version"].rsplit(".", 1)[0] for each in plan["environments"][1:]} == {version}
    assert [(each["code"], each["file"], each["line"]) for each in plan["warnings"]] == [
        ("requirement-option", "requirements.txt", 4)
    ]


def test_bauplans_defaults_are_for_all_models(project: Project):
    write(project, model("only", SIX))
    (project.folder / "bauplan_project.yml").write_text(
        "project: {id: x}\ndefaults:\n  python:\n    version: 3.12\n    packages:\n      - {name: six, version: 1.15}\n"
    )
    assert "six 1.15.0" in packages_of(project)


def test_what_cannot_be_is_said_of_every_model_before_anything_runs(project: Project):
    write(
        project,
        model("missing", SIX, pip={"zerrow-no-such-package": "1.0"}),
        model("conflict", SIX, pip={"pandas": "2.2.2", "numpy": "1.20"}),
        model("interpreter", SIX, "3.12.99"),
        model("option", SIX, pip={"--index-url=http://example.invalid": ""}),
        model("address", SIX, pip={"six @ https://example.invalid/six.whl": ""}),
        model("version", SIX, pip={"six": "1 -r /etc/passwd"}),
        model("too_old", SIX, "3.9"),
        model("fine", SIX),
    )
    result = project.run()
    assert result.code == 1
    assert "started" not in result.err
    told = {each["model"]: each["message"] for each in result.report["errors"]}
    assert sorted(told) == ["address", "conflict", "interpreter", "missing", "option", "too_old", "version"]
    for name, line in [("missing", 4), ("conflict", 10), ("interpreter", 16), ("option", 22)]:
        assert f"models.py:{line}:" in told[name]
    assert "zerrow-no-such-package was not found" in told["missing"]
    assert "pandas==2.2.2 depends on numpy" in told["conflict"]
    assert "there is no Python 3.12.99" in told["interpreter"]


@pytest.mark.parametrize(
    "line", ["-e .", "git+https://example.invalid/x", "./six.whl", "-r ../outside.txt", "-r /etc/passwd", "--weird"]
)
def test_a_requirements_file_names_packages_and_nothing_else(project: Project, line: str):
    write(project, model("only", SIX))
    (project.folder / "requirements.txt").write_text(f"six\n{line}\n")
    result = project.run()
    assert result.code == 1
    assert "requirements.txt:2:" in result.report["error"]["message"]
    assert "root:" not in result.err


def test_an_environment_that_is_there_needs_no_network(project: Project, fresh: Path):
    write(project, model("only", SIX, pip={"six": "1.16.0"}))
    never = planned(project, env=NOWHERE | {"UV_CACHE_DIR": str(fresh / "uv")})
    assert [each["code"] for each in never["warnings"]] == ["environment-unresolved"]
    failed = project.run(env=NOWHERE | {"UV_CACHE_DIR": str(fresh / "uv")})
    assert (failed.code, failed.report["models"]) == (1, [])
    assert "models.py:4:" in failed.report["error"]["message"]
    assert values(project, run(project), "only")[0] == "1.16.0"
    offline = {**NOWHERE, "ZERROW_UV": "/nonexistent"}
    assert values(project, run(project, env=offline), "only")[0] == "1.16.0"
    assert planned(project, env=offline)["warnings"] == []


def test_environments_are_listed_and_removed_unless_they_are_used(project: Project, fresh: Path, serve):
    write(project, model("only", "import time\nprint('here', flush=True)\ntime.sleep(600)\n", pip={"six": "1.16.0"}))
    running = project.start()
    wait_for_line(running, "here")
    listed = json.loads(command(project, "env", "ls", "-O", "json").stdout)["environments"]
    (entry,) = listed
    assert {each["name"]: each["version"] for each in entry["packages"]}["six"] == "1.16.0"
    assert entry["used"]
    assert entry["own_bytes"] > 0
    # Hard links: what pyarrow has is in uv's cache as well, where that is on the same disk.
    assert entry["id"] == whole(fresh)[0].name
    assert command(project, "env", "prune").stdout == ""
    assert list(fresh.glob("*.request"))
    done = command(project, "env", "prune", "--all")
    assert (done.stdout, f"{entry['id']} is used" in done.stderr) == ("", True)
    # The next run chooses versions anew.
    assert list(fresh.glob("*.request")) == []
    assert whole(fresh)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert command(project, "env", "prune").stdout == ""  # used within the last 30 days
    assert command(project, "env", "prune", "--unused-for", "0").stdout.split() == [entry["id"]]
    assert whole(fresh) == []
    assert "no environments" in command(project, "env", "ls").stdout


def test_a_kill_while_one_is_made_leaves_nothing_that_looks_whole(project: Project, fresh: Path, tmp_path: Path):
    write(project, model("only", SIX, pip={"six": "1.16.0"}))
    hold = tmp_path / "hold"
    hold.mkdir()
    (hold / "environment").touch()
    running = project.start(env={"ZERROW_HOLD": str(hold)})
    wait_until(lambda: (hold / "environment.held").exists())
    running.kill()
    running.communicate(timeout=60)
    assert whole(fresh) == []
    left = [each for each in fresh.iterdir() if each.is_dir()]
    assert len(left) == 1
    assert values(project, run(project), "only")[0] == "1.16.0"
    assert len(whole(fresh)) == 1
    command(project, "env", "prune")
    assert not left[0].exists()


def test_a_cancelled_run_stops_what_it_makes(project: Project, fresh: Path, tmp_path: Path):
    write(project, model("only", SIX, pip={"six": "1.16.0"}))
    slow = tmp_path / "uv"
    slow.write_text(f'#!/bin/sh\n[ "$1 $2" = "pip install" ] && exec sleep 600\nexec {uv()} "$@"\n')
    slow.chmod(0o755)
    running = project.start(env={"ZERROW_UV": str(slow)})
    wait_for_line(running, "making the environment")
    wait_until(lambda: any(each.is_dir() for each in fresh.iterdir()))
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    wait_until(lambda: "sleep 600" not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout)
    assert whole(fresh) == []


def test_two_runs_that_need_the_same_new_one_make_it_once(project: Project, fresh: Path):
    write(project, model("only", SIX, pip={"six": "1.16.0"}))
    both = [project.start("-O", "json") for _ in range(2)]
    for each in both:
        _, err = each.communicate(timeout=300)
        assert each.returncode == 0, err
    assert len(whole(fresh)) == 1
    assert not [each for each in fresh.iterdir() if "partial" in each.name]


def test_another_environment_is_another_result(project: Project, tmp_path: Path):
    cache = ["--cache-dir", str(tmp_path / "results")]

    def status(version: str) -> str:
        write(project, model("only", SIX, pip={"six": version}))
        result = run(project, *cache)
        assert values(project, result, "only")[0] == version
        return result.model("only")["status"]

    assert [status(each) for each in ("1.16.0", "1.16.0", "1.15.0", "1.16.0")] == [
        "success", "cached", "success", "cached",
    ]  # fmt: skip


def test_a_model_sees_its_own_environment_alone_and_cannot_change_it(project: Project):
    body = """
import os, pyarrow, six
found = []
place = os.path.dirname(six.__file__)
for path in (place + "/new.py", six.__file__):
    try:
        open(path, "a").close()
        found.append("written")
    except OSError:
        pass
folder = place
while os.path.basename(os.path.dirname(folder)) != "lib":
    folder = os.path.dirname(folder)
folder = os.path.dirname(os.path.dirname(folder))
found.append(str(os.listdir(os.path.dirname(folder)) == [os.path.basename(folder)]))
return pyarrow.table({"v": found})
"""
    write(project, model("only", body, pip={"six": "1.16.0"}), model("other", SIX, pip={"six": "1.15.0"}))
    assert values(project, run(project), "only") == ["True"]


def test_no_code_of_a_package_runs_outside_of_the_sandbox(project: Project, local: Path, tmp_path: Path):
    mark = tmp_path / "mark"
    code = f"import os; open({str(mark)!r}, 'a').write('here')\n"
    wheel(local, "zerrow_test_hostile", "1.0", {"zerrow_test_hostile.py": "VERSION = '1.0'\n", "hostile.pth": code})
    body = "import pyarrow, zerrow_test_hostile\nreturn pyarrow.table({'v': [zerrow_test_hostile.VERSION]})"
    write(project, model("only", body, pip={"zerrow-test-hostile": "1.0"}))
    assert values(project, run(project), "only") == ["1.0"]
    assert not mark.exists()


@pytest.fixture
def index(project: Project, tmp_path: Path):
    """A folder of packages that are served as a second index is, on the loopback."""
    folder = tmp_path / "index"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(folder), **options)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**project.caller.environment, "UV_EXTRA_INDEX_URL": f"http://127.0.0.1:{server.server_port}"}
    project.caller = Caller(project.caller.words, environment)
    yield folder
    server.shutdown()
    server.server_close()


SETUP = """
import os
from setuptools import setup
found = []
for path in {paths!r}:
    try:
        found.append(os.listdir(path) if os.path.isdir(path) else open(path).read())
    except OSError:
        pass
try:
    open({mark!r}, "w").close()
    found.append("written")
except OSError:
    pass
found.append(str(os.getuid() == {uid}) if {uid} == 0 else "False")
open("zerrow_test_built.py", "w").write("FOUND = " + repr(found))
setup(name="zerrow_test_built", version="1.0", py_modules=["zerrow_test_built"])
"""


def test_a_package_without_a_wheel_is_built_in_a_sandbox(project: Project, fresh: Path, index: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    mark = tmp_path / "mark"
    paths = [str(tmp_path), str(tmp_path / "secret"), str(Path.home() / ".cache"), str(fresh), str(project.folder)]
    code = SETUP.format(paths=paths, mark=str(mark), uid=os.geteuid())
    source(index / "zerrow-test-built", "zerrow_test_built", "1.0", code)
    body = "import pyarrow, zerrow_test_built\nreturn pyarrow.table({'v': zerrow_test_built.FOUND})"
    write(project, model("only", body, pip={"zerrow_test_built": "1.0"}))
    result = run(project)
    assert values(project, result, "only") == ["False"]
    assert "building zerrow-test-built==1.0, which has no wheel, in a sandbox" in result.err
    assert not mark.exists()
    # Once built, it is there for other environments as well.
    write(project, model("only", body, pip={"zerrow_test_built": "1.0", "six": "1.16.0"}))
    assert "building" in run(project).err
    assert len(list(fresh.glob("wheels-*"))) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('this can not be built')", "this can not be built"),
        ("from setuptools import setup\nsetup(name='pandas', version='99')", "zerrow-test-built==1.0 has no wheel"),
    ],
)
def test_a_build_that_fails_or_makes_something_else_is_said_before_anything_runs(
    project: Project, fresh: Path, index: Path, code: str, reason: str
):
    source(index / "zerrow-test-built", "zerrow_test_built", "1.0", code)
    write(project, model("only", SIX, pip={"zerrow_test_built": "1.0"}), model("other", SIX))
    result = project.run()
    assert (result.code, result.report["models"]) == (1, [])
    message = result.report["error"]["message"]
    assert "models.py:4:" in message
    assert reason in message
    assert list(fresh.glob("wheels-*")) == []
    alone = project.run("--no-sandbox")
    assert alone.code == 1
    assert "in a sandbox only" in alone.report["error"]["message"]


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user's workers are the same user")
def test_a_umask_that_hides_all_from_others_hides_nothing_from_workers(project: Project, fresh: Path, tmp_path: Path):
    write(project, model("only", "import six\nreturn {'v': [six.__version__]}", "3.11", {"six": "1.16.0"}))
    done = subprocess.run(
        [
            *project.caller.words,
            *("run", "-p", str(project.folder), "--format", "arrow", "--export", str(tmp_path / "out")),
        ],
        env=project.environment({"UV_CACHE_DIR": str(tmp_path / "cache")}),
        capture_output=True, text=True, timeout=300, umask=0o077, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pa.OSFile(str(tmp_path / "out" / "only.arrows")) as file:
        assert pa.ipc.open_stream(file).read_all().to_pydict() == {"v": ["1.16.0"]}


def test_the_engine_that_serves_makes_them_and_tells_its_client(project: Project, fresh: Path, serve):
    server = serve(project.caller)
    write(project, model("only", SIX, pip={"six": "1.16.0"}))
    result = run(project, env={"ZERROW_SOCKET": str(server.socket)})
    assert values(project, result, "only")[0] == "1.16.0"
    assert "making the environment of Python" in result.err
    assert "six 1.16.0" in result.err
    again = run(project, env={"ZERROW_SOCKET": str(server.socket)})
    assert "making" not in again.err


def test_an_ordinary_user_has_environments_of_their_own(tmp_path: Path, ordinary: Caller):
    from command import make_project

    project = make_project(tmp_path)
    folder = tmp_path / "environments"
    program = tmp_path / "uv"
    shutil.copy(uv(), program)
    program.chmod(0o755)
    open_to_others(tmp_path)
    (tmp_path / "out").mkdir()
    for each in (tmp_path / "out", folder):
        each.mkdir(mode=0o700, exist_ok=True)
        os.chown(each, ordinary.uid, -1)
    environment = {**ordinary.environment, "ZERROW_ENVIRONMENTS": str(folder), "ZERROW_UV": str(program)}
    project.caller = Caller(ordinary.words, environment, ordinary.uid)
    write(project, model("only", SIX, pip={"six": "1.16.0"}))
    assert values(project, run(project), "only")[0] == "1.16.0"
    if IS_ROOT:
        shared = tmp_path / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        project.caller.environment["ZERROW_ENVIRONMENTS"] = str(shared)
        refused = run(project)
        assert refused.code == 1
        assert "could put anything there" in refused.report["error"]["message"]


def test_info_tells_of_the_uv_that_makes_environments(project: Project, fresh: Path, tmp_path: Path):
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\necho uv 98.76.5\n")
    program.chmod(0o755)
    info = json.loads(command(project, "info", "-O", "json", env={"ZERROW_UV": str(program)}).stdout)
    assert info["uv"] == "98.76.5"
    assert info["environments"] == str(fresh)
    own = json.loads(command(project, "info", "-O", "json").stdout)
    asked = subprocess.run([uv(), "--version"], capture_output=True, text=True, check=True)
    assert own["uv"] == asked.stdout.split()[1]


def pythons(*versions: str) -> list[str]:
    """Those of the versions of Python that are installed here, as uv finds them."""
    find = [uv(), "python", "find", "--system", "--no-project", "--no-python-downloads"]
    return [each for each in versions if not subprocess.run([*find, f"cpython@{each}"], capture_output=True).returncode]


def uv() -> str:
    """The uv that the launcher uses."""
    return shutil.which("uv") or str(HOME / ".zerrow" / "uv" / "bin" / "uv")

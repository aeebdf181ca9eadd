"""Keys: they stay while nothing changes that a result depends on, and change or go when something does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop_project import PROJECT_FILE, SALES
from zerrow import identity
from zerrow.plan import plan_project, planner, surroundings

HEAD = "import zerrow\n\n\n"
A = "@zerrow.model()\ndef a(s=zerrow.Model('sales', columns=['id', 'note'])):\n    return s\n"
B = "@zerrow.model()\ndef b(t=zerrow.Model('a')):\n    return t\n"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made as if a minute after all that a test writes."""
    monkeypatch.setattr(planner, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 60 * 10**9))


def keys(shop: Any, field: str = "key", **given: str) -> dict[str, Any]:
    return {model["name"]: model[field] for model in shop.plan(**given)["models"]}


def changed(shop: Any, change: Callable[[], object], field: str = "key") -> set[str]:
    """The models whose keys a change changes."""
    before = keys(shop, field)
    assert None not in before.values()
    change()
    after = keys(shop, field)
    return {name for name in before if after[name] != before[name]}


@pytest.fixture
def project(shop: Any, later: None) -> Any:
    sql = "select count(*) as n from shops where city <> 'x'"
    return shop.write({"m.py": HEAD + A + "\n\n" + B, "c.sql": sql, "d.sql": "select n from c"})


def test_a_scans_key_changes_with_what_the_project_file_says_of_its_folders(shop: Any, later: None) -> None:
    (shop.folder / "sales" / "y=01").mkdir(parents=True)
    (shop.folder / "sales.parquet").rename(shop.folder / "sales/y=01/a.parquet")
    shop.write({"zerrow_project.yml": "sources:\n  sales: {path: sales}\n", "q.sql": "select y, id from sales"})
    typed = "sources:\n  sales: {path: sales, hive: {y: string}}\n"
    assert changed(shop, lambda: shop.write({"zerrow_project.yml": typed})) == {"sales", "q"}


def test_every_result_has_a_key_and_the_same_one_again(project: Any) -> None:
    found = keys(project)
    assert set(found) == {"sales", "a", "b", "shops", "c", "d"} and None not in found.values()
    assert len(set(found.values())) == len(found)
    assert keys(project) == found


def test_a_scans_entry_tells_its_files_and_their_bytes(project: Any) -> None:
    scan = project.model("sales")
    path = project.folder / "sales.parquet"
    status = os.stat(path)
    assert scan["task"]["identities"] == [
        {
            "path": str(path), "device": status.st_dev, "inode": status.st_ino, "bytes": status.st_size,
            "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns,
        }
    ]  # fmt: skip
    assert scan["expected_bytes"] > 3 * 8 and scan["cache"] is True
    assert project.model("a")["expected_bytes"] is None


def test_one_models_code_is_its_own_and_its_readers_business(project: Any) -> None:
    other = B.replace("return t", "return t.slice(1)")
    assert changed(project, lambda: project.write({"m.py": HEAD + A + "\n\n" + other})) == {"b"}
    assert changed(project, lambda: project.write({"m.py": HEAD + A.replace("return s", "return s.slice(1)") + B})) == {
        "a", "b",
    }  # fmt: skip


def test_lines_and_models_that_come_between_change_nothing(project: Any) -> None:
    third = "@zerrow.model()\ndef e(t=zerrow.Model('b')):\n    return t\n"
    text = "# notes\n" + HEAD + B + "\n\n\n# more\n" + third + A
    assert changed(project, lambda: project.write({"m.py": text})) == set()


def test_another_reader_of_a_source_changes_no_other_models_key(project: Any) -> None:
    def add() -> None:
        project.write({"n.py": HEAD + "@zerrow.model()\ndef z(s=zerrow.Model('sales')):\n    return s\n"})

    assert changed(project, add) == {"sales"}


@pytest.mark.parametrize("line", ["import help", "from help import f", "if True:\n    from help import f as g"])
def test_modules_of_the_project_are_code_of_those_that_import_them(project: Any, line: str) -> None:
    project.write({"m.py": line + "\n" + HEAD + A, "help.py": "import deep.er\nf = 1\n", "deep/er.py": "x = 1\n"})
    assert changed(project, lambda: project.write({"deep/er.py": "x = 2\n"})) == {"a"}
    assert changed(project, lambda: project.write({"help.py": "import deep.er\nf = 2\n"})) == {"a"}
    assert changed(project, lambda: project.write({"stranger.py": "x = 2\n"})) == set()


def test_an_import_within_a_function_and_relative_ones_count(project: Any) -> None:
    body = A.replace("return s", "from pack.one import x\n    return s")
    files = {"m.py": HEAD + body + B, "pack/__init__.py": "", "pack/one.py": "from . import two\nfrom .two import x\n"}
    project.write({**files, "pack/two.py": "x = 1"})
    assert changed(project, lambda: project.write({"pack/two.py": "x = 2"})) == {"a", "b"}
    assert changed(project, lambda: project.write({"pack/__init__.py": "y = 2"})) == {"a", "b"}


def test_a_model_that_calls_another_models_function_depends_on_its_code(project: Any) -> None:
    calling = B.replace("return t", "return a(t)")
    project.write({"m.py": HEAD + A + "\n\n" + calling, "c.sql": "select 1 as n from sales"})
    assert "b" in changed(
        project, lambda: project.write({"m.py": HEAD + A.replace("return s", "return s.slice(0)") + calling})
    )


def test_globals_and_helpers_in_the_models_file_are_code_of_all_its_models(project: Any) -> None:
    assert changed(project, lambda: project.write({"m.py": HEAD + "RATE = 2\n\n\n" + A + B})) == {"a", "b"}


def test_data_files_of_the_project_are_in_the_keys_of_python_models(project: Any) -> None:
    assert changed(project, lambda: project.write({"rates.csv": "1,2\n"})) == {"a", "b"}
    assert changed(project, lambda: project.write({"rates.csv": "1,3\n"})) == {"a", "b"}
    assert changed(project, lambda: project.write({".cache/rates.csv": "1,3\n", "__pycache__/m.pyc": ""})) == set()
    assert changed(project, lambda: project.write({".conf/rates.csv": "1,3\n"})) == {"a", "b"}
    assert changed(project, lambda: (project.folder / "flag").mkdir()) == {"a", "b"}


def test_code_is_another_file_only_to_those_that_read_files(project: Any) -> None:
    assert (
        changed(project, lambda: project.write({"other.py": "x = 1", "zerrow_project.yml": PROJECT_FILE + "\n"}))
        == set()
    )
    reading = A.replace("return s", "open('other.py')\n    return s")
    project.write({"m.py": HEAD + reading + B})
    assert changed(project, lambda: project.write({"other.py": "x = 22"})) == {"a", "b"}


def test_folders_that_a_run_writes_to_are_left_out(project: Any) -> None:
    def found() -> dict[str, str]:
        plan = plan_project(project.folder, written_folders=[project.folder / "out"])
        return {model["name"]: model["key"] for model in plan["models"]}

    before = found()
    project.write({"out/a.arrow": "x"})
    assert found() == before


def test_too_many_files_to_look_at_make_no_key(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "FILES_MAX", 3)
    found = keys(project)
    assert found["a"] is None and found["b"] is None and found["d"] is not None and found["sales"] is not None


def test_a_source_that_changes_changes_all_that_is_made_of_it(project: Any) -> None:
    path = project.folder / "sales.parquet"
    assert changed(project, lambda: pq.write_table(SALES.slice(1), path)) == {"sales", "a", "b"}
    times = os.stat(path)

    def overwrite() -> None:
        content = path.read_bytes()
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert changed(project, overwrite) == {"sales", "a", "b"}
    assert changed(project, lambda: os.replace(_copy(path), path)) == {"sales", "a", "b"}


def _copy(path: Path) -> Path:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    return copy


def test_what_was_just_changed_has_the_key_that_it_has_later(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write({"m.py": HEAD + A, "rates.csv": "1,2\n"})
    first = keys(shop)
    assert None not in first.values()
    monkeypatch.setattr(planner, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 60 * 10**9))
    assert keys(shop) == first


def test_where_times_are_coarse_what_was_just_changed_is_not_kept(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerrow.identity.has_fine_times", lambda *_: False)
    shop.write({"m.py": HEAD + A + B})
    reason = "sales.parquet was changed less than two seconds before the run"
    assert keys(shop) == {"sales": None, "a": None, "b": None}
    assert keys(shop, "because") == {"sales": reason, "a": reason, "b": "its input a isn't kept"}
    assert [warning["code"] for warning in shop.plan()["warnings"]] == ["just-changed"]


def test_a_file_changed_again_within_a_tick_of_the_clock_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"1")
    now_ns = time.time_ns()
    known = identity.identity(str(path))
    assert not identity.is_settled(known, now_ns)
    assert identity.settles(known, now_ns) == identity.has_fine_times(known)
    # From now on a change of the same length has another time.
    path.write_bytes(b"2")
    assert identity.identity(str(path)) != known
    assert not identity.settles(known, now_ns)


def test_parameters_count_where_they_are_used(project: Any) -> None:
    head = PROJECT_FILE + "parameters: {low: {type: int, default: 1}, rate: {type: int, default: 1}}\n"
    low = "@zerrow.model()\ndef low(s=zerrow.Model('sales', filter='id > $low')):\n    return s\n"
    rate = "@zerrow.model()\ndef rate(s=zerrow.Model('a'), r=zerrow.Parameter('rate')):\n    return s\n"
    project.write({"zerrow_project.yml": head, "m.py": HEAD + A + low + rate, "e.sql": "select $rate as r from c"})
    plain = keys(project)
    assert {name for name, key in keys(project, low="2").items() if key != plain[name]} == {"sales#2", "low"}
    assert {name for name, key in keys(project, rate="2").items() if key != plain[name]} == {"rate", "e"}
    assert keys(project, "code") == keys(project, "code", low="2", rate="2")


def test_the_code_is_there_whatever_the_data_are(shop: Any) -> None:
    shop.write({"m.py": HEAD + A + B, "c.sql": "select 1 as n from b"})
    before = keys(shop, "code")
    pq.write_table(SALES.slice(1), shop.folder / "sales.parquet")
    assert keys(shop, "code") == before and None not in before.values()
    shop.write({"c.sql": "select 2 as n from b"})
    after = keys(shop, "code")
    assert {name for name in before if after[name] != before[name]} == {"c"}


@pytest.mark.parametrize(
    "line", ["cache_strategy='NONE'", "cache_strategy='none'", "internet_access=True", "cache_strategy='DEFAULT'"]
)
def test_a_model_that_is_not_kept_takes_its_readers_along(project: Any, line: str) -> None:
    project.write({"m.py": HEAD + A.replace("model()", f"model({line})") + B})
    found = keys(project)
    assert found["sales"] is not None
    assert (found["a"] is None, found["b"] is None) == (("DEFAULT" not in line,) * 2)
    assert project.model("a")["cache"] is ("none" not in line.lower())


def test_a_query_can_say_that_it_is_not_kept(project: Any) -> None:
    project.write({"c.sql": "-- zerrow: cache_strategy = NONE\nselect 1 as n from shops"})
    found = keys(project)
    assert found["c"] is None and found["d"] is None and project.model("c")["cache"] is False
    project.write({"c.sql": "-- zerrow: cache_strategy = SOME\nselect 1 as n from shops"})
    assert [error["code"] for error in project.errors()] == ["bad-directive"]


@pytest.mark.parametrize("words", ["now()", "current_date", "random()", "CURRENT_TIMESTAMP"])
def test_a_query_that_asks_for_the_time_or_for_chance_is_not_kept(project: Any, words: str) -> None:
    project.write({"c.sql": f"select {words} as n from shops"})
    found = keys(project)
    assert found["c"] is None and found["d"] is None


@pytest.mark.parametrize("line", ["datetime.date.today()", "dt.now (tz)", "os.environ['HOME']", "os.getenv('HOME')"])
def test_a_function_that_asks_for_the_day_or_its_surroundings_is_not_kept(project: Any, line: str) -> None:
    project.write({"m.py": HEAD + A + B.replace("return t", f"x = {line}\n    return t")})
    found = keys(project)
    assert found["b"] is None and found["a"] is not None


def test_an_environment_that_changes_changes_every_key(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = surroundings.environment()
    assert any(name.startswith("pyarrow-") for name in installed)

    def install() -> None:
        monkeypatch.setattr("zerrow.plan.keys.environment", lambda: [*installed, "new-1.0.dist-info"])

    assert changed(project, install) == {"sales", "a", "b", "shops", "c", "d"}
    monkeypatch.setattr("zerrow.plan.keys.environment", lambda: None)
    assert set(keys(project).values()) == {None}


@pytest.mark.parametrize(
    ("name", "text", "is_known"),
    [
        ("distutils-precedence.pth", "import os; x = 1\n", True),
        ("x-1.0.dist-info/RECORD", "", True),
        ("_mine.pth", "/home/me/mine\n", False),
        ("__editable___mine_finder.py", "", False),
        ("mine.egg-link", "/home/me\n", False),
    ],
)
def test_editable_packages_make_the_environment_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, is_known: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    monkeypatch.setattr(surroundings.site, "getsitepackages", lambda: [str(tmp_path)])
    monkeypatch.setattr(surroundings.site, "ENABLE_USER_SITE", False)
    assert (surroundings.environment() is not None) == is_known


def test_zerrows_own_code_is_in_every_key(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(project, lambda: monkeypatch.setattr("zerrow.plan.keys.own_code", lambda: "0")) == {
        "sales", "a", "b", "shops", "c", "d",
    }  # fmt: skip


def test_the_engines_build_is_in_every_key(project: Any) -> None:
    def found(build: str) -> dict[str, Any]:
        return {model["name"]: model["key"] for model in plan_project(project.folder, engine=build)["models"]}

    one, other = found("1"), found("2")
    assert found("1") == one and all(one[name] != other[name] for name in one) and set(one) == set(keys(project))


def test_texts_stored_as_dictionaries_can_stay_so_by_the_files_word(shop: Any) -> None:
    count = 10_000
    table = pa.table({
        "few": ["x", "y"] * (count // 2), "many": [f"name {number}" for number in range(count)],
        "number": range(count), "plain": ["x"] * count,
    })  # fmt: skip
    pq.write_table(table, shop.folder / "sales.parquet", use_dictionary=["few", "many", "number"], row_group_size=5000)
    sources = "sources:\n  sales: {path: sales.parquet, dictionary: %s}\n"
    shop.write({"e.sql": "select few, many, number, plain from sales"})
    for word, columns in (("true", ["few"]), ("false", []), ("[plain]", ["plain"])):
        shop.write({"zerrow_project.yml": sources % word})
        assert shop.model("sales")["task"]["dictionary"] == columns
    shop.write({"zerrow_project.yml": sources % "maybe"})
    assert "true, false or a list" in shop.errors()[0]["message"]


def test_a_column_stays_a_dictionary_only_where_every_file_has_it_so(shop: Any) -> None:
    table = pa.table({"a": ["x"] * 9, "b": ["x"] * 9})
    sources = "sources:\n  sales: {path: data, dictionary: true}\n"
    shop.write({"zerrow_project.yml": sources, "e.sql": "select a, b from sales", "data/x": ""})
    pq.write_table(table, shop.folder / "data/1.parquet")
    pq.write_table(table, shop.folder / "data/2.parquet", use_dictionary=["b"])
    pq.write_table(table.select(["a"]), shop.folder / "data/3.parquet")
    assert shop.model("sales")["task"]["dictionary"] == ["b"]


def test_expected_bytes_are_about_what_columns_take(shop: Any) -> None:
    count = 50_000
    table = pa.table({
        "i": pa.array(range(count)), "t": [f"text number {number % 1000}" for number in range(count)],
        "l": [[1.5, 2.5]] * count, "u": [str(number) * 5 for number in range(count)],
        "n": [{"x": 1, "y": "abc"}] * count,
    })  # fmt: skip
    pq.write_table(table, shop.folder / "sales.parquet", row_group_size=20_000)
    shop.write({"e.sql": "select i, t, l, u, n from sales"})
    expected = shop.model("sales")["expected_bytes"]
    assert 0.7 * table.nbytes < expected < 1.4 * table.nbytes
    shop.write({"e.sql": "select t from sales where i > 7"})
    own = table.select(["i", "t"]).nbytes
    assert 0.7 * own < shop.model("sales")["expected_bytes"] < 1.4 * own

"""Everything that can be wrong with a project has a code, a place and a way out, before anything runs."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from zerrow.plan import plan_project

GOOD = "import zerrow\n\n@zerrow.model()\ndef good(sales=zerrow.Model('sales')):\n    return sales\n"
HEAD = "import zerrow\n\n\n"
YAML = "project: {name: shop}\nsources:\n  sales: sales.parquet\n"
WITH_DICTIONARY = "sources:\n  other: sales.parquet\n  sales: {{path: sales.parquet, dictionary: [{}]}}\n"


def python(declaration: str, arguments: str = "sales=zerrow.Model('sales')", body: str = "return sales") -> str:
    return f"{HEAD}{declaration}\ndef total({arguments}):\n    {body}\n"


# id: (files, the errors as (code, model, file, line, part of the message, hint))
CASES: dict[str, tuple[dict[str, str], list[tuple[Any, ...]]]] = {
    "yaml": (
        {"zerrow_project.yml": "project: {name: shop}\nsources:\n  sales: [\n", "m.py": GOOD},
        [("yaml", None, "zerrow_project.yml", 4, "not valid YAML", "indent with spaces")],
    ),
    "yaml with a tab": (
        {"zerrow_project.yml": "project:\n\tname: shop\n", "m.py": GOOD},
        [("yaml", None, "zerrow_project.yml", 2, "cannot start any token", "indent with spaces")],
    ),
    "a source twice": (
        {"zerrow_project.yml": YAML + "  sales: other.parquet\n", "m.py": GOOD},
        [("duplicate-name", None, "zerrow_project.yml", 4, "lines 3 and 4", "rename or remove one of them")],
    ),
    "a source without a path": (
        {"zerrow_project.yml": YAML + "  shops: {dictionary: [city]}\n", "m.py": GOOD},
        [("project-file", None, "zerrow_project.yml", 4, "'shops' has no path", "add 'path:")],
    ),
    "a timeout that is none": (
        {"zerrow_project.yml": YAML + "timeout: 0\n", "m.py": GOOD},
        [("project-file", None, "zerrow_project.yml", 4, "'timeout' must be a positive number of seconds", None)],
    ),
    "a timeout that is a word": (
        {"zerrow_project.yml": YAML + "timeout: yes\n", "m.py": GOOD},
        [("project-file", None, "zerrow_project.yml", 4, "'timeout' must be a positive number of seconds", None)],
    ),
    "a source with a bad name": (
        {"zerrow_project.yml": YAML + "  select: shops.parquet\n", "m.py": GOOD},
        [("invalid-name", None, "zerrow_project.yml", 4, "is a word of SQL", "rename the source table")],
    ),
    "a source that matches nothing": (
        {"zerrow_project.yml": YAML.replace("sales.parquet", "data/*.parquet"), "m.py": GOOD},
        [("source-missing", None, "zerrow_project.yml", 3, "'data/*.parquet'", "under 'prepare:'")],
    ),
    "a file that is no Parquet": (
        {"zerrow_project.yml": YAML.replace("sales.parquet", "bad.parquet"), "bad.parquet": "PAR1 no", "m.py": GOOD},
        [("source-unreadable", None, "zerrow_project.yml", 3, "bad.parquet is no Parquet file", "remove or replace")],
    ),
    "a dictionary column that is not there": (
        {
            "zerrow_project.yml": YAML.replace("sales.parquet", "{path: sales.parquet, dictionary: [nota]}"),
            "m.py": GOOD,
        },
        [("unknown-column", None, "zerrow_project.yml", 3, "no column 'nota'", "did you mean 'note'?")],
    ),
    "a dictionary column that is no text": (
        {"zerrow_project.yml": WITH_DICTIONARY.format("id"), "m.py": GOOD},
        [("dictionary-type", None, "zerrow_project.yml", 3, "'id' of the source 'sales' is no text", None)],
    ),
    "a parameter of an unknown type": (
        {"zerrow_project.yml": YAML + "parameters:\n  rate: {type: number}\n", "m.py": GOOD},
        [("parameter-type", None, "zerrow_project.yml", 5, "unknown type 'number'", "types: str, int, float, bool")],
    ),
    "a default of another type": (
        {"zerrow_project.yml": YAML + "parameters:\n  rate: {type: int, default: yes}\n", "m.py": GOOD},
        [("parameter-type", None, "zerrow_project.yml", 5, "is True, which is no int", None)],
    ),
    "a parameter without a value": (
        {"zerrow_project.yml": YAML + "parameters:\n  rate: {type: int}\n", "m.py": GOOD},
        [("missing-parameter", None, "zerrow_project.yml", 5, "'rate' has no value", "give it as --param rate=42")],
    ),
    "a prepare that is no command": (
        {"zerrow_project.yml": YAML + "prepare: {run: make}\n", "m.py": GOOD},
        [("project-file", None, "zerrow_project.yml", 4, "'prepare' must be a command", None)],
    ),
    "no models": (
        {"helper.py": "x = 1\n"},
        [("no-models", None, "zerrow_project.yml", None, "no models", "add a .sql file")],
    ),
    "Python that doesn't parse": (
        {"m.py": "import zerrow\n\ndef f(:\n"},
        [("python-syntax", None, "m.py", 3, "Python syntax error", "files that declare models are read with Python 3")],
    ),
    "SQL that doesn't parse": (
        {"q.sql": "-- total\nselect id,\nfrom sales\nwhere (id > 1\n"},
        [("sql-syntax", "q", "q.sql", 4, "SQL syntax error: Expecting )", None)],
    ),
    "an open quote": (
        {"q.sql": "select 'a\nfrom sales\n"},
        [("sql-syntax", "q", "q.sql", 1, "SQL syntax error", None)],
    ),
    "several statements": (
        {"q.sql": "select id from sales;\n\nselect shop from shops;\n"},
        [("several-statements", "q", "q.sql", 3, "the file has several", "keep one SELECT")],
    ),
    "no SELECT": (
        {"q.sql": "insert into sales select * from shops\n"},
        [("no-select", "q", "q.sql", 1, "starts with INSERT", "write a SELECT")],
    ),
    "an empty SQL file": (
        {"q.sql": "-- nothing\n"},
        [("no-select", "q", "q.sql", 1, "is empty", "write a SELECT")],
    ),
    "a SQL model that reads nothing": (
        {"q.sql": "select 1 as one\n"},
        [("no-input", "q", "q.sql", 1, "has no input", "read a table: FROM …")],
    ),
    "a SQL model that reads a file": (
        {"q.sql": "select *\nfrom read_parquet('x.parquet')\n"},
        [("table-function", "q", "q.sql", 2, "not read_parquet(…)", "name the files under 'sources:'")],
    ),
    "a table with a dot": (
        {"q.sql": "select *\nfrom lake.sales\n"},
        [("unknown-namespace", "q", "q.sql", 2, "there is no namespace 'lake'", "did you mean 'sales'?")],
    ),
    "an unknown table in SQL": (
        {"q.sql": "select id\nfrom sale\n"},
        [("unknown-table", "q", "q.sql", 2, "reads 'sale'", "did you mean 'sales'?")],
    ),
    "an unknown column in SQL": (
        {"q.sql": "select id,\n  amuont\nfrom sales\n"},
        [("unknown-column", "q", "q.sql", 2, "the column 'amuont'", "did you mean 'amount'?")],
    ),
    "an unknown column of a table in SQL": (
        {"q.sql": "select s.id\nfrom sales s\njoin shops t on s.shop = t.id\n"},
        [("unknown-column", "q", "q.sql", 3, "'shops' has no column 'id'", "columns of shops: city, open, shop")],
    ),
    "an unknown alias in SQL": (
        {"q.sql": "select x.id\nfrom sales s\n"},
        [("unknown-column", "q", "q.sql", 1, "the query has no table 'x'", "tables of the query: s")],
    ),
    "a column in other capitals, which DataFusion doesn't find": (
        {"q.sql": "select ID from sales\n"},
        [("unknown-column", "q", "q.sql", 1, "the column 'ID'", "did you mean 'id'?")],
    ),
    "a column that a SQL model doesn't give": (
        {"a.sql": "select id as sale, amount from sales\n", "b.sql": "select id\nfrom a\n"},
        [("unknown-column", "b", "b.sql", 1, "the column 'id'", "columns of a: amount, sale")],
    ),
    "two result columns of one name": (
        {"q.sql": "select sales.shop, shops.shop from sales join shops on sales.shop = shops.shop\n"},
        [("duplicate-column", "q", "q.sql", 1, "two columns named 'shop'", "rename one with AS")],
    ),
    "an unknown directive": (
        {"q.sql": "-- zerrow: engin = duckdb\nselect id from sales\n"},
        [("bad-directive", "q", "q.sql", 1, "no directive 'engin'", "did you mean 'engine'?")],
    ),
    "an unknown engine": (
        {"q.sql": "--\n-- zerrow: engine = sqlite\nselect id from sales\n"},
        [("bad-directive", "q", "q.sql", 2, "no engine 'sqlite'", "engines: datafusion, duckdb")],
    ),
    "a directive with a bad value": (
        {"q.sql": "-- zerrow: memory = much\nselect id from sales\n"},
        [("bad-directive", "q", "q.sql", 1, "memory = 'much'", "write memory = 2G")],
    ),
    "a directive without a value": (
        {"q.sql": "-- zerrow: duckdb\nselect id from sales\n"},
        [("bad-directive", "q", "q.sql", 1, "'duckdb' is no directive", "write -- zerrow: key = value")],
    ),
    "a SQL file whose name is no name": (
        {"my-query.sql": "select id from sales\n"},
        [("invalid-name", "my-query", "my-query.sql", 1, "'my-query' is not a name", "-- zerrow: name = …")],
    ),
    "an unknown parameter in SQL": (
        {"q.sql": "select id\nfrom sales\nwhere id > $least\n"},
        [("unknown-parameter", "q", "q.sql", 3, "no parameter 'least'", "there are no parameters")],
    ),
    "an unknown table in Python": (
        {"m.py": python("@zerrow.model()", "sales=zerrow.Model('slaes')")},
        [("unknown-table", "total", "m.py", 5, "reads 'slaes'", "did you mean 'sales'?")],
    ),
    "an unknown column in Python": (
        {"m.py": python("@zerrow.model()", "\n    sales=zerrow.Model('sales', columns=['id', 'dayy']),\n")},
        [("unknown-column", "total", "m.py", 6, "no column 'dayy'", "did you mean 'day'?")],
    ),
    "a column twice": (
        {"m.py": python("@zerrow.model()", "sales=zerrow.Model('sales', columns=['id', 'id'])")},
        [("duplicate-column", "total", "m.py", 5, "selects 'id' more than once", "name each column once")],
    ),
    "no column": (
        {"m.py": python("@zerrow.model()", "sales=zerrow.Model('sales', columns=[])")},
        [("no-columns", "total", "m.py", 5, "selects no column", None)],
    ),
    "a model with no input": (
        {"m.py": python("@zerrow.model()", "", "return 1")},
        [("no-input", "total", "m.py", 5, "has no input", 'give an argument a default: table=zerrow.Model("…")')],
    ),
    "an argument without a default": (
        {"m.py": python("@zerrow.model()", "rate, sales=zerrow.Model('sales')")},
        [("parameter-without-default", "total", "m.py", 5, "argument 'rate'", "give it a default: rate=")],
    ),
    "an async model": (
        {"m.py": GOOD.replace("def good", "async def good")},
        [("async-model", "good", "m.py", 4, "is an async function", "use plain def")],
    ),
    "a generator": (
        {"m.py": python("@zerrow.model()", body="\n    yield sales")},
        [("generator-model", "total", "m.py", 7, "is a generator", "return one table")],
    ),
    "a model inside a function": (
        {"m.py": HEAD + "def f():\n    @zerrow.model()\n    def inner(s=zerrow.Model('sales')):\n        return s\n"},
        [("model-not-top-level", "inner", "m.py", 6, "inside a class or another function", "move it to the top")],
    ),
    "a decorator without parentheses": (
        {"m.py": python("@zerrow.model")},
        [("decorator", "total", "m.py", 4, "missing its parentheses", "write @zerrow.model()")],
    ),
    "a decorator argument that isn't known": (
        {"m.py": python("@zerrow.model(memroy='2G')")},
        [("bad-argument", "total", "m.py", 4, "no argument 'memroy'", "did you mean 'memory'?")],
    ),
    "a decorator argument of the wrong type": (
        {"m.py": python("@zerrow.model(internet_access='yes', memory='lots')")},
        [
            ("bad-argument", "total", "m.py", 4, "internet_access='yes' should be True or False", None),
            ("bad-argument", "total", "m.py", 4, "memory='lots' should be bytes", None),
        ],
    ),
    "arguments that are no literals": (
        {
            "m.py": "LIMIT = '2G'\n"
            + python("@zerrow.model(memory=LIMIT.lower())", "sales=zerrow.Model('sales', filter=f'id > {LIMIT}')")
        },
        [
            (
                "not-literal",
                "total",
                "m.py",
                5,
                "'memory' of @zerrow.model is no literal: LIMIT.lower()",
                "without running",
            ),
            ("not-literal", "total", "m.py", 6, "'filter' of zerrow.Model is no literal: f'id", "$parameter"),
        ],
    ),
    "keyword arguments from elsewhere": (
        {"m.py": python("@zerrow.model()", "sales=zerrow.Model('sales', **options)")},
        [("not-literal", "total", "m.py", 5, "zerrow.Model is no literal: options", "write the value itself")],
    ),
    "an input that names nothing": (
        {"m.py": python("@zerrow.model()", "sales=zerrow.Model()")},
        [("no-name", "total", "m.py", 5, "zerrow.Model names nothing", 'write zerrow.Model("…")')],
    ),
    "an unknown parameter in Python": (
        {
            "zerrow_project.yml": YAML + "parameters:\n  rate: {type: float, default: 1}\n",
            "m.py": python("@zerrow.model()", "s=zerrow.Model('sales'), r=zerrow.Parameter('rat')"),
        },
        [("unknown-parameter", "total", "m.py", 5, "no parameter 'rat'", "did you mean 'rate'?")],
    ),
    "a bad name in the decorator": (
        {"m.py": python("@zerrow.model(name='2nd')")},
        [("invalid-name", "total", "m.py", 4, "'2nd' is not a name", 'with @zerrow.model(name="…")')],
    ),
    "a model twice": (
        {"m.py": GOOD, "good.sql": "select id from sales\n"},
        [("duplicate-name", "good", "m.py", 4, "good.sql:1 and m.py:4", "rename one of them")],
    ),
    "a model named like a source": (
        {"shops.sql": "select id from sales\n"},
        [
            (
                "duplicate-name",
                "shops",
                "shops.sql",
                1,
                "shops.sql:1, and a source table, zerrow_project.yml:4",
                "rename",
            )
        ],
    ),
    "a cycle": (
        {"a.sql": "select *\nfrom c\n", "b.sql": "select * from a\n", "c.sql": "select * from b\n"},
        [("cycle", "a", "a.sql", 2, "form a cycle: a → c → b → a", "remove one of these inputs")],
    ),
    "a model that reads itself": (
        {"a.sql": "select * from a\n"},
        [("cycle", "a", "a.sql", 1, "form a cycle: a → a", "a model can't read itself: rename it")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_names_what_is_wrong_where_and_what_to_do(shop: Any, case: str) -> None:
    files, expected = CASES[case]
    found = shop.write(files).errors()
    assert len(found) == len(expected), found
    for error, (code, model, file, line, message, hint) in zip(found, expected, strict=True):
        assert (error["code"], error["model"], error["file"], error["line"]) == (code, model, file, line), error
        assert message in error["message"]
        assert hint is None if error["hint"] is None else hint is not None and hint in error["hint"], error


# filter: (code, part of the message, hint)
FILTERS = {
    "id >": ("filter-syntax", "the filter doesn't parse: something is missing", "a filter is a SQL predicate"),
    "id > 1) or (id < 3": ("filter-syntax", "no single predicate", "a filter is a SQL predicate"),
    "id > 1; drop table sales": ("filter-syntax", "it should end", "a filter is a SQL predicate"),
    "id > 1 order by id": ("filter-syntax", "it should end at 'order by'", "a filter is a SQL predicate"),
    "'open": ("filter-syntax", "is no SQL", "a filter is a SQL predicate"),
    "dayy > '2024-01-01'": ("unknown-column", "no column 'dayy'", "did you mean 'day'?"),
    "day > '2024-13-01'": ("filter-type", "Cannot cast string '2024-13-01'", None),
    "id = 'x'": ("filter-type", "Cannot cast string 'x' to value of Int64 type", None),
    "id": ("filter-type", "non-boolean predicate", None),
    "id and note = 'a'": ("filter-type", "Int64 AND Boolean", None),
    "lowr(note) = 'a'": ("filter-type", "Did you mean 'lower'?", None),
    "id in (select shop from shops)": ("filter-unsupported", "can't use a query", "write a SQL model"),
    "sum(id) > 1": ("filter-unsupported", "can't use an aggregate", "write a SQL model"),
    "approx_distinct(id) > 1": ("filter-unsupported", "can't use an aggregate", "write a SQL model"),
    "string_agg(note, ',') > 'a'": ("filter-unsupported", "can't use an aggregate", "write a SQL model"),
    "bit_xor(id) > 1": ("filter-unsupported", "can't use an aggregate", "write a SQL model"),
    "var_sample(id) > 1": ("filter-type", "Aggregate functions are not allowed in the WHERE clause", None),
    "row_number() over () > 1": ("filter-unsupported", "can't use a window", "write a SQL model"),
    "id > $rat": ("unknown-parameter", "no parameter 'rat'", "did you mean 'rate'?"),
    "note like 'a!%' escape '!'": ("filter-type", "LIKE does not support escape_char", None),
    "id + note > 1": ("filter-type", "Int64 + Utf8", None),
    "shops.id > 1": ("unknown-column", "no column 'shops'", "name the table's own columns"),
}


@pytest.mark.parametrize("filter_", FILTERS)
def test_says_what_a_filter_cannot_be(shop: Any, filter_: str) -> None:
    code, message, hint = FILTERS[filter_]
    shop.write(
        {
            "zerrow_project.yml": YAML + "parameters: {rate: {type: int, default: 1}}\n",
            "m.py": python(
                "@zerrow.model()", f"\n    sales=zerrow.Model(\n        'sales',\n        filter={filter_!r})"
            ),
        }
    )
    (error,) = shop.errors(checks_filters=True)
    assert (error["code"], error["model"], error["file"], error["line"]) == (code, "total", "m.py", 8)
    assert message in error["message"]
    assert hint is None if error["hint"] is None else hint is not None and hint in error["hint"], error


def test_counts_the_lines_of_a_filter_of_several_lines(shop: Any) -> None:
    filter_ = '"""\n        id > 1\n        and dayy > \'2024-01-01\'\n    """'
    shop.write({"m.py": python("@zerrow.model()", f"sales=zerrow.Model('sales', filter={filter_})")})
    (error,) = shop.errors()
    assert (error["code"], error["line"]) == ("unknown-column", 7)


def test_reports_all_errors_at_once(shop: Any) -> None:
    shop.write(
        {"a.sql": "select x from sales\n", "b.sql": "select id from nowhere\n", "c.py": "import zerrow\ndef f(:"}
    )
    assert [error["code"] for error in shop.errors()] == ["unknown-column", "unknown-table", "python-syntax"]


def test_refuses_unknown_and_bad_parameter_values(shop: Any) -> None:
    shop.write({"zerrow_project.yml": YAML + "parameters: {rate: {type: int, default: 1}}\n", "m.py": GOOD})
    unknown, bad = shop.errors(rat="1", rate="1.5")
    assert (unknown["code"], unknown["hint"]) == ("unknown-parameter", "did you mean 'rate'?")
    assert (bad["code"], bad["line"], bad["hint"]) == ("parameter-type", 4, "give it as --param rate=42")
    assert "is '1.5', which is no int" in bad["message"]
    (large,) = shop.errors(rate=str(2**63))
    assert "doesn't fit 64 bits" in large["message"]


def test_needs_exactly_one_project_file(shop: Any) -> None:
    shop.write({"zerrow_project.yaml": YAML, "m.py": GOOD})
    (both,) = shop.errors()
    assert (both["code"], both["hint"]) == ("two-project-files", "keep one of them")
    for name in ("zerrow_project.yaml", "zerrow_project.yml"):
        (shop.folder / name).unlink()
    (shop.folder / "m.py").unlink()
    (none,) = shop.errors()
    assert none["code"] == "no-project"
    assert "zerrow_project.yml" in none["hint"]


def test_refuses_links_that_leave_the_project(shop: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.py"
    outside.write_text(GOOD)
    os.symlink(outside, shop.folder / "linked.py")
    (error,) = shop.write({"m.py": GOOD}).errors()
    assert (error["code"], error["file"]) == ("link-outside-project", "linked.py")
    assert error["hint"] == "replace the link by the file itself"


def test_follows_links_inside_the_project(shop: Any) -> None:
    shop.write({"models/good.txt": GOOD})
    os.symlink("models/good.txt", shop.folder / "m.py")
    assert shop.model("good")["file"] == "m.py"


def test_warns_of_keys_it_does_not_know(shop: Any) -> None:
    shop.write({"zerrow_project.yml": YAML + "soruces: {}\npython: {package: [scipy]}\n", "m.py": GOOD})
    unknown, packages = shop.plan()["warnings"]
    assert (unknown["code"], unknown["line"], unknown["hint"]) == ("unknown-key", 4, "did you mean 'sources'?")
    assert (packages["code"], packages["line"], packages["hint"]) == ("unknown-key", 5, "did you mean 'packages'?")


def test_warns_of_a_function_with_inputs_and_no_decorator(shop: Any) -> None:
    shop.write({"m.py": GOOD + "\ndef other(s=zerrow.Model('sales')):\n    return s\n"})
    (warning,) = shop.plan()["warnings"]
    assert (warning["code"], warning["file"], warning["line"]) == ("no-model-decorator", "m.py", 7)


@pytest.mark.parametrize("kind", ["int", "float"])
@pytest.mark.parametrize("digits", [400, 5000])
def test_a_given_number_of_many_digits_is_said(shop: Any, kind: str, digits: int) -> None:
    shop.write({"zerrow_project.yml": f"{YAML}parameters:\n  rate: {{type: {kind}}}\n", "m.py": GOOD})
    (error,) = shop.errors(rate="9" * digits)
    assert (error["code"], error["line"]) == ("parameter-type", 5)
    assert "the parameter 'rate' is " in error["message"]
    assert len(error["message"]) < 200


@pytest.mark.parametrize("column", ["id", "weight", "amount", "note"])
@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, f"{'9' * 400}.5", "1e999"], ids=["a", "b", "c", "d"])
def test_a_condition_with_a_number_of_many_digits_is_planned(shop: Any, column: str, number: str) -> None:
    conditions = [f"{column} {op} {number}" for op in ("=", "<", ">")]
    conditions += [f"{column} in (1, {number})", f"{column} between 1 and {number}", f"{column} <> -{number}"]
    for index, condition in enumerate(conditions):
        argument = f"sales=zerrow.Model('sales', filter={condition!r})"
        shop.write({f"p{index}.py": python("@zerrow.model()", argument).replace("total", f"p{index}")})
        for engine in ("duckdb", "datafusion"):
            text = f"-- zerrow: engine = {engine}\nselect {column} from sales where {condition}\n"
            shop.write({f"{engine}{index}.sql": text})
    assert len([model for model in shop.plan()["models"] if model["kind"] != "scan"]) == 3 * len(conditions)


def test_a_filter_may_have_three_thousand_conditions(shop: Any) -> None:
    def argument(count: int) -> str:
        condition = " or ".join(f"id = {number}" for number in range(count))
        return f"sales=zerrow.Model('sales', filter='{condition}')"

    shop.write({"m.py": python("@zerrow.model()", argument(3000))})
    assert shop.model("total")
    shop.write({"m.py": python("@zerrow.model()", argument(3100))})
    (error,) = shop.errors()
    assert (error["code"], error["file"], error["line"]) == ("nested-too-deeply", "m.py", 5)


def test_a_helper_in_a_newer_syntax_is_left_to_the_model_that_imports_it(shop: Any) -> None:
    newer = "type Number = int\n\ndef twice[T](x: T) -> T:\n    return 2 * x\n"
    if sys.version_info >= (3, 12):
        newer = "def twice(:\n"
    shop.write({"helper.py": newer, "between.py": "import helper\n"})
    shop.write({"m.py": python("@zerrow.model()", body="import between\n    return sales")})
    plan = plan_project(shop.folder, hands_over=True)
    (warning,) = plan["warnings"]
    assert (warning["code"], warning["file"], warning["line"]) == ("python-syntax", "helper.py", 1)
    assert "models that import it need a newer Python than Python 3." in warning["hint"]
    model = next(each for each in plan["models"] if each["name"] == "total")
    helper = next(each for each in model["task"]["modules"] if each["name"] == "helper")
    # The model's own Python compiles it; what it asks the world for, nobody knows.
    assert helper["pieces"] is None
    assert model["key"] is None and "helper.py" in model["because"]


BROKEN = "def twice(:\n"


@pytest.mark.parametrize(
    ("files", "is_error"),
    [
        ({"helper.py": BROKEN, "m.py": python("@zerrow.model()", body="import helper\n    return sales")}, True),
        ({"dashboard.py": BROKEN, "m.py": python("@zerrow.model()")}, False),
        ({"m.py": BROKEN}, True),
    ],
    ids=["a module that a model imports", "a script beside", "all that there is"],
)
def test_a_file_that_is_no_python_is_told_where_it_matters(shop: Any, files: dict[str, str], is_error: bool) -> None:
    shop.write(files)
    if is_error:
        (error,) = shop.errors()
        assert error["code"] == "python-syntax" and error["line"] == 1
    else:
        assert [each["code"] for each in shop.plan()["warnings"]] == ["python-syntax"]

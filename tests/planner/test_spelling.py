"""Bauplan's ways to declare models, in both generations: what the planner makes of them, and what it refuses."""

from __future__ import annotations

import sys
from typing import Any

import pytest

HEAD = "import bauplan\n\n\n"
TYPED = """\
from typing import Annotated, Optional

import bauplan
import pyarrow as pa


class Sale(bauplan.TableSchema):
    "What is sold."

    id: bauplan.Int64
    note: bauplan.String | None
    kilos: Annotated[bauplan.Float64 | None, bauplan.TableField(name="weight", doc="net", lineage=Other["kilos"])]
    extra: Optional[bauplan.Any]


@bauplan.model()
def total(
    sales: Annotated[pa.Table, bauplan.Model("sales", projection_schema=Sale, filter="id > $low")],
    low: Annotated[int, bauplan.Parameter("low")],
) -> Annotated[pa.Table, Sale]:
    return sales
"""
PLAIN = TYPED.replace("    extra: Optional[bauplan.Any]\n", "")
COLUMNS = [
    {"name": "id", "type": "int64", "nullable": False},
    {"name": "note", "type": "string", "nullable": True},
    {"name": "weight", "type": "double", "nullable": True},
]


def classic(decorators: str, arguments: str = "sales=bauplan.Model('sales')", head: str = HEAD) -> str:
    return f"{head}{decorators}\ndef total({arguments}):\n    return sales\n"


@pytest.mark.parametrize(
    "decorators",
    [
        "@bauplan.model()",
        "@bauplan.model()\n@bauplan.python()",
        "@bauplan.python('3.12', pip={'pandas': '2.2', 'scikit_learn': '1'})\n@bauplan.model(columns=['*'])",
        "@bauplan.extras('ai', 'more')\n@bauplan.model()\n@bauplan.resources(cpus=2, memory='1G', timeout=9)\n"
        "@bauplan.python('3.11')",
        "@bauplan.model(name=None, columns=None, partitioned_by=None, materialization_strategy=None,\n"
        "    cache_strategy=None, overwrite_filter=None, internet_access=False)",
        "@bauplan.model(partitioned_by='YEAR(day), shop', materialization_strategy='OVERWRITE_PARTITIONS',\n"
        "    cache_strategy='NONE', overwrite_filter=\"day > '2024-01-01'\")",
        "@bauplan.model(partitioned_by=['day', 'shop'], materialization_strategy='APPEND')",
        "@bauplan.model(partitioned_by=('day',), materialization_strategy='NONE', cache_strategy='DEFAULT')",
    ],
)
def test_decorators_in_any_order_with_every_argument(shop: Any, decorators: str) -> None:
    model = shop.write({"models.py": classic(decorators)}).model("total")
    assert (model["kind"], model["inputs"], model["final"]) == ("python", ["sales"], True)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("import bauplan\n", "bauplan.{}"),
        ("import bauplan as bp\n", "bp.{}"),
        ("import bauplan.store\n", "bauplan.{}"),
        ("import bpln_sdk as bauplan\n", "bauplan.{}"),
        ("from bauplan import model, Model, Parameter\n", "{}"),
        ("from bauplan import *\n", "{}"),
        ("import bauplan\nb = bauplan\nc = b\n", "c.{}"),
        ("import bauplan\nmodel, Model = 1, 2\nfrom bauplan import Model, model\n", "{}"),
        ("import importlib\nbauplan = importlib.import_module('bauplan')\n", "bauplan.{}"),
        ("try:\n    import bauplan\nexcept ImportError:\n    raise\n", "bauplan.{}"),
        ("import zerrow\nimport bauplan\n", "bauplan.{}"),
        ("import zerrow\n", "zerrow.{}"),
    ],
)
def test_names_are_followed_through_imports_and_other_names(shop: Any, head: str, name: str) -> None:
    text = f"{head}\n@{name.format('model')}()\ndef total(sales={name.format('Model')}('sales')):\n    return sales\n"
    assert shop.write({"models.py": text}).model("total")["inputs"] == ["sales"]


def test_bauplans_models_may_have_names_that_sql_quotes(shop: Any) -> None:
    text = classic("@bauplan.model(name='order')")
    text += "@bauplan.expectation()\ndef unique(t=bauplan.Model('join')):\n    return True\n"
    shop.write({"models.py": text, "join.sql": 'select id from "order"'})
    assert "'join' is a word of SQL" in shop.errors()[0]["message"]
    shop.write({"bauplan_project.yml": "project: {name: shop}\n"})
    assert [each["name"] for each in shop.plan()["models"]] == ["sales", "order", "join", "unique"]


def test_retired_and_unknown_arguments_are_noted_and_left_alone(shop: Any) -> None:
    text = classic(
        "@bauplan.model(materialise=False)\n@bauplan.resources(memory=512)",
        "sales=bauplan.Model('sales', ref='main', connector='dremio', other=1), p=bauplan.Parameter('low', kind=1)",
    )
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 2}}\n"})
    plan = shop.plan()
    found = [(each["code"], each["line"], each["message"]) for each in plan["warnings"]]
    assert [code for code, _, _ in found] == ["unknown-argument"] * 5
    assert [message.rpartition(" ")[2] for _, _, message in found] == [
        "'materialise'", "'other'", "'ref'", "'connector'", "'kind'",
    ]  # fmt: skip
    assert plan["models"][-1]["memory_bytes_max"] is None


def test_limits_of_resources_hold_where_the_model_says_none(shop: Any) -> None:
    text = classic("@bauplan.resources(memory='1G', timeout=60)\n@bauplan.model()")
    model = shop.write({"models.py": text}).model("total")
    assert (model["memory_bytes_max"], model["timeout_s"]) == (1 << 30, 60.0)


def test_parameters_may_stand_before_tables(shop: Any) -> None:
    text = classic("@bauplan.model()", "low=bauplan.Parameter('low'), sales=bauplan.Model('sales')")
    shop.write({"models.py": text, "bauplan_project.yaml": "parameters: {low: {type: bool, default: true}}\n"})
    arguments = shop.model("total", low="FALSE")["task"]["arguments"]
    assert [each["name"] for each in arguments] == ["low", "sales"] and arguments[0]["value"] is False


def test_typed_models_say_what_they_take_and_return(shop: Any) -> None:
    shop.write({"models.py": PLAIN, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    task = shop.model("total")["task"]
    assert task["contract"] == {"schema": "Sale", "columns": COLUMNS} and task["strict"] is True
    assert [each.get("columns") for each in task["arguments"]] == [["id", "note", "weight"], None]
    scan = shop.model("sales")["task"]
    assert scan["filter"]["sql"] == "id > 1" and scan["columns"] == ["id", "note", "weight"]


def test_a_text_is_an_annotation_and_a_schema_may_be_another_files(shop: Any) -> None:
    shop.write(
        {
            "schemas.py": TYPED.partition("@bauplan.model()")[0],
            "models.py": "import bauplan as b\nimport schemas as s\nfrom schemas import Sale as Sold\n"
            "from typing import Annotated\nimport typing as t\n\n"
            "@b.model()\ndef one(x: 'Annotated[Table, b.Model(\"sales\")]') -> 't.Annotated[Table, s.Sale]':\n"
            "    return x\n\n"
            "@b.model()\ndef two(x=b.Model('one')) -> Annotated['Table', Sold]:\n    return x\n",
            "three.sql": "-- bauplan: output_schema = Sale\nselect * from two\n",
        }
    )
    every = [shop.model(name)["task"]["contract"] for name in ("one", "two", "three")]
    assert every == [{"schema": "Sale", "columns": [*COLUMNS, {"name": "extra", "type": None, "nullable": True}]}] * 3


def test_the_type_of_any_column_may_be_pythons_own_and_says_nothing_of_nulls(shop: Any) -> None:
    text = PLAIN.replace("import Annotated, Optional", "import Annotated, Any").replace("bauplan.String | None", "Any")
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    columns = shop.model("total")["task"]["contract"]["columns"]
    assert columns[1] == {"name": "note", "type": None, "nullable": True}


@pytest.mark.parametrize(
    ("decimal", "kind", "nullable"),
    [
        ("bauplan.Decimal128[4, 2]", "decimal128(4, 2)", False),
        ("bauplan.Decimal128[38, 0] | None", "decimal128(38, 0)", True),
        ("Optional[Money[Literal[38], Literal[10]]]", "decimal128(38, 10)", True),
        ("'Annotated[Money[9, 9], bauplan.TableField(nullable=True)]'", "decimal128(9, 9)", True),
    ],
)
def test_a_column_may_be_a_decimal_of_so_many_digits(shop: Any, decimal: str, kind: str, nullable: bool) -> None:
    text = PLAIN.replace("import Annotated, Optional", "import Annotated, Literal, Optional")
    text = text.replace("import bauplan\n", "import bauplan\nfrom bauplan import Decimal128 as Money\n", 1)
    text = text.replace("bauplan.String | None", decimal)
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    columns = shop.model("total")["task"]["contract"]["columns"]
    assert columns[1] == {"name": "note", "type": kind, "nullable": nullable}


def test_values_may_have_names_and_be_added(shop: Any) -> None:
    text = (
        "from bauplan import Model, ModelCacheStrategy, ModelMaterializationStrategy, model\n"
        "off: ModelCacheStrategy = 'NONE'\nappend: ModelMaterializationStrategy = 'APPEND'\n"
        "KEYS = ['id']\nCOLUMNS = KEYS + ['shop']\nTABLE = 'sales'\nSINCE = 'id > ' + '1'\n"
        "@model(cache_strategy=off, materialization_strategy=append, columns=COLUMNS)\n"
        "def total(t=Model(TABLE, columns=COLUMNS, filter=SINCE)):\n    return t\n"
    )
    model = shop.write({"models.py": text}).model("total")
    assert (model["cache"], model["task"]["columns"]) == (False, ["id", "shop"])
    assert shop.model("sales")["task"]["filter"]["sql"] == "id > 1"


@pytest.mark.parametrize("more", ["COLUMNS = ['note']", "def f():\n    global COLUMNS\n    COLUMNS = ['note']"])
def test_a_name_that_is_given_twice_stands_for_nothing(shop: Any, more: str) -> None:
    text = f"import bauplan\nCOLUMNS = ['id']\n{more}\n" + classic("@bauplan.model(columns=COLUMNS)", head="")
    errors = shop.write({"models.py": text}).errors()
    assert [error["code"] for error in errors] == ["not-literal"]


def test_parameters_by_attribute(shop: Any) -> None:
    text = classic("@bauplan.model()", "sales=bauplan.Model('sales'), low=bauplan.Parameter.low")
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 2}}\n"})
    assert shop.model("total")["task"]["arguments"][1] == {"name": "low", "value": 2}


def test_the_older_spelling_of_fields(shop: Any) -> None:
    text = TYPED.replace("import bauplan\n", "import bpln_sdk as bauplan\n").replace(
        'Annotated[bauplan.Float64 | None, bauplan.TableField(name="weight", doc="net", lineage=Other["kilos"])]',
        "Annotated[bauplan.Float64, bauplan.TableField(title='Kilos', nullable=True, lineage=\"src['kilos']\")]",
    )
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    shop.write({"models.py": text.replace("projection_schema=Sale, ", "")})
    columns = shop.model("total")["task"]["contract"]["columns"]
    assert columns[2] == {"name": "kilos", "type": "double", "nullable": True}


def test_who_fails_a_run_depends_on_how_a_model_is_written(shop: Any) -> None:
    text = (
        "import bauplan\nimport zerrow\nfrom typing import Annotated\n"
        "@bauplan.model(columns=['a'])\ndef old(t=bauplan.Model('sales')):\n    return t\n"
        "@zerrow.model(columns=['a'])\ndef own(t=zerrow.Model('sales')):\n    return t\n"
        "@bauplan.expectation()\ndef test_old(t=bauplan.Model('old')):\n    return True\n"
        "@bauplan.expectation()\ndef test_new(t: Annotated[Table, bauplan.Model('old')]) -> bool:\n    return True\n"
    )
    shop.write({"models.py": text})

    def strict(is_strict: bool | None) -> dict[str, Any]:
        from zerrow.plan import plan_project

        plan = plan_project(shop.folder, is_strict=is_strict)
        return {each["name"]: each["task"].get("strict") for each in plan["models"] if each["kind"] == "python"}

    assert strict(None) == {"old": False, "own": None, "test_old": False, "test_new": True}
    assert strict(True) == dict.fromkeys(strict(None), True)
    assert strict(False) == dict.fromkeys(strict(None), False)


def test_expectations_run_always_and_give_no_table_to_others(shop: Any) -> None:
    text = f"{HEAD}@bauplan.expectation()\ndef test_sales(t=bauplan.Model('q')):\n    return True\n"
    shop.write({"models.py": text, "q.sql": "select id from sales"})
    models = {model["name"]: model for model in shop.plan()["models"]}
    assert models["test_sales"]["task"]["expectation"] is True
    assert (models["q"]["final"], models["test_sales"]["final"]) == (True, False)
    assert (models["test_sales"]["key"], models["test_sales"]["because"]) == (None, "it is an expectation")


def test_a_reader_may_take_what_a_lenient_model_does_not_declare(shop: Any) -> None:
    text = (
        f"{HEAD}@bauplan.model(columns=['nope'])\ndef first(t=bauplan.Model('sales')):\n    return t\n"
        "@bauplan.model()\ndef second(t=bauplan.Model('first', columns=['id'], filter='weight > 1')):\n    return t\n"
    )
    assert shop.write({"models.py": text, "q.sql": "select note from first"}).model("second")["inputs"] == ["first"]


def test_models_of_several_decorators_are_code_of_their_own(shop: Any) -> None:
    text = (
        f"{HEAD}@bauplan.model()\n@bauplan.python('3.11')\ndef first(t=bauplan.Model('sales')):\n    return t\n"
        "@bauplan.model()\n@bauplan.python('3.11')\ndef second(t=bauplan.Model('sales')):\n    return t\n"
    )
    before = shop.write({"models.py": text}).model("first")
    after = shop.write(
        {"models.py": text.replace("def second(t=", "def second(u=").replace("return t\n", "return t\n")}
    )
    assert before["code"] == after.model("first")["code"]


UNREAD = {
    "a decorator under a name that is called": (
        "d = bauplan.model()\n@d\ndef f(t=bauplan.Model('sales')):\n    return t\n", 4,
    ),
    "a decorator that is applied by hand": ("def f(t):\n    return t\ng = bauplan.model()(f)\n", 6),
    "a decorator looked up": ("def f(t):\n    return t\ng = [m for m in (bauplan.model, 1)]\n", 6),
    "an input under a name": ("T = bauplan.Model('sales')\n@bauplan.model()\ndef f(t=T):\n    return t\n", 4),
    "an expectation of a class": ("@bauplan.expectation()\nclass F:\n    pass\n", 4),
    "a decorator that is looked up by its name": (
        "d = getattr(bauplan, 'model')\n@d()\ndef f(t=bauplan.Model('sales')):\n    return t\n", 5,
    ),
    "an unknown decorator of bauplan": (
        "@bauplan.synthetic()\ndef f(t=bauplan.Model('sales')):\n    return t\n", 4,
    ),
    "an unknown module": ("import shop_sdk\n@shop_sdk.model()\ndef f(t=shop_sdk.Model('sales')):\n    return t\n", 5),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_a_declaration_that_is_not_understood_is_an_error(shop: Any, case: str) -> None:
    text, line = UNREAD[case]
    errors = shop.write({"models.py": HEAD + text, "q.sql": "select id from sales"}).errors()
    assert ("not-understood", "models.py", line) in [(each["code"], each["file"], each["line"]) for each in errors]


def test_a_module_that_passes_on_the_names_is_an_error_where_they_are_used(shop: Any) -> None:
    shop.write({"common.py": "from bauplan import model, Model\n", "q.sql": "select id from sales"})
    shop.write({"models.py": "from common import model, Model\n@model()\ndef f(t=Model('sales')):\n    return t\n"})
    (error,) = shop.errors()
    assert (error["code"], error["file"], error["line"], error["model"]) == ("not-understood", "models.py", 2, "f")


@pytest.mark.parametrize(
    "script",
    [
        "import bauplan\n\nclient = bauplan.Client()\nprint(client.query('select 1'))\n",
        "import bauplan\n\n\ndef load(client: bauplan.Client, what: bauplan.Model = None) -> None:\n    pass\n",
        "",
        "import sqlmesh\n\n\n@sqlmesh.model('a')\ndef f(context):\n    return 1\n",
    ],
)
def test_scripts_beside_models_are_left_alone(shop: Any, script: str) -> None:
    plan = shop.write({"script.py": script, "q.sql": "select id from sales"}).plan()
    assert [each["name"] for each in plan["models"]] == ["sales", "q"] and plan["warnings"] == []


ERRORS = {
    "a function that is set up but declared as nothing": (
        classic("@bauplan.python('3.11')"), "no-model-decorator", 5, "put @bauplan.model() above it",
    ),
    "a strategy that is none": (
        classic("@bauplan.model(materialization_strategy='REPLACED')"), "bad-argument", 4, None,
    ),
    "packages without versions": (
        classic("@bauplan.model()\n@bauplan.python(pip=['pandas'])"), "bad-argument", 5, None,
    ),
    "a model and an expectation": (classic("@bauplan.model()\n@bauplan.expectation()"), "two-decorators", 6, None),
    "two functions of one name": (
        classic("@bauplan.model(name='a')") + classic("@bauplan.model(name='b')", head=""), "duplicate-name", 8,
        "rename one of the functions: the file keeps only the last of a name",
    ),
    "a typed model that returns nothing": (
        PLAIN.replace(" -> Annotated[pa.Table, Sale]", ""), "return-type", 16,
        "write -> Annotated[pyarrow.Table, S] with a class S(TableSchema) of its columns",
    ),
    "a typed model that returns a table": (
        PLAIN.replace("-> Annotated[pa.Table, Sale]", "-> pa.Table"), "return-type", 16,
        "write -> Annotated[pyarrow.Table, S] with a class S(TableSchema) of its columns",
    ),
    "an unknown schema": (
        PLAIN.replace("-> Annotated[pa.Table, Sale]", "-> Annotated[pa.Table, Sail]"), "unknown-schema", 16,
        "did you mean 'Sale'?",
    ),
    "a column of no type of a schema's": (
        PLAIN.replace("id: bauplan.Int64", "id: int"), "bad-schema", 10,
        "did you mean 'Int64'?",
    ),
    **{
        f"a decimal with {digits}": (
            PLAIN.replace("id: bauplan.Int64", f"id: bauplan.Decimal128{digits}"), "bad-schema", 10,
            "write Decimal128[precision, scale]: a precision of 1 to 38, a scale of 0 to the precision",
        )
        for digits in (
            "", "[9]", "[39, 0]", "[0, 0]", "[4, 5]", "[4, -1]", "[4, 2, 1]", "['4', 2]", "[4.0, 2]", "[True, 0]",
        )
    },
    "a field that is optional as a whole": (
        PLAIN.replace('["kilos"])]', '["kilos"])] | None'), "bad-schema", 12, "write Annotated[… | None, …]",
    ),
    "an unknown argument of a field": (PLAIN.replace("doc=", "docs="), "bad-argument", 12, "did you mean 'doc'?"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_wrong_is_an_error_with_its_place(shop: Any, case: str) -> None:
    text, code, line, hint = ERRORS[case]
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    error = shop.errors()[0]
    assert (error["code"], error["file"], error["line"]) == (code, "models.py", line), error
    assert hint is None or error["hint"] == hint


ALIASES = {
    "an assignment": "Sales = Annotated[pa.Table, bauplan.Model('sales', projection_schema=Sale)]\n",
    "an annotated assignment": (
        "from typing import TypeAlias\n"
        "Sales: TypeAlias = Annotated[pa.Table, bauplan.Model('sales', projection_schema=Sale)]\n"
    ),
    "a name for a name": (
        "First = Annotated[pa.Table, bauplan.Model('sales', projection_schema=Sale)]\nSales = First\n"
    ),
    "a text": "Sales = 'Annotated[pa.Table, bauplan.Model(\\'sales\\', projection_schema=Sale)]'\n",
    "a type statement": "type Sales = Annotated[pa.Table, bauplan.Model('sales', projection_schema=Sale)]\n",
}


@pytest.mark.parametrize("case", ALIASES)
def test_an_annotation_may_have_a_name(shop: Any, case: str) -> None:
    head, _, _ = PLAIN.partition("@bauplan.model()")
    model = "@bauplan.model()\ndef total(sales: Sales, low: Low) -> Out:\n    return sales\n"
    more = "Low = Annotated[int, bauplan.Parameter('low')]\nOut = Annotated[pa.Table, Sale]\n"
    shop.write({"models.py": head + ALIASES[case] + more + model})
    shop.write({"bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    if case == "a type statement" and sys.version_info < (3, 12):
        assert [error["code"] for error in shop.errors()] == ["python-syntax"]
        return
    task = shop.model("total")["task"]
    assert [argument["name"] for argument in task["arguments"]] == ["sales", "low"]
    assert task["arguments"][0]["columns"] == ["id", "note", "weight"]
    assert task["contract"]["columns"] == COLUMNS and task["strict"] is True


@pytest.mark.parametrize("more", ["Sales = Annotated[pa.Table, bauplan.Model('shops')]\n", "Sales = 5\n"])
def test_a_name_that_is_given_twice_is_no_annotation(shop: Any, more: str) -> None:
    text = (
        f"{PLAIN.partition('@bauplan.model()')[0]}Sales = Annotated[pa.Table, bauplan.Model('sales')]\n{more}"
        "@bauplan.model()\ndef total(sales: Sales) -> Annotated[pa.Table, Sale]:\n    return sales\n"
    )
    codes = {error["code"] for error in shop.write({"models.py": text}).errors()}
    assert codes == {"not-understood", "parameter-without-default"}


def test_an_input_is_held_to_the_columns_that_are_taken_of_its_schema(shop: Any) -> None:
    text = PLAIN.replace("projection_schema=Sale, ", "columns=['weight'], projection_schema=Sale, ")
    shop.write({"models.py": text, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    (argument, _) = shop.model("total")["task"]["arguments"]
    assert (argument["columns"], argument["contract"]) == (["weight"], {"schema": "Sale", "columns": COLUMNS[2:]})
    assert "strict" not in argument
    from zerrow.plan import plan_project

    lenient = next(each for each in plan_project(shop.folder, is_strict=False)["models"] if each["name"] == "total")
    assert lenient["task"]["arguments"][0]["strict"] is False
    assert lenient["key"] != shop.model("total")["key"]


def test_files_that_git_ignores_declare_nothing_and_that_is_said(shop: Any) -> None:
    function = "@bauplan.model()\ndef NAME(t=bauplan.Model('sales')):\n    return t\n"
    shop.write(
        {
            ".git/HEAD": "ref: refs/heads/main\n",
            ".gitignore": "scratch*.py\n/old.sql\n/drafts/\nhelper.py\n",
            "models.py": HEAD + function.replace("NAME", "kept"),
            "scratch.py": HEAD + function.replace("NAME", "one") + function.replace("NAME", "two"),
            "scratch_odd.py": "import sdk as bauplan\n" + function.replace("NAME", "odd"),
            "helper.py": "import bauplan\n\n\ndef f(client: bauplan.Client):\n    pass\n",
            "old.sql": "select id from nothing",
            "drafts/a.sql": "select id from nothing",
            "sql/b.sql": "select id from sales",
            "sql/.gitignore": "c.sql\n",
            "sql/c.sql": "select id from sales",
            "bauplan_project.yml": "include_paths: [drafts/*.sql, sql/*.sql]\n",
        }
    )
    plan = shop.plan()
    assert {model["name"] for model in plan["models"]} == {"sales", "kept", "b"}
    said = {warning["file"]: warning["message"] for warning in plan["warnings"] if warning["code"] == "ignored-file"}
    assert said == {
        "scratch.py": "git ignores this file, so its models are left out: one, two",
        "scratch_odd.py": "git ignores this file, so its models are left out",
        "old.sql": "git ignores this file, so its query is left out",
        "drafts/a.sql": "git ignores this file, so its query is left out",
        "sql/c.sql": "git ignores this file, so its query is left out",
    }


def test_what_people_are_told_of_a_table_is_kept(shop: Any) -> None:
    shop.write({"models.py": PLAIN, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    shop.write({"q.sql": "-- bauplan: output_schema = Sale\nselect id, note, weight from total"})
    told = {"table": "What is sold.", "columns": {"weight": "net"}}
    before = shop.model("total")
    assert before["task"]["doc"] == shop.model("q")["task"]["doc"] == told
    shop.write({"models.py": PLAIN.replace("    return sales\n", '    """All\n    of it."""\n    return sales\n')})
    after = shop.model("total")
    assert after["task"]["doc"] == {**told, "table": "All\nof it."}
    shop.write({"models.py": classic("@bauplan.model()"), "q.sql": "select id from sales"})
    assert "doc" not in shop.model("total")["task"] and "doc" not in shop.model("q")["task"]


def test_a_column_may_have_nothing_told_of_it(shop: Any) -> None:
    shop.write({"models.py": PLAIN, "bauplan_project.yml": "parameters: {low: {type: int, default: 1}}\n"})
    assert 'doc="net"' in PLAIN
    shop.write({"models.py": PLAIN.replace('doc="net"', 'doc=""')})
    assert shop.model("total")["task"]["doc"] == {"table": "What is sold."}

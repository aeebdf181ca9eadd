"""Whatever a project's files hold, the planner plans it or says what is wrong: nothing else comes out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_project import Shop
from zerrow.errors import PlanError
from zerrow.plan import plan_project

FILES = {
    "zerrow_project.yml": """
project: {name: shop}
parameters:
  least: {type: int, default: 1}
sources:
  sales: {path: sales.parquet, dictionary: [note]}
  shops: shops.parquet
prepare: [python, make.py]
""",
    "m.py": """
import zerrow

@zerrow.model(columns=["id", "day"], memory="1G")
def recent(sales=zerrow.Model("sales", columns=["id", "day"], filter="id > $least and day in ('2024-01-02', null)"),
           least=zerrow.Parameter("least")):
    return sales
""",
    "q.sql": """
-- zerrow: engine = duckdb
with x as (select id, max(amount) over (partition by shop) as top from sales s where s.shop = 2 and note like 'a%')
select city, r.day, sum(top) as top from x join recent r using (id), shops where shops.shop = $least group by all
""",
    "r.sql": "select * from q union all select city, day, 0 from q where (select count(*) from shops) > 1 order by 1\n",
}
PIECES = [
    *"'\"()[]{}<>,.:;$*-=#\n\t\\ 0aé\x00\ufeff",
    *(
        "select ",
        " from ",
        " where ",
        " in (",
        "with x as (",
        " join ",
        "::date",
        "interval '1' month",
        "--",
        "/*",
        "$$",
    ),
    *(
        "zerrow.Model(",
        "lambda: ",
        "**",
        "yield ",
        "!!python/object:os.system ",
        "&a ",
        "*a ",
        "<<: ",
        "---\n",
        "sales",
    ),
]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, str]:
    files = dict(FILES)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(files)))
        text = files[name]
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        files[name] = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[end:]
    return files


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    Shop(folder).write(FILES).plan()
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=damaged())
def test_plans_or_explains_damaged_files(template: Path, tmp_path: Path, files: dict[str, str]) -> None:
    folder = tmp_path / "shop"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    try:
        plan = plan_project(folder)
    except PlanError as failure:
        assert failure.errors
        assert all(error.code and error.message for error in failure.errors)
    else:
        names = [model["name"] for model in plan["models"]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "text",
    [
        "select id from sales where " + " and ".join(["id > 1"] * 3000),
        "select id from sales where " + "(" * 500 + "id > 1" + ")" * 500,
        "select " + " + ".join(["id"] * 3000) + " as total from sales",
    ],
    ids=["many conditions", "many parentheses", "many terms"],
)
def test_plans_or_explains_huge_queries(shop: Shop, text: str) -> None:
    shop.write({"q.sql": text})
    try:
        assert shop.model("q")["inputs"] == ["sales"]
    except PlanError as failure:
        assert [error.file for error in failure.errors] == ["q.sql"]


def test_a_join_without_a_from_is_planned_or_explained(shop: Shop) -> None:
    shop.write({"q.sql": "select sum(id) < rom x join sales s using (id), shops where shops.shop = 2"})
    assert shop.errors()[0]["code"] == "unknown-column"


def test_bytes_that_are_no_text_are_an_error_of_their_file(shop: Shop) -> None:
    (shop.folder / "q.sql").write_bytes(b"select \xff from sales")
    (error,) = shop.errors()
    assert (error["code"], error["file"], error["hint"]) == ("unreadable", "q.sql", "save it as UTF-8 text")


def test_a_damaged_parquet_footer_is_an_error_of_its_source(shop: Shop) -> None:
    shop.write({"q.sql": "select id from sales"})
    whole = (shop.folder / "sales.parquet").read_bytes()
    for cut in (0, 4, len(whole) // 2, len(whole) - 5):
        (shop.folder / "sales.parquet").write_bytes(whole[:cut])
        (error,) = shop.errors()
        assert (error["code"], error["line"]) == ("source-unreadable", 3)

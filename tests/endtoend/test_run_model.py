"""`zerrow.testing.run_model`: single models, run as in a run, on tables that a test makes."""

from __future__ import annotations

import textwrap

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zerrow
from command import ZERROW, Project
from zerrow.testing import run_model

MODELS = """
import zerrow

@zerrow.model(columns=["city", "total"])
def totals(
    orders=zerrow.Model("orders", columns=["city", "price"], filter="price > 1"),
    cities=zerrow.Model("cities"),
    rate=zerrow.Parameter("rate"),
):
    import pyarrow.compute as pc
    assert orders.column_names == ["city", "price"], orders.column_names
    joined = orders.join(cities, "city", join_type="inner")
    summed = joined.group_by("city").aggregate([("price", "sum")]).sort_by("city")
    return summed.rename_columns(["city", "total"]).set_column(1, "total", pc.multiply(summed["price_sum"], rate))

@zerrow.model()
def cities(data=zerrow.Model("places")):
    raise RuntimeError("no test should come here")

@zerrow.model()
def fails(orders=zerrow.Model("orders")):
    deep = {}
    return deep["nowhere"]

@zerrow.model(columns=["a"])
def liar(orders=zerrow.Model("orders")):
    return orders

@zerrow.expectation()
def some(totals=zerrow.Model("totals")):
    return totals.num_rows > 0
"""


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    project.write("models.py", MODELS)
    project.write("top.sql", "select city, total from totals order by total desc limit 1")
    project.write(
        "zerrow_project.yml",
        "sources: {orders: data/orders.parquet, places: data/places.parquet}\n"
        "parameters: {rate: {type: float, default: 2.0}}\n",
    )
    for name, value in project.environment({"ZERROW_COMMAND": str(ZERROW)}).items():
        monkeypatch.setenv(name, value)
    return str(project.folder)


ORDERS = {"city": ["Rome", "Oslo", "Rome", "Oslo"], "price": [1.0, 2.0, 3.0, 4.0], "unread": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "kind",
    [
        pa.table,
        dict,
        pd.DataFrame,
        pl.DataFrame,
        lambda columns: pa.table(columns).to_batches()[0],
        lambda columns: pa.table(columns).to_pylist(),
        lambda columns: pa.RecordBatchReader.from_batches(pa.table(columns).schema, pa.table(columns).to_batches()),
    ],
)
def test_a_model_gets_what_it_declares_of_any_table(shop: str, kind):
    result = run_model(shop, "totals", {"orders": kind(ORDERS), "cities": kind({"city": ["Rome", "Oslo"]})})
    assert result.to_pydict() == {"city": ["Oslo", "Rome"], "total": [12.0, 6.0]}


def test_parameters_and_sql(shop: str):
    orders, cities = pa.table(ORDERS), pa.table({"city": ["Rome"]})
    result = run_model(shop, "totals", {"orders": orders, "cities": cities}, parameters={"rate": 10.0})
    assert result.to_pydict() == {"city": ["Rome"], "total": [30.0]}
    totals = {"city": ["Bonn", "Rome"], "total": [7.0, 9.0]}
    assert run_model(shop, "top", {"totals": totals}).to_pylist() == [{"city": "Rome", "total": 9.0}]


def test_a_failing_model_raises_with_its_traceback(shop: str):
    with pytest.raises(zerrow.RunError) as caught:
        run_model(shop, "fails", {"orders": ORDERS})
    assert caught.value.model == "fails"
    for part in ("model 'fails'", "KeyError: 'nowhere'", "models.py", 'return deep["nowhere"]'):
        assert part in str(caught.value)


def test_promises_are_checked(shop: str):
    with pytest.raises(zerrow.RunError, match="declares the columns a"):
        run_model(shop, "liar", {"orders": ORDERS}, strict=True)
    with pytest.raises(zerrow.RunError, match="some"):
        run_model(shop, "totals", {"orders": ORDERS, "cities": {"city": ["Bonn"]}}, strict=True)


def test_wrong_calls_say_what_is_wrong(shop: str):
    with pytest.raises(zerrow.RunError, match="'total' means no model"):
        run_model(shop, "total", {"orders": ORDERS})
    with pytest.raises(zerrow.RunError, match="nothing reads a table 'order'"):
        run_model(shop, "totals", {"order": ORDERS, "cities": {"city": ["Bonn"]}})
    with pytest.raises(zerrow.ZerrowError, match="the input 'orders' can't be written as a table"):
        run_model(shop, "totals", {"orders": object(), "cities": {"city": ["Bonn"]}})
    with pytest.raises(zerrow.ZerrowError, match="'some' gives no table"):
        run_model(shop, "some", {"totals": {"city": ["Bonn"], "total": [1.0]}})


def test_nothing_is_left_behind(shop: str, tmp_path, monkeypatch: pytest.MonkeyPatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    run_model(shop, "top", {"totals": {"city": ["Bonn"], "total": [7.0]}})
    assert list(temporary.iterdir()) == []


def test_the_example_of_the_guide(shop: str, project: Project, tmp_path):
    """A test as users write it, run by pytest."""
    import subprocess
    import sys

    path = project.folder / "tests" / "test_top.py"
    path.parent.mkdir()
    path.write_text(
        textwrap.dedent(
            """
            from zerrow.testing import run_model

            def test_the_largest_total_is_first():
                top = run_model(".", "top", {"totals": {"city": ["Bonn", "Rome"], "total": [7.0, 9.0]}})
                assert top.to_pylist() == [{"city": "Rome", "total": 9.0}]
            """
        )
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(words, cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

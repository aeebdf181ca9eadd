"""Objects that models save for those that read their tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from bauplan.store import load_obj, save_obj
from zerrow import store
from zerrow.worker.objects import give_objects, take_objects, without_objects
from zerrow.worker.tasks import execute, prepare_arguments

TABLE = pa.table({"a": [1, 2]}).replace_schema_metadata({"own": "kept"})


@pytest.fixture(autouse=True)
def forget() -> Any:
    yield
    store.begin({})


def chain(project: Any, table: pa.Table, body: str) -> pa.Table:
    source = f"from bauplan.store import load_obj, save_obj\n\n\ndef model(t):\n{body}\n    return t\n"
    task = project(source, [{"name": "t", "input": 0, "table": "t", "columns": None, "filter": None}])
    return execute(task, prepare_arguments(task, [table]), [table])


def test_an_object_goes_with_the_table_and_further(project: Any) -> None:
    first = chain(project, TABLE, "    save_obj('fit', {'slope': 2.5})")
    sql = {"kind": "sql", "sql": "select a from t", "engine": "datafusion", "arguments": [{"name": "t", "input": 0}]}
    second = execute(sql, prepare_arguments(sql, [first]), [first])
    assert second.num_rows == 2
    check = (
        "    assert load_obj('fit') == {'slope': 2.5}\n    assert not any(b'zerrow:' in k for k in t.schema.metadata)"
    )
    third = chain(project, second, check + "\n    save_obj('fit', 3)\n    assert load_obj('fit') == 3")
    chain(project, third, "    assert load_obj('fit') == 3")
    assert without_objects(first).schema.metadata == {b"own": b"kept"}


def test_an_object_of_a_table_that_is_not_read_is_not_there(project: Any) -> None:
    chain(project, TABLE, "    save_obj('fit', 1)\n    save_obj('other', 2)")
    with pytest.raises(KeyError, match=r"no object 'fit' came with the tables .* \(there are: none\)"):
        chain(project, TABLE, "    load_obj('fit')")


def test_objects_of_several_inputs_come_together() -> None:
    tables = []
    for name in ("a", "b"):
        store.begin({})
        save_obj(name, name * 3)
        tables.append(give_objects(TABLE))
    take_objects(tables)
    assert (load_obj("a"), load_obj("b")) == ("aaa", "bbb")


def test_a_table_without_objects_stays_the_very_table() -> None:
    store.begin({})
    assert give_objects(TABLE) is TABLE and without_objects(TABLE) is TABLE


def test_an_object_that_is_too_large_says_so() -> None:
    with pytest.raises(ValueError, match="more than the 10 MiB that travel with a table"):
        save_obj("big", b"x" * (11 << 20))
    with pytest.raises(TypeError, match="the name is a int"):
        save_obj(1, 2)  # type: ignore[arg-type]

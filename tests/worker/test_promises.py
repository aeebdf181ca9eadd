"""Results held against what models say of them: columns, and the schemas of typed models."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from zerrow.schema import TYPES
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.tasks import execute, prepare_arguments

TABLE = pa.table({"id": [1, 2, None], "note": ["a", None, "c"]})


def run(project: Any, table: str, **promised: Any) -> tuple[pa.Table, list[str]]:
    notes: list[str] = []
    task = project(f"import pyarrow as pa\n\n\ndef model():\n    return {table}\n")
    return execute({**task, **promised}, {}, notes=notes), notes


def contract(*columns: tuple[str, str | None, bool]) -> dict[str, Any]:
    names = ("name", "type", "nullable")
    return {"schema": "Out", "columns": [dict(zip(names, column, strict=True)) for column in columns]}


@pytest.mark.parametrize(
    ("declared", "is_right"), [(["a"], True), (["a", "b"], False), ([], False), (["b"], False), (["*"], True)]
)
def test_columns_that_differ_fail_strictly_and_are_told_of_else(
    project: Any, capsys: pytest.CaptureFixture[str], declared: list[str], is_right: bool
) -> None:
    table, notes = run(project, "pa.table({'a': [1]})", columns=declared, strict=False)
    assert table.column_names == ["a"] and bool(notes) is not is_right
    message = f"the model declares the columns {', '.join(declared)}, but the result has a"
    assert (f"warning: {message}\n" in capsys.readouterr().err) is not is_right
    if not is_right:
        with pytest.raises(WorkerFailure, match=message):
            run(project, "pa.table({'a': [1]})", columns=declared, strict=True)


def test_zerrows_own_way_lets_one_too_many_pass(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, notes = run(project, "pa.table({'a': [1], 'b': [2]})", columns=["a"])
    assert notes == [] and "columns that the model does not declare: b" in capsys.readouterr().err
    with pytest.raises(WorkerFailure, match="declares the column 'c', but the result has a, b"):
        run(project, "pa.table({'a': [1], 'b': [2]})", columns=["c"])


def test_a_contract_that_is_not_kept_shows_expected_and_found_side_by_side(project: Any) -> None:
    out = contract(("id", "int64", False), ("note", "string", True), ("gone", "double", True), ("any", None, True))
    table = "pa.table({'id': [1, None], 'note': pa.array([1, 2], pa.int32()), 'any': [[1], []], 'more': ['x', None]})"
    with pytest.raises(WorkerFailure) as failure:
        run(project, table, contract=out, strict=True)
    assert str(failure.value).splitlines() == [
        "ModelOutputContractError: the result is not as the schema Out says: id, note, gone, more",
        "    column  expected         found",
        "  ! id      int64, no nulls  int64, 1 null",
        "  ! note    string           int32",
        "  ! gone    double           (missing)",
        f"    any     any type         {pa.list_(pa.int64())}",
        "  ! more    (none)           string, 1 null",
    ]
    result, notes = run(project, table, contract=out, strict=False)
    assert result.num_rows == 2 and notes == [str(failure.value).splitlines()[0]]


def test_a_contract_that_is_kept_says_nothing_whatever_the_order(project: Any) -> None:
    out = contract(("note", "string", True), ("id", "int64", False))
    _, notes = run(project, "pa.table({'id': [1, 2], 'note': ['a', None]})", contract=out, strict=True)
    assert notes == []


ARROW = {
    "Bool": pa.bool_(), "Int32": pa.int32(), "Int64": pa.int64(), "Float64": pa.float64(), "String": pa.string(),
    "Binary": pa.binary(), "Date32": pa.date32(), "Date64": pa.date64(), "TimestampMicro": pa.timestamp("us"),
    "TimestampNano": pa.timestamp("ns"), "TimestampMicroUTC": pa.timestamp("us", "UTC"),
    "TimestampNanoUTC": pa.timestamp("ns", "UTC"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARROW)
def test_types_mean_arrows_and_no_others(project: Any, name: str) -> None:
    from zerrow.worker.promises import contract_problem

    for other, kind in ARROW.items():
        table = pa.table({"x": pa.nulls(1, kind)})
        problem = contract_problem(table, contract(("x", TYPES[name], True)))
        assert (problem is None) is (other == name)
        assert contract_problem(table, contract(("x", TYPES["Any"], True))) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("String", pa.large_string()),
        ("String", pa.dictionary(pa.int32(), pa.string())),
        ("Binary", pa.large_binary()),
        ("TimestampMicroUTC", pa.timestamp("us", "+00:00")),
    ],
)
def test_another_layout_of_the_same_values_is_right(name: str, kind: pa.DataType) -> None:
    from zerrow.worker.promises import contract_problem

    assert contract_problem(pa.table({"x": pa.nulls(1, kind)}), contract(("x", TYPES[name], True))) is None


def test_every_type_of_a_schema_is_one_of_arrows() -> None:
    assert {name: arrow for name, arrow in TYPES.items() if arrow} == {name: str(kind) for name, kind in ARROW.items()}


def test_sql_models_are_held_to_their_schemas_too() -> None:
    task = {"kind": "sql", "sql": "select id from t", "engine": "datafusion", "strict": True}
    with pytest.raises(WorkerFailure, match=r"ModelOutputContractError: .* schema Out says: id"):
        execute({**task, "contract": contract(("id", "int64", False))}, {"t": TABLE}, [TABLE])
    kept = execute({**task, "contract": contract(("id", "int64", True))}, {"t": TABLE}, [TABLE])
    assert kept["id"].to_pylist() == [1, 2, None]


def held(table: pa.Table, *columns: tuple[str, str | None, bool], **more: Any) -> tuple[pa.Table, list[str]]:
    """What an argument gets that is declared with these columns, and what is warned about."""
    notes: list[str] = []
    argument = {"name": "t", "input": 0, "table": "sales", "contract": contract(*columns), **more}
    return prepare_arguments({"arguments": [argument]}, [table], 1, notes)["t"], notes


def test_an_input_that_is_not_as_its_schema_says_fails_with_both_side_by_side() -> None:
    columns = (("id", "int64", False), ("note", "int32", True))
    with pytest.raises(WorkerFailure) as failure:
        held(TABLE, *columns, columns=["id", "note"])
    assert failure.value.kind == "input"
    assert str(failure.value).splitlines() == [
        "ModelInputContractError: the table 'sales' is not as the schema Out of 't' says: id, note",
        "    column  expected         found",
        "  ! id      int64, no nulls  int64, 1 null",
        "  ! note    int32            string, 1 null",
    ]


def test_what_is_filtered_or_not_taken_of_an_input_is_not_held_to_its_schema() -> None:
    filter_ = {"sql": "id >= 1", "columns": ["id"], "prune": None}
    table, notes = held(TABLE, ("id", "int64", False), columns=["id"], filter=filter_)
    assert (table.to_pylist(), notes) == ([{"id": 1}, {"id": 2}], [])


def test_a_lenient_model_is_warned_about_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    table, notes = held(TABLE, ("id", "string", True), columns=["id"], strict=False)
    assert table.column_names == ["id"]
    assert notes == ["ModelInputContractError: the table 'sales' is not as the schema Out of 't' says: id"]
    assert "  ! id      string    int64, 1 null" in capsys.readouterr().err

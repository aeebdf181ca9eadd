"""Expectations that many projects share. Each looks at a column of an Arrow table and returns whether it is so.

Nothing but pyarrow is needed, and it is imported when the first of them is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "expect_column_accepted_values",
    "expect_column_all_null",
    "expect_column_all_unique",
    "expect_column_equal_concatenation",
    "expect_column_mean_greater_or_equal_than",
    "expect_column_mean_greater_than",
    "expect_column_mean_smaller_or_equal_than",
    "expect_column_mean_smaller_than",
    "expect_column_no_nulls",
    "expect_column_not_unique",
    "expect_column_some_null",
]


def expect_column_equal_concatenation(
    table: pa.Table, target_column: str, columns: Sequence[str], separator: str = ""
) -> bool:
    """Whether a column has, in each row, the texts of other columns joined by a separator.

    Where one of them is null the column has to be null too.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [pc.cast(_column(table, name), pa.large_string()) for name in columns]
    joined = pc.binary_join_element_wise(*texts, pa.scalar(separator, pa.large_string()), null_handling="emit_null")
    target = pc.cast(_column(table, target_column), pa.large_string())
    are_both_null = pc.and_(pc.is_null(target), pc.is_null(joined))
    return _all(pc.or_(pc.fill_null(pc.equal(target, joined), False), are_both_null))


def expect_column_mean_greater_than(table: pa.Table, column_name: str, value: float) -> bool:
    """Whether the mean of a column, nulls left out, is greater than a value."""
    mean = _mean(table, column_name)
    return bool(mean is not None and mean > value)


def expect_column_mean_greater_or_equal_than(table: pa.Table, column_name: str, value: float) -> bool:
    """Whether the mean of a column, nulls left out, is a value or greater."""
    mean = _mean(table, column_name)
    return bool(mean is not None and mean >= value)


def expect_column_mean_smaller_than(table: pa.Table, column_name: str, value: float) -> bool:
    """Whether the mean of a column, nulls left out, is smaller than a value."""
    mean = _mean(table, column_name)
    return bool(mean is not None and mean < value)


def expect_column_mean_smaller_or_equal_than(table: pa.Table, column_name: str, value: float) -> bool:
    """Whether the mean of a column, nulls left out, is a value or smaller."""
    mean = _mean(table, column_name)
    return bool(mean is not None and mean <= value)


def expect_column_some_null(table: pa.Table, column_name: str) -> bool:
    """Whether a column has a null."""
    return _column(table, column_name).null_count > 0


def expect_column_no_nulls(table: pa.Table, column_name: str) -> bool:
    """Whether a column has no null."""
    return _column(table, column_name).null_count == 0


def expect_column_all_null(table: pa.Table, column_name: str) -> bool:
    """Whether a column has nothing but nulls."""
    return _column(table, column_name).null_count == table.num_rows


def expect_column_all_unique(table: pa.Table, column_name: str) -> bool:
    """Whether no value of a column occurs twice, null included."""
    return _distinct(table, column_name) == table.num_rows


def expect_column_not_unique(table: pa.Table, column_name: str) -> bool:
    """Whether some value of a column occurs twice, null included."""
    return _distinct(table, column_name) < table.num_rows


def expect_column_accepted_values(table: pa.Table, column_name: str, accepted_values: Iterable[Any]) -> bool:
    """Whether each value of a column is one of the accepted ones; a null is not, unless None is among them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _column(table, column_name)
    return _all(pc.is_in(column, value_set=pa.array(list(accepted_values), column.type)))


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column, its values as they are also where they lie in a dictionary."""
    import pyarrow as pa

    if table.schema.get_field_index(name) < 0:
        raise KeyError(f"the table has no column {name!r}, but {', '.join(table.column_names)}")
    column = table.column(name)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _mean(table: pa.Table, name: str) -> Any:
    import pyarrow.compute as pc

    return pc.mean(_column(table, name)).as_py()


def _distinct(table: pa.Table, name: str) -> int:
    import pyarrow.compute as pc

    return int(pc.count_distinct(_column(table, name), mode="all").as_py())


def _all(conditions: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(conditions, min_count=0).as_py())

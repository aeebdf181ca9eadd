"""A DataFusion frame for every type of its SQL, and DataFusion's own way through Arrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datafusion
import pyarrow as pa

EXPRESSIONS = {
    "Boolean": "true", "Int8": "arrow_cast(1, 'Int8')", "UInt64": "arrow_cast(18446744073709551615, 'UInt64')",
    "Int64": "9007199254740993", "Float16": "arrow_cast(0.5, 'Float16')", "Float32": "arrow_cast(0.5, 'Float32')",
    "Float64": "0.1", "Decimal128": "arrow_cast('1.50', 'Decimal128(38, 2)')",
    "Decimal256": "arrow_cast('1.50', 'Decimal256(70, 2)')", "Utf8": "arrow_cast('é', 'Utf8')",
    "LargeUtf8": "arrow_cast('é', 'LargeUtf8')", "Binary": "arrow_cast('x', 'Binary')",
    "FixedSizeBinary": "arrow_cast(arrow_cast('x', 'Binary'), 'FixedSizeBinary(1)')",
    "Date32": "date '2024-02-29'", "Date64": "arrow_cast(date '2024-02-29', 'Date64')",
    "Time": "arrow_cast('01:02:03', 'Time64(Nanosecond)')", "Time32": "arrow_cast('01:02:03', 'Time32(Second)')",
    "Timestamp": "arrow_cast('2024-02-29T01:02:03', 'Timestamp(Nanosecond, None)')",
    "Timestamp in a zone": "arrow_cast('2024-02-29T01:02:03', 'Timestamp(Millisecond, Some(\"+02:00\"))')",
    "Interval": "interval '1 month 2 days'", "Duration": "arrow_cast(5, 'Duration(Second)')",
    "Dictionary": "arrow_cast('x', 'Dictionary(Int8, Utf8)')", "List": "make_array(1, null)",
    "LargeList": "arrow_cast(make_array(1), 'LargeList(Int64)')",
    "FixedSizeList": "arrow_cast(make_array(1, 2), 'FixedSizeList(2, Int64)')",
    "Struct": "named_struct('a', 1, 'b', named_struct('c', date '2024-01-01'))",
    "Map": "map(make_array('k'), make_array(1))",
    "Null": "null", "List of Struct": "make_array(named_struct('a', 1))",
}  # fmt: skip


def _frame(sql: str) -> datafusion.DataFrame:
    config = datafusion.SessionConfig().set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
    return datafusion.SessionContext(config).sql(sql)


CASES: dict[str, Callable[[], Any]] = {
    **{name: lambda text=text: _frame(f"select {text} as c, 0 as row") for name, text in EXPRESSIONS.items()},
    "no rows": lambda: _frame("select 1 as a, 'x' as b where false"),
    "names": lambda: _frame("""select 1 as "é😀 "" '.`", 2 as "a.b", 3 as "A", 4 as "a", 5 as "" """),
}


def own(frame: datafusion.DataFrame) -> pa.Table:
    """The frame as DataFusion gives it to Arrow."""
    return frame.to_arrow_table()


def difference(table: pa.Table, expected: pa.Table) -> str:
    """What DataFusion sees otherwise in the table; nothing where it is the same."""
    if not table.schema.equals(expected.schema, check_metadata=True):
        return f"{table.schema} instead of {expected.schema}"
    context = datafusion.SessionContext()
    found, wanted = context.from_arrow(table, "a").to_arrow_table(), context.from_arrow(expected, "b").to_arrow_table()
    return "" if found.equals(wanted) else f"{found} instead of {wanted}"


def verdict(name: str) -> tuple[str, Any]:
    """Whether DataFusion itself keeps the case, and what it makes of it."""
    try:
        return "kept", own(CASES[name]())
    except BaseException as error:
        return "refused", f"{type(error).__name__}: {error}"


def wide() -> datafusion.DataFrame:
    """One frame of all columns."""
    return _frame(f"select {', '.join(f'{text} as c{number}' for number, text in enumerate(EXPRESSIONS.values()))}")

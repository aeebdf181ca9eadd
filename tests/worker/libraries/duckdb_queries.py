"""A query for every type of DuckDB, and DuckDB's own way through Arrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

VALUES = {
    "BOOLEAN": "true", "TINYINT": "-128", "SMALLINT": "-32768", "INTEGER": "7", "BIGINT": "9007199254740993",
    "UTINYINT": "255", "USMALLINT": "65535", "UINTEGER": "4294967295", "UBIGINT": "18446744073709551615",
    "HUGEINT": "170141183460469231731687303715884105727", "UHUGEINT": "340282366920938463463374607431768211455",
    "FLOAT": "0.5", "DOUBLE": "0.1", "DECIMAL(4,1)": "1.5", "DECIMAL(9,2)": "1.5", "DECIMAL(18,3)": "1.5",
    "DECIMAL(38,10)": "1.5", "VARCHAR": "'é'", "BLOB": "'\\xAA'", "UUID": "'5b7c0000-0000-0000-0000-00000000007f'",
    "BIT": "'10101'", "DATE": "'2024-02-29'", "TIME": "'01:02:03.000004'", "TIMETZ": "'01:02:03+02'",
    "TIMESTAMP": "'2024-02-29 01:02:03.000004'", "TIMESTAMP_S": "'2024-02-29 01:02:03'",
    "TIMESTAMP_MS": "'2024-02-29 01:02:03.004'", "TIMESTAMP_NS": "'2024-02-29 01:02:03.000000004'",
    "TIMESTAMPTZ": "'2024-02-29 01:02:03+02'", "INTERVAL": "'1 month 2 days 3 seconds'",
    "TIME_NS": "'01:02:03.000000004'",
    "ENUM('S', 'M', 'L')": "'L'", "INTEGER[]": "[1, null]", "VARCHAR[][]": "[['x'], null]", "INTEGER[3]": "[1, 2, 3]",
    "ENUM('S', 'M')[]": "['M', null]", "STRUCT(a INTEGER, b VARCHAR)": "{'a': 1, 'b': null}",
    "STRUCT(s STRUCT(e ENUM('S', 'M')))": "{'s': {'e': 'M'}}", "STRUCT(u UUID, h HUGEINT)": "{'u': uuid(), 'h': 1}",
    "MAP(VARCHAR, INTEGER)": "map {'k': 1}", "MAP(INTEGER, STRUCT(a DATE))": "map {1: {'a': date '2024-01-01'}}",
    "UNION(n INTEGER, t VARCHAR)": "7", "BIGNUM": "'1'", "VARIANT": "1", "GEOMETRY": "'POINT(1 2)'",
    "JSON": "'{\"a\": 1}'",
}  # fmt: skip


UUID = "'5b7c0000-0000-0000-0000-00000000007f'::UUID"


def _query(kind: str, value: str) -> Callable[[], duckdb.DuckDBPyRelation]:
    # The value is cast once, so that chance (a new UUID) can't make two results differ.
    fixed = value.replace("uuid()", UUID)
    sql = f"select cast(v as {kind}) as c, row from (values ({fixed}, 0), (null, 1)) as t(v, row)"
    return lambda: duckdb.sql(sql)


CASES: dict[str, Callable[[], Any]] = {
    **{kind: _query(kind, value) for kind, value in VALUES.items()},
    "no rows": lambda: duckdb.sql("select 1::UTINYINT as a, 'x'::ENUM('x') as e where false"),
    "sum of integers": lambda: duckdb.sql("select sum(range) as c from range(10)"),
    "names": lambda: duckdb.sql("""select 1 as "é😀 "" '.`", 2 as "a.b" """),
    "a connection's result": lambda: duckdb.execute("select 'M'::ENUM('S', 'M') as c"),
}


def own(result: Any) -> pa.Table:
    """The result as DuckDB gives it to Arrow."""
    return result.to_arrow_table()


def difference(table: pa.Table, expected: pa.Table) -> str:
    """What DuckDB sees otherwise in the table; nothing where it is the same."""
    if not table.schema.equals(expected.schema, check_metadata=True):
        return f"{table.schema} instead of {expected.schema}"
    with duckdb.connect() as connection:
        found, wanted = connection.from_arrow(table), connection.from_arrow(expected)
        if found.types != wanted.types:
            return f"{found.types} instead of {wanted.types}"
        rows, others = found.fetchall(), wanted.fetchall()
        return "" if rows == others else f"{rows} instead of {others}"


def verdict(name: str) -> tuple[str, Any]:
    """Whether DuckDB itself keeps the case, and what it makes of it."""
    try:
        table = own(CASES[name]())
        difference(table, table)
        return "kept", table
    except Exception as error:
        return "refused", f"{type(error).__name__}: {error}"


def wide() -> duckdb.DuckDBPyRelation:
    """One result of all columns."""
    parts = [f"cast({value} as {kind}) as c{number}" for number, (kind, value) in enumerate(VALUES.items())]
    return duckdb.sql(f"select {', '.join(parts).replace('uuid()', UUID)}")

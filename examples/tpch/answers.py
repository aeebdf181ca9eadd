"""The same TPC-H queries by DuckDB straight from the Parquet files: what the pipeline's answers are compared with.

`ANSWERS` maps a model's name to its query, as the TPC-H specification gives it, with its validation parameters.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

DATA = Path(__file__).resolve().parent / "data"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "region", "supplier")

ANSWERS = {
    "pricing_summary": """
        select l_returnflag, l_linestatus, sum(l_quantity) as sum_qty, sum(l_extendedprice) as sum_base_price,
            sum(l_extendedprice * (1 - l_discount)) as sum_disc_price,
            sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge,
            avg(l_quantity) as avg_qty, avg(l_extendedprice) as avg_price, avg(l_discount) as avg_disc,
            count(*) as count_order
        from lineitem where l_shipdate <= date '1998-12-01' - interval '90' day
        group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus""",
    "shipping_priority": """
        select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate, o_shippriority
        from customer, orders, lineitem
        where c_mktsegment = 'BUILDING' and c_custkey = o_custkey and l_orderkey = o_orderkey
            and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15'
        group by l_orderkey, o_orderdate, o_shippriority order by revenue desc, o_orderdate limit 10""",
    "local_supplier_volume": """
        select n_name, sum(l_extendedprice * (1 - l_discount)) as revenue
        from customer, orders, lineitem, supplier, nation, region
        where c_custkey = o_custkey and l_orderkey = o_orderkey and l_suppkey = s_suppkey
            and c_nationkey = s_nationkey and s_nationkey = n_nationkey and n_regionkey = r_regionkey
            and r_name = 'ASIA' and o_orderdate >= date '1994-01-01' and o_orderdate < date '1995-01-01'
        group by n_name order by revenue desc""",
    "forecast_revenue": """
        select sum(l_extendedprice * l_discount) as revenue from lineitem
        where l_shipdate >= date '1994-01-01' and l_shipdate < date '1995-01-01'
            and l_discount between 0.06 - 0.01 and 0.06 + 0.01 and l_quantity < 24""",
    "promotion_effect": """
        select 100.00 * sum(case when p_type like 'PROMO%' then l_extendedprice * (1 - l_discount) else 0 end)
            / sum(l_extendedprice * (1 - l_discount)) as promo_revenue
        from lineitem, part
        where l_partkey = p_partkey and l_shipdate >= date '1995-09-01' and l_shipdate < date '1995-10-01'""",
}


def expected(model: str, data: Path = DATA) -> pa.Table:
    """DuckDB's answer to the query that `model` answers."""
    with duckdb.connect() as connection:
        for table in TABLES:
            connection.read_parquet(str(data / f"{table}.parquet")).create_view(table)
        return connection.sql(ANSWERS[model]).to_arrow_table()


def differences(actual: pa.Table, wanted: pa.Table) -> list[str]:
    """Where two answers differ, empty when they agree. Exact, but for averages and ratios, which engines round."""
    if actual.column_names != wanted.column_names:
        return [f"columns: {actual.column_names} and not {wanted.column_names}"]
    if actual.num_rows != wanted.num_rows:
        return [f"rows: {actual.num_rows} and not {wanted.num_rows}"]
    found = []
    for name in wanted.column_names:
        for row, (value, right) in enumerate(zip(actual[name].to_pylist(), wanted[name].to_pylist(), strict=True)):
            inexact = isinstance(value, float) or isinstance(right, float)
            same = abs(float(value) - float(right)) <= 1e-6 if inexact else value == right
            if not same:
                found.append(f"{name}[{row}]: {value} and not {right}")
    return found

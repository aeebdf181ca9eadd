"""The Python models of the pipeline. README.md has the picture; the SQL models are the .sql files beside this one."""

from __future__ import annotations

import datetime

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import zerrow
from money import discounted


@zerrow.model()
def priced_lines(
    lines=zerrow.Model(
        "lineitem",
        columns=[
            "l_orderkey",
            "l_partkey",
            "l_suppkey",
            "l_quantity",
            "l_extendedprice",
            "l_discount",
            "l_tax",
            "l_returnflag",
            "l_linestatus",
            "l_shipdate",
        ],
    ),
):
    """All order lines with one more column, what they bring in. The ten columns are passed on as they are."""
    return lines.append_column("revenue", discounted(lines["l_extendedprice"], lines["l_discount"]))


@zerrow.model()
def order_lines(lines=zerrow.Model("priced_lines", columns=["l_orderkey", "l_shipdate", "revenue"])):
    """A column selection: nothing is new."""
    return lines


@zerrow.model()
def ranked_orders(orders=zerrow.Model("order_revenue")):
    """Orders by what they bring in, with polars."""
    return pl.from_arrow(orders).sort("revenue", "l_orderkey", descending=[True, False])


@zerrow.model()
def top_orders(orders=zerrow.Model("ranked_orders")):
    """A slice: the thousand biggest orders, still where ranked_orders put them."""
    return orders.slice(0, 1000)


@zerrow.model()
def revenue_bands(orders=zerrow.Model("order_revenue")):
    """Each order's band, dictionary-encoded, with pandas: 1.5 million rows, three texts."""
    revenue = orders["revenue"].cast(pa.float64()).to_numpy()
    bands = pd.cut(revenue, [-np.inf, 50_000, 200_000, np.inf], labels=["small", "medium", "large"])
    codes = pa.array(np.asarray(bands.codes, dtype=np.int8))
    band = pa.DictionaryArray.from_arrays(codes, pa.array(list(bands.categories)))
    return pa.table({"l_orderkey": orders["l_orderkey"], "band": band})


@zerrow.model()
def shipping_priority(
    lines=zerrow.Model("order_lines", filter="l_shipdate > $date"),
    orders=zerrow.Model("segment_orders"),
):
    """Query 3, with polars: the ten unshipped orders of a segment that are worth most."""
    return (
        pl.from_arrow(lines)
        .lazy()
        .join(pl.from_arrow(orders).lazy(), left_on="l_orderkey", right_on="o_orderkey")
        .group_by("l_orderkey", "o_orderdate", "o_shippriority")
        .agg(pl.col("revenue").sum())
        .select("l_orderkey", "revenue", "o_orderdate", "o_shippriority")
        .sort("revenue", "o_orderdate", descending=[True, False])
        .head(10)
        .collect()
    )


@zerrow.model()
def local_supplier_volume(
    lines=zerrow.Model("priced_lines", columns=["l_orderkey", "l_suppkey", "revenue"]),
    orders=zerrow.Model(
        "orders",
        columns=["o_orderkey", "o_custkey"],
        filter="o_orderdate >= '1994-01-01' and o_orderdate < '1995-01-01'",
    ),
    customer=zerrow.Model("customer", columns=["c_custkey", "c_nationkey"]),
    suppliers=zerrow.Model("region_suppliers"),
):
    """Query 5, with DuckDB: what suppliers of a region sell to customers of their own nation."""
    return duckdb.sql(
        """
        with sales as materialized (
            select l_orderkey, revenue, s_nationkey, n_name from lines join suppliers on l_suppkey = s_suppkey
        )
        select n_name, sum(revenue) as revenue
        from sales
        join orders on l_orderkey = o_orderkey
        join customer on o_custkey = c_custkey and c_nationkey = s_nationkey
        group by n_name
        order by revenue desc
        """
    ).to_arrow_table()


@zerrow.model()
def forecast_revenue(
    lines=zerrow.Model(
        "lineitem",
        columns=["l_extendedprice", "l_discount"],
        filter="""
            l_shipdate >= '1994-01-01' and l_shipdate < date '1994-01-01' + interval '1' year
            and l_discount between $discount - 0.01 and $discount + 0.01 and l_quantity < 24
        """,
    ),
):
    """Query 6, with pyarrow: what small orders would have brought in without their discount. The scan filters."""
    return pa.table({"revenue": [pc.sum(pc.multiply(lines["l_extendedprice"], lines["l_discount"])).as_py()]})


@zerrow.model()
def promotion_effect(
    lines=zerrow.Model(
        "priced_lines",
        columns=["l_partkey", "revenue"],
        filter="l_shipdate >= '1995-09-01' and l_shipdate < '1995-10-01'",
    ),
    part=zerrow.Model("part", columns=["p_partkey", "p_type"]),
):
    """Query 14, with pandas: the share of a month's revenue that promoted parts make, in per cent."""
    sold = lines.to_pandas(types_mapper=pd.ArrowDtype)
    parts = part.to_pandas(types_mapper={pa.int64(): pd.ArrowDtype(pa.int64())}.get)
    joined = sold.merge(parts, left_on="l_partkey", right_on="p_partkey")
    promoted = joined["p_type"].astype(str).str.startswith("PROMO")
    share = 100.0 * float(joined.loc[promoted, "revenue"].sum()) / float(joined["revenue"].sum())
    return pd.DataFrame({"promo_revenue": [share]})


@zerrow.model()
def daily_revenue(lines=zerrow.Model("order_lines")):
    """Revenue by shipping day, with pyarrow; the days as a plain range that has no gaps."""
    days = lines.group_by("l_shipdate").aggregate([("revenue", "sum"), ("l_orderkey", "count")])
    first, last = (pc.min_max(days["l_shipdate"])[key].as_py() for key in ("min", "max"))
    calendar = [first + datetime.timedelta(days=day) for day in range((last - first).days + 1)]
    calendar = pa.table({"l_shipdate": pa.array(calendar, pa.date32())})
    return calendar.join(days, "l_shipdate").sort_by("l_shipdate")

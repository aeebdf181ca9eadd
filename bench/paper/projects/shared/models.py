"""Reports over the order lines and orders of TPC-H. Runs differ in the first day that counts; what they read is the
same, and so are some columns of the two reports over lines.
"""

import datetime

import pyarrow as pa
import pyarrow.compute as pc
import zerrow


def later(table, column, since):
    """The rows from a day on."""
    return table.filter(pc.greater_equal(table[column], pa.scalar(datetime.date.fromisoformat(since))))


@zerrow.model()
def quantity_by_day(
    lines=zerrow.Model("lineitem", columns=["l_shipdate", "l_quantity", "l_extendedprice"]),
    since=zerrow.Parameter("since"),
):
    """What is shipped each day."""
    lines = later(lines, "l_shipdate", since)
    return lines.group_by("l_shipdate").aggregate([("l_quantity", "sum"), ("l_extendedprice", "max")])


@zerrow.model()
def price_by_supplier(
    lines=zerrow.Model("lineitem", columns=["l_shipdate", "l_suppkey", "l_extendedprice"]),
    since=zerrow.Parameter("since"),
):
    """What each supplier ships."""
    return later(lines, "l_shipdate", since).group_by("l_suppkey").aggregate([("l_extendedprice", "sum")])


@zerrow.model()
def orders_by_day(
    orders=zerrow.Model("orders", columns=["o_orderdate", "o_totalprice"]), since=zerrow.Parameter("since")
):
    """What is ordered each day."""
    return later(orders, "o_orderdate", since).group_by("o_orderdate").aggregate([("o_totalprice", "sum")])


@zerrow.model()
def days(shipped=zerrow.Model("quantity_by_day"), ordered=zerrow.Model("orders_by_day")):
    """Ordered against shipped."""
    return ordered.join(shipped, "o_orderdate", "l_shipdate").sort_by("o_orderdate")

"""What one writes without zerrow: read the file, call the function, show the rows. Its argument is the file."""

import sys

import pyarrow.parquet as pq


def by_priority(orders):
    """Sums over a text column's values."""
    return orders.group_by("o_orderpriority").aggregate([("o_totalprice", "sum"), ("o_totalprice", "count")])


print(by_priority(pq.read_table(sys.argv[1], columns=["o_orderpriority", "o_totalprice"])).to_pylist())

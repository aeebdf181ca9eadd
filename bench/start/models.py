"""One model, and the same function for a script."""

import zerrow


@zerrow.model()
def by_priority(orders=zerrow.Model("orders", columns=["o_orderpriority", "o_totalprice"])):
    """Sums over a text column's values."""
    return orders.group_by("o_orderpriority").aggregate([("o_totalprice", "sum"), ("o_totalprice", "count")])

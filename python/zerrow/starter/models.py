"""The Python models of this project: functions that get tables and return one."""

import pyarrow.compute as pc
import zerrow


@zerrow.model()
def priced_orders(
    orders=zerrow.Model("orders", columns=["customer", "quantity", "price"]), price_min=zerrow.Parameter("price_min")
):
    """Orders with what they cost."""
    kept = orders.filter(pc.greater_equal(orders["price"], price_min))
    return kept.append_column("total", pc.multiply(kept["quantity"], kept["price"]))

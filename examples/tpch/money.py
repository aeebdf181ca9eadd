"""Sums of money as TPC-H counts them: exact decimals, never floats."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

MONEY = pa.decimal128(18, 4)


def discounted(price: pa.ChunkedArray, discount: pa.ChunkedArray) -> pa.ChunkedArray:
    """price * (1 - discount), exactly: two decimals of each give four."""
    one = pa.scalar(1, pa.decimal128(1, 0))
    return pc.multiply(price, pc.subtract(one, discount)).cast(MONEY)

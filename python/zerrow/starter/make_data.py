"""Makes the data that this project begins with: ten thousand orders of a hundred customers."""

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 10_000
FOLDER = Path(__file__).resolve().parent / "data"

chance = random.Random(1)
orders = pa.table(
    {
        "customer": [f"customer {chance.randrange(100):02}" for _ in range(ROWS)],
        "quantity": pa.array([chance.randint(1, 9) for _ in range(ROWS)], pa.int32()),
        "price": [chance.randint(100, 9999) / 100 for _ in range(ROWS)],
    }
)
FOLDER.mkdir(exist_ok=True)
pq.write_table(orders, FOLDER / "orders.part")
# The file appears when it is complete.
os.replace(FOLDER / "orders.part", FOLDER / "orders.parquet")

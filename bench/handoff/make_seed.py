"""A source of one row: a model needs an input."""

import pyarrow as pa
import pyarrow.parquet as pq

pq.write_table(pa.table({"seed": pa.array([7], pa.int64())}), "seed.parquet")

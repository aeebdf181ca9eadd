"""The work that a model might do with each library: builds a table whose buffers are all new."""

import sys
from typing import Any

LIBRARIES = ("pyarrow", "pandas", "polars", "duckdb", "datafusion")


def pyarrow(rows: int) -> Any:
    """Filter, cast to strings, sort and group by."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table({"a": np.arange(rows), "b": np.random.default_rng(1).random(rows)})
    kept = table.filter(pc.greater(table["b"], 0.3))
    ordered = kept.append_column("s", pc.cast(kept["a"], pa.string())).sort_by("b")
    grouped = ordered.group_by("a").aggregate([("b", "sum")])
    return pa.table([*ordered.columns, *grouped.columns], names=["a", "b", "s", "key", "sum"])


def pandas(rows: int) -> Any:
    """Strings, arithmetic and a filter, converted to Arrow."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame({"a": np.arange(rows), "s": [f"k{i % 1000}" for i in range(rows)]})
    frame["c"] = frame.a * 2.5
    return pa.Table.from_pandas(frame[frame.a % 3 != 0])


def polars(rows: int) -> Any:
    """Cast to strings, filter and sort."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    a = pl.col("a")
    frame = pl.DataFrame({"a": np.arange(rows)}).with_columns(
        (a % 1000).cast(pl.String).alias("s"), (a * 1.5).alias("c")
    )
    return pa.table(frame.filter(a % 3 != 0).sort("c", descending=True))


def duckdb(rows: int) -> Any:
    """A query fetched in large batches."""
    import duckdb

    query = duckdb.connect().sql(f"select range a, range * 1.5 b, 'key' || range % 1000 s from range({rows})")
    return query.to_arrow_reader(1_000_000).read_all()


def datafusion(rows: int) -> Any:
    """A query with a filter and a cast."""
    import datafusion
    import numpy as np
    import pyarrow as pa

    context = datafusion.SessionContext(datafusion.SessionConfig().with_batch_size(1_000_000))
    context.register_record_batches("t", [pa.table({"a": np.arange(rows)}).to_batches()])
    return context.sql("select a, a * 2 b, cast(a as varchar) s from t where a % 3 <> 0").to_arrow_table()


def make(library: str, rows: int) -> Any:
    """The table that the named library builds."""
    return getattr(sys.modules[__name__], library)(rows)

"""What sqlglot is told of the SQL that models and filters are written in."""

from sqlglot.dialects.duckdb import DuckDB


class DIALECT(DuckDB):
    """The widest dialect of those sqlglot knows that DataFusion's SQL looks like, and what both engines take beside."""

    class Tokenizer(DuckDB.Tokenizer):
        """Bytes are written as X'61'."""

        HEX_STRINGS = [("x'", "'"), ("X'", "'")]  # noqa: RUF012 (sqlglot's own way)

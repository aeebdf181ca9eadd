"""The dialect by which sqlglot reads the SQL of models and filters."""

from sqlglot.dialects.duckdb import DuckDB


class DIALECT(DuckDB):
    """The widest dialect of sqlglot's that DataFusion's SQL looks like, with the forms that both engines take
    beside."""

    class Tokenizer(DuckDB.Tokenizer):
        """Bytes are written as X'61'."""

        HEX_STRINGS = [("x'", "'"), ("X'", "'")]  # noqa: RUF012 (sqlglot's own way)

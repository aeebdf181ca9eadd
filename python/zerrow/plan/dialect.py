"""What sqlglot is told of the SQL that models and filters are written in."""

DIALECT = "duckdb"
"""The widest dialect of those sqlglot knows that DataFusion's SQL looks like."""

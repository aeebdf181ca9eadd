"""How DataFusion reads SQL here: alike for the queries of models and for predicates."""

from __future__ import annotations

from typing import Any


def configuration(cpus: int, batch_rows: int) -> Any:
    """A SessionConfig for so many threads and rows at once.

    Names of columns and tables are those of the Arrow tables, capitals included.
    """
    import datafusion

    return (
        datafusion.SessionConfig()
        .with_batch_size(batch_rows)
        .with_target_partitions(cpus)
        .set("datafusion.sql_parser.enable_ident_normalization", "false")
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
    )


def only_queries() -> Any:
    """The SQLOptions that refuse whatever is no query."""
    import datafusion

    return datafusion.SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)

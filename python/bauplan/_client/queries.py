"""Queries and scans: rows of a project's tables, as Arrow tables, rows or files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bauplan._client.arguments import check_ref, common, namespace_name, switch, table_name
from bauplan._client.caller import Caller
from bauplan._client.command import CommandTimeout
from bauplan._client.files import write_csv, write_json, write_parquet
from bauplan._client.filters import check_filter, quoted
from bauplan._client.results import Result
from bauplan._values.refs import Ref
from bauplan._values.tables import Namespace, Table
from bauplan.exceptions import BauplanQueryError, InvalidFilterError

if TYPE_CHECKING:
    import pyarrow


_SYNTAX_ERRORS = ("SQL syntax error", "ParserError")
"""What says of a text that it is no SQL."""


class Queries(Caller):
    """Reads tables."""

    def query(
        self,
        query: str,
        ref: str | Ref | None = None,
        max_rows: int | None = None,
        cache: str | bool | None = None,
        *,
        namespace: str | Namespace | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> pyarrow.Table:
        """The rows of a SQL query, as an Arrow table. Its memory is the result's file: nothing is copied.

        Raises BauplanQueryError when the query gives no rows to read, be it for its text or for a model it needs.
        """
        return self._result(query, ref, max_rows, cache, namespace, args, priority, client_timeout).table()

    def query_to_generator(
        self,
        query: str,
        ref: str | Ref | None = None,
        max_rows: int | None = None,
        cache: str | bool | None = None,
        *,
        namespace: str | Namespace | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The rows of a SQL query, one dictionary after the other."""
        result = self._result(query, ref, max_rows, cache, namespace, args, priority, client_timeout)
        return (row for batch in result.batches() for row in batch.to_pylist())

    def query_to_csv_file(
        self,
        path: str | os.PathLike[str],
        query: str,
        ref: str | Ref | None = None,
        max_rows: int | None = None,
        cache: str | bool | None = None,
        *,
        namespace: str | Namespace | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> Path:
        """Write the rows of a SQL query to a CSV file with a header. Lists and structs are JSON in it."""
        write_csv(self._result(query, ref, max_rows, cache, namespace, args, priority, client_timeout), Path(path))
        return Path(path)

    def query_to_json_file(
        self,
        path: str | os.PathLike[str],
        query: str,
        file_format: Literal["json", "jsonl"] = "json",
        ref: str | Ref | None = None,
        max_rows: int | None = None,
        cache: str | bool | None = None,
        *,
        namespace: str | Namespace | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> Path:
        """Write the rows of a SQL query as objects: in one JSON list, or as "jsonl" one a line.

        Moments are written as ISO 8601 has them, decimals as texts, bytes as hexadecimal digits.
        """
        if file_format not in ("json", "jsonl"):
            raise ValueError(f"file_format must be 'json' or 'jsonl', not {file_format!r}")
        result = self._result(query, ref, max_rows, cache, namespace, args, priority, client_timeout)
        write_json(result, Path(path), is_lines=file_format == "jsonl")
        return Path(path)

    def query_to_parquet_file(
        self,
        path: str | os.PathLike[str],
        query: str,
        ref: str | Ref | None = None,
        max_rows: int | None = None,
        cache: str | bool | None = None,
        *,
        namespace: str | Namespace | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> Path:
        """Write the rows of a SQL query to a Parquet file."""
        write_parquet(self._result(query, ref, max_rows, cache, namespace, args, priority, client_timeout), Path(path))
        return Path(path)

    def scan(
        self,
        table: str | Table,
        ref: str | Ref | None = None,
        columns: list[str] | None = None,
        filters: str | None = None,
        limit: int | None = None,
        cache: str | bool | None = None,
        *,
        namespace: str | Namespace | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
    ) -> pyarrow.Table:
        """Columns and rows of one table, as an Arrow table; `filters` is a condition in SQL.

        Raises ValueError for an empty list of columns and for a filter that is no condition, else as `query` does.
        """
        in_namespace, name = table_name(table, namespace)
        if columns is not None and not columns:
            raise ValueError("Empty column list: leave it out for all columns")
        wanted = "*" if columns is None else ", ".join("*" if each == "*" else quoted(each) for each in columns)
        source = quoted(name) if in_namespace is None else f"{quoted(in_namespace)}.{quoted(name)}"
        query = f"SELECT {wanted} FROM {source}"
        if filters is not None:
            check_filter(filters)
            query += f" WHERE ({filters}\n)"
        if limit is not None:
            query += f" LIMIT {_count('limit', limit)}"
        try:
            return self._result(query, ref, None, cache, namespace, args, priority, client_timeout).table()
        except BauplanQueryError as error:
            if filters is not None and any(sign in str(error) for sign in _SYNTAX_ERRORS):
                raise InvalidFilterError(f"Invalid SQL filter {filters!r}: {error}") from None
            raise

    def _result(
        self,
        query: str,
        ref: str | Ref | None,
        max_rows: int | None,
        cache: str | bool | None,
        namespace: str | Namespace | None,
        args: Mapping[str, object] | None,
        priority: int | None,
        client_timeout: float | None,
    ) -> Result:
        """Run a query, and open its result."""
        check_ref(ref)
        rows = None if max_rows is None else _count("max_rows", max_rows)
        if not isinstance(query, str) or "\0" in query:
            raise ValueError("the query must be a text of SQL")
        name = namespace_name(namespace)
        words = ["query", "-f", "-", "-p", str(self._project()), *(["-n", name] if name else [])]
        words += ["--no-cache"] if switch("cache", cache) == "off" else []
        words += common(args, priority)
        _check_pyarrow()
        # The file is mapped, and stays readable after its folder is gone.
        with tempfile.TemporaryDirectory(prefix="zerrow-query-") as folder:
            try:
                # The rows are read from the file: the report is to have none.
                answer = self._call(
                    *words, "--rows", "0", "--format", "arrow", "--export", folder, text=query,
                    client_timeout=client_timeout,
                )  # fmt: skip
            except CommandTimeout:
                raise BauplanQueryError(f"the query took longer than {client_timeout} s, and was stopped") from None
            if not answer.is_good:
                raise BauplanQueryError(answer.reason)
            return Result.open(Path(folder), rows)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more, not {value!r}")
    return value


def _check_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ImportError("tables come as pyarrow's: install pyarrow into this script's environment") from None

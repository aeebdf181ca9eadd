"""The tables that a project can read without running anything: those of its catalog, and its sources."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zerrow.errors import PlanError, ZerrowError
from zerrow.plan.catalog import Catalog, CatalogTable
from zerrow.plan.findings import Findings
from zerrow.plan.footer_reader import FooterReader
from zerrow.plan.host_files import OWN_FILES, HostFiles
from zerrow.plan.names import did_you_mean, namespace_of
from zerrow.plan.namespaces import DEFAULT
from zerrow.plan.partitioning import Partition
from zerrow.plan.project_file import ProjectFile, SourceDeclaration, read_project_file
from zerrow.plan.sources import read_sources


def list_tables(
    folder: str | Path,
    name: str | None = None,
    *,
    namespace: str | None = None,
    sources: Mapping[str, str] | None = None,
    host: HostFiles = OWN_FILES,
) -> dict[str, Any]:
    """All tables, with the catalog's folder; with a `name` that one, with its files and, of a source, its columns.

    Bare names mean tables of the `namespace`, else of the project's default one. Raises PlanError with all that is
    wrong.
    """
    findings = Findings()
    footers = FooterReader(host)
    try:
        file = read_project_file(Path(os.path.realpath(folder)), findings)
        for each, path in (sources or {}).items():
            file.sources[each] = SourceDeclaration(each, path, (), None)
        catalog = Catalog(str(file.folder), file.catalog, host)
        listing = _Listing(file, catalog, namespace, footers, findings, host)
        tables = listing.all() if name is None else [listing.one(name)]
        findings.raise_errors()
        return {"warehouse": catalog.warehouse, "tables": tables}
    except ZerrowError as error:
        if isinstance(error, PlanError):
            raise
        findings.errors.append(error)
        raise PlanError(findings.errors, findings.warnings) from None
    finally:
        footers.close()


class _Listing:
    def __init__(
        self,
        file: ProjectFile,
        catalog: Catalog,
        namespace: str | None,
        footers: FooterReader,
        findings: Findings,
        host: HostFiles,
    ) -> None:
        self._file = file
        self._catalog = catalog
        self._default = namespace or file.namespace or DEFAULT
        self._footers = footers
        self._findings = findings
        self._host = host

    def all(self) -> list[dict[str, Any]]:
        """Every table, sorted. A source hides a table of the catalog that has its name."""
        found = {self._full(name): _source_entry(self._full(name)) for name in self._file.sources}
        for name, table in self._catalog.tables.items():
            found.setdefault(name, _entry(table))
        return [found[name] for name in sorted(found)]

    def one(self, name: str) -> dict[str, Any]:
        """The table of a name. Raises ZerrowError where there is none."""
        source = next((each for each in self._file.sources if self._full(each) == self._full(name)), None)
        if source is not None:
            return self._source(source)
        table = self._catalog.table(self._full(name))
        if table is None:
            known = [*map(self._full, self._file.sources), *self._catalog.tables]
            hint = did_you_mean(self._full(name), known, "tables")
            raise ZerrowError(f"there is no table {self._full(name)!r}", code="unknown-table", hint=hint)
        paths = [os.path.join(self._catalog.warehouse, each["path"]) for each in table.data]
        return {**_entry(table), "paths": paths}

    def _full(self, name: str) -> str:
        return name if namespace_of(name) else f"{self._default}.{name}"

    def _source(self, name: str) -> dict[str, Any]:
        import base64

        import pyarrow as pa

        from zerrow.worker.table_fields import described

        self._footers.start()
        declared = self._file.sources[name]
        source = read_sources([declared], self._file, self._footers, self._findings, self._host)[name]
        entry = _source_entry(self._full(name))
        if source.schema is not None:
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(source.schema)))
            entry["fields"] = described(schema)
        entry["files"] = len(source.files)
        entry["bytes"] = sum(each["bytes"] for each in source.identities)
        return {**entry, "paths": list(source.files)}


def _entry(table: CatalogTable) -> dict[str, Any]:
    namespace, _, name = table.name.rpartition(".")
    return {
        "namespace": namespace,
        "name": name,
        "kind": "table",
        "rows": table.rows,
        "bytes": table.bytes,
        "files": table.files,
        "fields": table.fields,
        "partitioned_by": [str(Partition(**each)) for each in table.partitions],
        "updated_at_ns": table.updated_at_ns,
    }


def _source_entry(full: str) -> dict[str, Any]:
    namespace, _, name = full.rpartition(".")
    return {
        "namespace": namespace,
        "name": name,
        "kind": "source",
        "rows": None,
        "bytes": None,
        "files": 0,
        "fields": None,
        "partitioned_by": [],
        "updated_at_ns": None,
    }

"""The catalog as the planner sees it: the tables that earlier runs have published."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zerrow.errors import ZerrowError
from zerrow.plan.project_file import SourceDeclaration

if TYPE_CHECKING:
    from zerrow.plan.host_files import HostFiles

DEFAULT_PLACE = ".zerrow/warehouse"
"""The warehouse's folder in the project's, where neither the project file nor a variable names one."""


@dataclass(frozen=True)
class CatalogTable:
    """A table of the catalog. `fields` and `partitions` are as the catalog has them, `data` its files."""

    name: str
    rows: int
    bytes: int
    files: int
    updated_at_ns: int
    fields: list[dict[str, Any]]
    partitions: list[dict[str, Any]]
    data: list[dict[str, Any]] = field(default_factory=list)


class Catalog:
    """The tables of one catalog. It is read when somebody wants to know of them, and not before."""

    def __init__(self, folder: str, place: str | None, host: HostFiles) -> None:
        """`place` is what the project file in `folder` says; None: nothing."""
        self._place = os.path.normpath(os.path.join(folder, os.path.expanduser(place or DEFAULT_PLACE)))
        self._host = host
        self._warehouse: str | None = None
        self._tables: dict[str, CatalogTable] = {}

    def _read(self, names: Iterable[str] = ()) -> None:
        try:
            answer = self._host.catalog(self._place, names)
        except (OSError, ValueError) as error:
            raise ZerrowError(str(error), code="catalog", hint="see 'zerrow table --help'") from None
        self._warehouse = answer["warehouse"]
        for name, table in answer["tables"].items():
            if not self._tables.get(name) or table.get("data") is not None:
                self._tables[name] = _table(name, table)

    @property
    def places(self) -> list[str]:
        """The folders that are, or may be, the catalog's, as far as they are known."""
        return [self._place, *([] if self._warehouse is None else [self._warehouse])]

    @property
    def warehouse(self) -> str:
        """The catalog's folder, absolute, whether it is there or not. Raises ZerrowError."""
        if self._warehouse is None:
            self._read()
        assert self._warehouse is not None
        return self._warehouse

    @property
    def tables(self) -> dict[str, CatalogTable]:
        """The tables by their names, which have a namespace each. Raises ZerrowError."""
        if self._warehouse is None:
            self._read()
        return self._tables

    def table(self, name: str) -> CatalogTable | None:
        """A table with its files; None where there is none of that name. Raises ZerrowError."""
        if name in self.tables and not self._tables[name].data:
            self._read([name])
        return self._tables.get(name)

    def declaration(self, name: str) -> SourceDeclaration:
        """A table as a source: its files are known."""
        table = self.table(name)
        assert table is not None
        files = tuple(os.path.join(self.warehouse, each["path"]) for each in table.data)
        return SourceDeclaration(name, self.warehouse, (), None, None, None, files)


def _table(name: str, said: dict[str, Any]) -> CatalogTable:
    return CatalogTable(
        name,
        said["rows"],
        said["bytes"],
        said["files"],
        said["updated_at_ns"],
        said["fields"],
        said["partitions"],
        said.get("data") or [],
    )

"""Tables of a catalog, and their namespaces."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone

from bauplan._values.words import TableKind

_TYPES = {
    "bool": "boolean",
    "int8": "int",
    "int16": "int",
    "int32": "int",
    "int64": "long",
    "uint8": "int",
    "uint16": "int",
    "uint32": "long",
    "uint64": "long",
    "float": "float",
    "halffloat": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "binary_view": "binary",
    "date32[day]": "date",
    "date64[ms]": "date",
}
"""The names of types in a lakehouse, by Arrow's."""

_IDS = uuid.UUID("4b5e3a4c-6a55-4c1e-9a0e-6d1f3f0a7f11")


@dataclass(frozen=True)
class Namespace:
    """A namespace: what the first part of a table's whole name is."""

    name: str


@dataclass(frozen=True)
class TableField:
    """A column of a table; `type` is named as lakehouses do, such as "long" or "timestamptz"."""

    id: int
    name: str
    required: bool
    type: str


@dataclass(frozen=True)
class PartitionField:
    """What a table's files are divided by."""

    name: str
    transform: str


@dataclass(frozen=True)
class Table:
    """A table of the catalog; what nobody has counted is None."""

    name: str
    namespace: str
    kind: TableKind = TableKind.Table
    records: int | None = None
    size: int | None = None
    last_updated_at: datetime | None = None
    fields: list[TableField] = field(default_factory=list)
    partitions: list[PartitionField] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    metadata_location: str = ""
    snapshots: int | None = None
    current_schema_id: int | None = None
    current_snapshot_id: int | None = None

    @property
    def id(self) -> uuid.UUID:
        """The same for the same whole name."""
        return uuid.uuid5(_IDS, self.fqn)

    @property
    def fqn(self) -> str:
        """The whole name, with its namespace."""
        return f"{self.namespace}.{self.name}"

    def is_managed(self) -> bool:
        """Whether the catalog keeps its files."""
        return self.kind is TableKind.Table

    def is_external(self) -> bool:
        """Whether its files are somebody else's, which the project names as a source."""
        return self.kind is TableKind.ExternalTable


def table_of(entry: dict) -> Table:
    """A table as the command lists it."""
    moment = entry.get("updated_at_ns")
    return Table(
        name=entry["name"],
        namespace=entry.get("namespace") or "",
        kind=TableKind.ExternalTable if entry.get("kind") == "source" else TableKind.Table,
        records=entry.get("rows"),
        size=entry.get("bytes"),
        last_updated_at=None if moment is None else datetime.fromtimestamp(moment / 1e9, timezone.utc),
        fields=[
            TableField(number, each["name"], bool(each.get("required")), lakehouse_type(each["type"]))
            for number, each in enumerate(entry.get("fields") or [], 1)
        ],
        partitions=[partition_of(text) for text in entry.get("partitioned_by") or []],
    )


def partition_of(text: str) -> PartitionField:
    """A partition that is written as `day(at)`, or as the name of a column."""
    transform, bracket, column = text.partition("(")
    if not bracket:
        return PartitionField(text.strip(), "identity")
    return PartitionField(column.rstrip(") ").strip(), transform.strip().lower())


def lakehouse_type(arrow: str) -> str:
    """The name of a type of Arrow's in a lakehouse; one that has no other name keeps its own."""
    if arrow.startswith("timestamp["):
        return "timestamptz" if "tz=" in arrow else "timestamp"
    if arrow.startswith(("decimal128(", "decimal256(")):
        return "decimal" + arrow[len("decimal128") :]
    if arrow.startswith(("time32[", "time64[")):
        return "time"
    if arrow.startswith("dictionary<values="):
        return lakehouse_type(arrow[len("dictionary<values=") :].partition(",")[0])
    return _TYPES.get(arrow, arrow)

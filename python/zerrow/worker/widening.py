"""Moments in a coarser unit than a schema says, put into that unit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_UNITS = ("s", "ms", "us", "ns")


def widened(table: pa.Table, contract: dict[str, Any] | None) -> pa.Table:
    """The table, with every column of moments in the finer unit that the contract names for it.

    No moment changes by that, nor its zone. A column with a moment that the finer unit does not reach is left as it
    is, and so is everything else that differs, for the check that follows to tell.
    """
    for column in contract["columns"] if contract is not None else ():
        index = table.schema.get_field_index(column["name"])
        if index < 0:
            continue
        field = table.schema.field(index)
        finer = _finer(field.type, column["type"])
        if finer is None:
            continue
        try:
            values = table.column(index).cast(finer)
        except pa.ArrowInvalid:
            continue
        table = table.set_column(index, field.with_type(finer), values)
    return table


def _finer(kind: pa.DataType, wanted: str | None) -> pa.DataType | None:
    """The type that Arrow calls `wanted`, if it is `kind` in a finer unit."""
    if not pa.types.is_timestamp(kind):
        return None
    zone = "UTC" if kind.tz in ("+00:00", "Etc/UTC", "Z") else kind.tz
    finer = (pa.timestamp(unit, zone) for unit in _UNITS[_UNITS.index(kind.unit) + 1 :])
    return next((each for each in finer if str(each) == wanted), None)

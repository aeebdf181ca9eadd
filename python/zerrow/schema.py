"""The columns of a table as a class says them: what a model's result must have, or what a reader takes of a table.

The planner reads these classes from the source; a worker that imports them needs no more than their names.
"""

from __future__ import annotations

import typing


class ColumnType:
    """The type of a column, required as it stands; `Int64 | None` is one that may be null.

    `arrow` is the name of Arrow's type, None for any.
    """

    arrow: typing.ClassVar[str | None] = None


class Any(ColumnType):
    """A type that is not checked."""


class Bool(ColumnType):
    """True or false."""

    arrow = "bool"


class Int32(ColumnType):
    """An integer of 32 bits."""

    arrow = "int32"


class Int64(ColumnType):
    """An integer of 64 bits."""

    arrow = "int64"


class Float64(ColumnType):
    """A floating-point number of 64 bits."""

    arrow = "double"


class Decimal128(ColumnType):
    """A number of so many decimal digits, and of them so many after the point: `Decimal128[38, 10]`."""

    def __class_getitem__(cls, digits: object) -> type[Decimal128]:
        """The type of one precision and one scale, which may be written as `Literal[38], Literal[10]` as well.

        The planner has refused all that are none.
        """
        both = digits if isinstance(digits, tuple) else (digits,)
        plain = ", ".join(str((typing.get_args(each) or (each,))[0]) for each in both)
        return type(f"Decimal128[{plain}]", (cls,), {"arrow": f"decimal128({plain})"})


class String(ColumnType):
    """A text."""

    arrow = "string"


class Binary(ColumnType):
    """Bytes."""

    arrow = "binary"


class Date32(ColumnType):
    """A day."""

    arrow = "date32[day]"


class Date64(ColumnType):
    """A day, kept in milliseconds."""

    arrow = "date64[ms]"


class TimestampMicro(ColumnType):
    """A moment in microseconds, without a zone."""

    arrow = "timestamp[us]"


class TimestampNano(ColumnType):
    """A moment in nanoseconds, without a zone."""

    arrow = "timestamp[ns]"


class TimestampMicroUTC(ColumnType):
    """A moment in microseconds, in UTC."""

    arrow = "timestamp[us, tz=UTC]"


class TimestampNanoUTC(ColumnType):
    """A moment in nanoseconds, in UTC."""

    arrow = "timestamp[ns, tz=UTC]"


TYPES = {
    kind.__name__: kind.arrow
    for kind in (
        Any, Bool, Int32, Int64, Float64, String, Binary, Date32, Date64, TimestampMicro, TimestampNano,
        TimestampMicroUTC, TimestampNanoUTC,
    )
}  # fmt: skip
"""The names of all types, with Arrow's, but for decimals: theirs has a precision and a scale."""

DECIMAL = Decimal128.__name__
DIGITS_MAX = 38


class TableField:
    """Says more of a column than its type: `name` where it differs from the attribute's, `doc` a description, `lineage`
    where it comes from.

    `title` and `nullable` are of an older spelling.
    """

    def __init__(
        self,
        name: str | None = None,
        doc: str | None = None,
        lineage: object = None,
        *,
        title: str | None = None,
        nullable: bool | None = None,
        **others: object,
    ) -> None:
        self.name = name
        self.doc = doc
        self.lineage = lineage
        self.title = title
        self.nullable = nullable


class TableSchema:
    """The base of classes that name a table's columns: `class Trip(TableSchema): fare: Float64 | None`."""

    def __class_getitem__(cls, column: str) -> object:
        """The annotation of a column, by which another schema names where its own comes from."""
        try:
            return cls.__annotations__[column]
        except KeyError:
            known = ", ".join(cls.__annotations__)
            raise KeyError(f"{cls.__name__} has no column {column!r}, but {known}") from None

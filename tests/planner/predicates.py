"""Random tables and random predicates over them, from a seed: values and literals at the edges of every type."""

from __future__ import annotations

import datetime
import decimal
import random
import struct

import pyarrow as pa

Decimal = decimal.Decimal
NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))[0]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 2.5, float("nan"), NEGATIVE_NAN, float("inf"), -float("inf"), 1e308, -1e308]
FLOATS += [5e-324, 16777217.0, 9007199254740993.0]
TEXTS = ["", "a", "A", "ab", "abc", "b", "ba", "a%", "a_c", "a\\", "it's", "ü", "zz", "\x00", "\U0001f600", "10", "9"]
TEXTS += ["x" * 70, "x" * 70 + "y"]
DAY = datetime.date(2024, 2, 29)
DAYS = [DAY, *(datetime.date(*day) for day in ((2024, 3, 1), (2023, 12, 31), (1970, 1, 1), (1900, 1, 1)))]
SECOND = 10**9
NANOSECONDS = [
    0,
    1,
    -1,
    1704067200_123456789,
    1704067200_123456000,
    1704067200 * SECOND,
    1709164800 * SECOND,
    -(10**18),
]

INTS = {f"i{bits}": pa.type_for_alias(f"int{bits}") for bits in (8, 16, 32, 64)}
INTS |= {f"u{bits}": pa.type_for_alias(f"uint{bits}") for bits in (8, 16, 32, 64)}
DECIMALS = {"n9": pa.decimal128(9, 2), "n15": pa.decimal128(15, 4)}
DECIMALS |= {"n38": pa.decimal128(38, 10), "n380": pa.decimal128(38, 0)}
MOMENTS = {
    "ts": pa.timestamp("s"),
    "tms": pa.timestamp("ms"),
    "tus": pa.timestamp("us"),
    "tns": pa.timestamp("ns"),
    "zus": pa.timestamp("us", "UTC"),
    "zns": pa.timestamp("ns", "Europe/Rome"),
}


def int_range(kind: pa.DataType) -> tuple[int, int]:
    bits = kind.bit_width
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, 2**bits - 1)


def int_values(kind: pa.DataType) -> list[int]:
    low, high = int_range(kind)
    wanted = [0, 1, -1, 2, 3, 5, 10, 100, low, low + 1, high, high - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 16777217]
    return [value for value in wanted if low <= value <= high]


def decimal_values(kind: pa.DataType) -> list[Decimal]:
    top = Decimal(10**kind.precision - 1)
    context = decimal.Context(prec=60)
    tiny = Decimal(1)
    whole = (Decimal(0), tiny, -tiny, Decimal(5), Decimal(50), Decimal(100), top, top.copy_negate())
    return [value.scaleb(-kind.scale, context) for value in whole]


def table(chance: random.Random, rows: int) -> pa.Table:
    """A table of every type, nulls among its values."""

    def some(values: list, kind: pa.DataType) -> pa.Array:
        return pa.array([None if chance.random() < 0.15 else chance.choice(values) for _ in range(rows)], kind)

    columns: dict[str, pa.Array] = {"row": pa.array(range(rows), pa.int32())}
    for name, kind in INTS.items():
        columns[name] = some(int_values(kind), kind)
    for name, kind in DECIMALS.items():
        columns[name] = some(decimal_values(kind), kind)
    columns["f64"] = some(FLOATS, pa.float64())
    narrow = [value for value in FLOATS if abs(value) < 3e38 or value != value or abs(value) == float("inf")]
    columns["f32"] = some(narrow, pa.float32())
    columns["s"] = some(TEXTS, pa.string())
    columns["ls"] = some(TEXTS, pa.large_string())
    columns["k"] = some(TEXTS, pa.string()).dictionary_encode()
    columns["d"] = some(DAYS, pa.date32())
    for name, kind in MOMENTS.items():
        per_unit = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
        columns[name] = some([value // per_unit for value in NANOSECONDS], pa.int64()).view(kind)
    columns["b"] = some([True, False], pa.bool_())
    return pa.table(columns)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Predicates:
    """Makes predicates over the columns of `table`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def predicate(self, depth: int = 0) -> str:
        """A predicate: comparisons joined by and, or and not."""
        roll = self._chance.random()
        if depth < 3 and roll < 0.35:
            joint = self._chance.choice([" and ", " or "])
            count = self._chance.choice([2, 2, 3, 4])
            return "(" + joint.join(self.predicate(depth + 1) for _ in range(count)) + ")"
        if depth < 3 and roll < 0.5:
            return f"not ({self.predicate(depth + 1)})"
        return self._comparison()

    def _comparison(self) -> str:
        columns = [*INTS, *DECIMALS, "f64", "f32", "f64", "f32", "s", "ls", "k", "d", *MOMENTS, "b"]
        column = self._chance.choice(columns)
        literal = self._literal
        forms = ["compare"] * 4 + ["flip", "between", "between", "in", "in", "null", "columns", "sum", "cast"]
        form = self._chance.choice(forms + (["like", "like"] if column in ("s", "ls", "k") else []))
        op = self._chance.choice(["=", "<>", "!=", "<", "<=", ">", ">="])
        no = self._chance.choice(["", "not "])
        match form:
            case "compare":
                return f"{column} {op} {literal(column)}"
            case "flip":
                return f"{literal(column)} {op} {column}"
            case "between":
                return f"{column} {no}between {literal(column)} and {literal(column)}"
            case "in":
                members = [literal(column) for _ in range(self._chance.choice([1, 2, 3, 4, 7]))]
                members += ["null"] if self._chance.random() < 0.2 else []
                return f"{column} {no}in ({', '.join(members)})"
            case "null":
                return f"{column} is {no}null"
            case "like":
                return f"{column} {no}like {quoted(self._pattern())}"
            case "columns":
                return f"{column} {op} {self._chance.choice(self._alike(column))}"
            case "sum":
                numbers = [*INTS, *DECIMALS, "f64", "f32"]
                left = self._chance.choice(numbers)
                right = self._chance.choice(["2", "3", "0.5"])
                return f"{left} {self._chance.choice('+-*/')} {right} {op} {literal(left)}"
            case _:
                to = self._chance.choice(["int", "bigint", "double", "varchar", "decimal(9,1)"])
                numbers = [*INTS, "f64", *DECIMALS]
                number = self._chance.choice(["4.7", "0.05", "5", "1e3"])
                return f"{self._chance.choice(numbers)} {op} cast({number} as {to})"

    def _alike(self, column: str) -> list[str]:
        numbers = [*INTS, *DECIMALS, "f64", "f32"]
        for family in (numbers, ["s", "ls", "k"], [*MOMENTS], ["d"], ["b"]):
            if column in family:
                return family
        return [column]

    def _pattern(self) -> str:
        pieces = ["a", "b", "%", "_", "\\", "x", "ü", "'", "A"]
        count = self._chance.choice([1, 2, 3])
        return "".join(self._chance.choice(pieces) for _ in range(count)) + self._chance.choice(["", "%"])

    def _literal(self, column: str) -> str:
        chance = self._chance
        if column in INTS:
            low, high = int_range(INTS[column])
            every = [str(value) for value in int_values(INTS[column])]
            odd = [str(high + 1), str(low - 1), "1.5", "-0.5", "1e3", "300", "-1", "5 - 3", "2.0"]
            return chance.choice([*every, *every, *odd])
        if column in DECIMALS:
            every = [format(value, "f") for value in decimal_values(DECIMALS[column])]
            return chance.choice([*every, "0.05", "0.005", "1", "-3", "0.06 + 0.01", "1e-2", "123456789.125"])
        if column in ("f64", "f32"):
            every = [repr(value) for value in FLOATS if value == value and abs(value) != float("inf")]
            special = ["cast('NaN' as double)", "cast('inf' as double)"]
            return chance.choice([*every, "0", "1", "-1", "-0.0", "2", "1e400", "100000000000000000000", *special])
        if column in ("s", "ls", "k"):
            return quoted(chance.choice([*TEXTS, "aa", "c"]))
        if column == "d":
            day = chance.choice(DAYS)
            moved = f"date '{day}' {chance.choice('+-')} interval '{chance.choice(['1 day', '1 month', '3 year'])}'"
            return chance.choice([quoted(str(day)), f"date '{day}'", moved, f"timestamp '{day} 00:00:00'"])
        if column in MOMENTS:
            return self._moment(column)
        return chance.choice(["true", "false"])

    def _moment(self, column: str) -> str:
        nanoseconds = self._chance.choice(NANOSECONDS)
        seconds, rest = divmod(nanoseconds, 10**9)
        text = str(datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds))
        digits = self._chance.choice([0, 3, 6, 9])
        if digits:
            text += "." + f"{rest:09}"[:digits]
        if column.startswith("z"):
            return quoted(text + self._chance.choice(["", "Z", "+02:00"]))
        return self._chance.choice([quoted(text), f"timestamp '{text}'", quoted(text[:10])])

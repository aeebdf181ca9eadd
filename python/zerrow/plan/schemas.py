"""The TableSchema classes of a file, read from its syntax tree."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from zerrow.plan.call_reader import CallReader, boolean, text, words
from zerrow.plan.names import did_you_mean
from zerrow.plan.spelling import Spelling, unquoted
from zerrow.schema import DECIMAL, DIGITS_MAX, TYPES

_PLAIN_TYPES = {"int": "Int64", "float": "Float64", "str": "String", "bool": "Bool", "bytes": "Binary"}
_FIELD_OPTIONS = ("name", "doc", "title", "nullable")


@dataclass(frozen=True)
class SchemaColumn:
    """A column. `type` is Arrow's name of its type, None for any; `doc` is what people are told of it."""

    name: str
    type: str | None
    is_nullable: bool
    doc: str | None = None


@dataclass(frozen=True)
class Schema:
    """A class that names a table's columns, in their order."""

    name: str
    file: str
    line: int
    columns: tuple[SchemaColumn, ...]
    doc: str | None = None


def read_schemas(tree: ast.Module, spelling: Spelling, calls: CallReader, file: str) -> dict[str, Schema]:
    """The schemas that classes at the top level of a file are, by name. Errors go to the findings of `calls`."""
    schemas: dict[str, Schema] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(spelling.declaration(base) == "TableSchema" for base in node.bases):
            columns = [_column(each, node.name, spelling, calls) for each in node.body if _is_column(each)]
            known = tuple(each for each in columns if each)
            schemas[node.name] = Schema(node.name, file, node.lineno, known, ast.get_docstring(node))
            if not columns:
                calls.error("bad-schema", f"the schema {node.name!r} names no column", None, node.lineno)
    return schemas


def _is_column(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _column(node: ast.stmt, schema: str, spelling: Spelling, calls: CallReader) -> SchemaColumn | None:
    assert isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    name, is_nullable, doc = node.target.id, False, None
    annotation = unquoted(node.annotation)
    inside = None if annotation is None else spelling.optional(annotation)
    if inside is not None and spelling.annotated(inside) is not None:
        calls.error(
            "bad-schema",
            f"the column {name!r} of the schema {schema!r}: only the data type may be marked optional",
            None,
            node.lineno,
            "write Annotated[… | None, …]",
        )
        annotation = inside
    parts = spelling.annotated(annotation) or [annotation]
    kind = parts[0]
    for part in [*parts[1:], *([node.value] if node.value is not None else [])]:
        if isinstance(part, ast.Call) and spelling.declaration(part.func) == "TableField":
            # The lineage names columns of other schemas, and is for people.
            plain = ast.Call(part.func, part.args, [each for each in part.keywords if each.arg != "lineage"])
            field = ast.copy_location(plain, part)
            for keyword in plain.keywords:
                if keyword.arg not in _FIELD_OPTIONS:
                    message = f"Unexpected TableField parameter: {keyword.arg}"
                    hint = did_you_mean(str(keyword.arg), _FIELD_OPTIONS, "parameters")
                    calls.error("bad-argument", message, None, part.lineno, hint)
            plain.keywords = [each for each in plain.keywords if each.arg in _FIELD_OPTIONS]
            options = calls.literals(field, _FIELD_OPTIONS, schema, "TableField")
            name = calls.option(options, "name", "a text", schema, text) or name
            doc = calls.option(options, "doc", "a text", schema, words) or doc
            is_nullable = bool(calls.option(options, "nullable", "True or False", schema, boolean)) or is_nullable
    optional = None if kind is None else spelling.optional(kind)
    if optional is not None:
        kind, is_nullable = optional, True
    type_name = spelling.column_type(kind)
    if type_name in TYPES:
        # A column of any type is passed on as it is, nulls included.
        return SchemaColumn(name, TYPES[type_name], is_nullable or TYPES[type_name] is None, doc)
    digits = spelling.decimal_digits(kind)
    if digits is not None and 1 <= digits[0] <= DIGITS_MAX and 0 <= digits[1] <= digits[0]:
        return SchemaColumn(name, f"decimal128({digits[0]}, {digits[1]})", is_nullable, doc)
    _no_type(kind, name, schema, spelling, calls, node.lineno)
    return None


def _no_type(kind: ast.expr | None, name: str, schema: str, spelling: Spelling, calls: CallReader, line: int) -> None:
    shown = "" if kind is None else ast.unparse(kind)[:60]
    base = kind.value if isinstance(kind, ast.Subscript) else kind
    if base is not None and spelling.declaration(base) == DECIMAL:
        hint = f"write {DECIMAL}[precision, scale]: a precision of 1 to {DIGITS_MAX}, a scale of 0 to the precision"
    else:
        hint = did_you_mean(_PLAIN_TYPES.get(shown, shown.rpartition(".")[2]), [*TYPES, DECIMAL], "types")
    message = f"the column {name!r} of the schema {schema!r} has the type {shown}, which is none of a schema's"
    calls.error("bad-schema", message, None, line, hint)

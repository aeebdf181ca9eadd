"""The names by which one file declares models: what they stand for, through imports and other names for them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from zerrow import authoring, schema

FAMILIES = {"zerrow": "zerrow", "bauplan": "bauplan", "bpln_sdk": "bauplan"}
"""Modules whose names are declarations, each with the one whose rules hold for it."""

NODES = ("model", "expectation")
"""Decorators that make a function a node of the graph."""
SETTINGS = ("python", "resources", "extras")
"""Decorators that say more of such a function."""
MARKS = ("Model", "Parameter")
"""Marks of a function's arguments."""

_ANNOTATED = ("typing.Annotated", "typing_extensions.Annotated")
_ANY = ("typing.Any", "typing_extensions.Any")
_OPTIONAL = ("typing.Optional", "typing_extensions.Optional")
_LITERAL = ("typing.Literal", "typing_extensions.Literal")
_FOLLOWED = (*FAMILIES, "typing", "typing_extensions")
_NAMES = [*NODES, *SETTINGS, *MARKS, "TableSchema", "TableField", *schema.TYPES, schema.DECIMAL]

assert all(hasattr(authoring, name) for name in (*NODES, *SETTINGS, *MARKS))


class Spelling:
    """What the names of one file stand for, as far as declarations are made with them."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        """`nodes` are all of the file's."""
        self._paths: dict[str, str] = {}
        self.aliases: set[int] = set()
        """The ids of expressions that only give a declaration another name."""
        self._types: dict[str, ast.expr | None] = {}
        # An id is a node's for as long as the node is there.
        self._kept: list[ast.expr] = []
        assigned: list[tuple[str, ast.expr]] = []
        for node in nodes:
            match node:
                case ast.Import():
                    for alias in node.names:
                        self._import(alias)
                case ast.ImportFrom(module=str(module), level=0):
                    for alias in node.names:
                        self._import_from(module, alias)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                    assigned.append((name, value))
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    assigned.append((name, value))
                case _ if (named := _type_statement(node)) is not None:
                    assigned.append(named)
        self._follow(assigned)
        self._name_types(assigned)

    def _import(self, alias: ast.alias) -> None:
        root = alias.name.partition(".")[0]
        if root in _FOLLOWED:
            self._paths[alias.asname or root] = alias.name if alias.asname else root

    def _import_from(self, module: str, alias: ast.alias) -> None:
        if module.partition(".")[0] not in _FOLLOWED:
            return
        if alias.name == "*":
            self._paths.update({name: f"{module}.{name}" for name in _NAMES if module in FAMILIES})
        else:
            self._paths[alias.asname or alias.name] = f"{module}.{alias.name}"

    def _follow(self, assigned: list[tuple[str, ast.expr]]) -> None:
        """Other names, such as `bp = bauplan`, also for names that are such themselves."""
        more = True
        while more:
            more = False
            for name, value in assigned:
                path = self.path(value) or _imported_module(value)
                if path is not None and path.partition(".")[0] in FAMILIES and name not in self._paths:
                    self._paths[name] = path
                    self.aliases.add(id(value))
                    more = True

    def _name_types(self, assigned: list[tuple[str, ast.expr]]) -> None:
        """Names for annotations, such as `Trips = Annotated[Table, Model("trips")]`. One given twice is none."""
        for name, value in assigned:
            self._types[name] = None if name in self._types else value
        for value in self._types.values():
            for part in self.annotated(value) or () if value is not None else ():
                if self.mark(part) is not None:
                    self.aliases.add(id(part))
                    self._kept.append(part)

    @property
    def declares(self) -> bool:
        """Whether the file could declare anything."""
        return any(path.partition(".")[0] in FAMILIES for path in self._paths.values())

    def path(self, node: ast.expr) -> str | None:
        """The dotted path that a name, with attributes, stands for; None for what is followed no further."""
        if isinstance(node, ast.Attribute):
            base = self.path(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return self._paths.get(node.id) if isinstance(node, ast.Name) else None

    def declaration(self, node: ast.expr) -> str | None:
        """The declaration that an expression stands for, such as "Model"; None for anything else."""
        root, _, name = (self.path(node) or "").partition(".")
        return name if root in FAMILIES and name in _NAMES else None

    def family(self, node: ast.expr) -> str:
        """The module whose rules hold for a declaration."""
        return FAMILIES[(self.path(node) or "zerrow").partition(".")[0]]

    def is_unknown(self, node: ast.expr) -> bool:
        """Whether an expression is a name of a declaring module that is no declaration."""
        root, _, name = (self.path(node) or "").partition(".")
        return root in FAMILIES and bool(name) and "." not in name and name not in _NAMES

    def mark(self, node: ast.expr) -> ast.expr | None:
        """What marks an argument: the `Model` of `Model("…")`, the `Parameter` of `Parameter("…")` or of
        `Parameter.name`; None for what is no mark."""
        if isinstance(node, ast.Call):
            return node.func if self.declaration(node.func) in MARKS else None
        if isinstance(node, ast.Attribute) and self.declaration(node.value) == "Parameter":
            return node.value
        return None

    def column_type(self, node: ast.expr | None) -> str | None:
        """The name of the type of a schema's column; None for what is none. `typing.Any` is any, too."""
        if node is None:
            return None
        return "Any" if self.path(node) in _ANY else self.declaration(node)

    def decimal_digits(self, node: ast.expr | None) -> tuple[int, int] | None:
        """The precision and the scale of `Decimal128[38, 10]`, whose numbers may be written as `Literal[38]`; None for
        anything else."""
        if not isinstance(node, ast.Subscript) or self.declaration(node.value) != schema.DECIMAL:
            return None
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
        literal = [one.slice for one in parts if isinstance(one, ast.Subscript) and self.path(one.value) in _LITERAL]
        plain = literal if len(literal) == len(parts) else parts
        digits = [part.value for part in plain if isinstance(part, ast.Constant) and type(part.value) is int]
        return (digits[0], digits[1]) if len(digits) == len(parts) == 2 else None

    def annotated(self, node: ast.expr | None) -> list[ast.expr] | None:
        """The parts of `Annotated[…]`, also under a name that the file gives it; None for anything else. A text counts
        as what is in it."""
        node = unquoted(node)
        seen: set[str] = set()
        while isinstance(node, ast.Name) and node.id not in seen and self._types.get(node.id) is not None:
            seen.add(node.id)
            node = unquoted(self._types[node.id])
        if isinstance(node, ast.Subscript) and self.path(node.value) in _ANNOTATED:
            return list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        return None

    def optional(self, node: ast.expr) -> ast.expr | None:
        """The type that `… | None` or `Optional[…]` makes optional; None for anything else."""
        if isinstance(node, ast.Subscript) and self.path(node.value) in _OPTIONAL:
            return node.slice
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(other, ast.Constant) and other.value is None:
                    return one
        return None


def unquoted(node: ast.expr | None) -> ast.expr | None:
    """An annotation as an expression, also where it is written as a text."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return node
    try:
        inner = ast.parse(node.value.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return node
    for part in ast.walk(inner):
        if hasattr(part, "lineno"):
            ast.copy_location(part, node)
    return inner


def _type_statement(node: ast.AST) -> tuple[str, ast.expr] | None:
    """The name and the type of `type X = …`, which only newer Pythons read."""
    if type(node).__name__ != "TypeAlias" or not isinstance(node.name, ast.Name):  # type: ignore[attr-defined]
        return None
    return node.name.id, node.value  # type: ignore[attr-defined]


def last_name(node: ast.expr) -> str | None:
    """The last part of a dotted name, or of the name that is called."""
    node = node.func if isinstance(node, ast.Call) else node
    return getattr(node, "attr", None) or getattr(node, "id", None)


def _imported_module(node: ast.expr) -> str | None:
    """The module that `importlib.import_module("…")` or `__import__("…")` gives."""
    match node:
        case ast.Call(args=[ast.Constant(value=str(module)), *_]) if last_name(node) in ("import_module", "__import__"):
            return module
    return None

"""The meaning of the names in a Python file, followed through its imports and assignments."""

from __future__ import annotations

import ast
from collections.abc import Callable

from zerrow import pieces
from zerrow.plan.world_names import MODULES

OWN = "="
"""The beginning of the path of a module of the project's own."""


class Names:
    """What the names of one file stand for, as dotted paths: `np` for `numpy`, `clock` for `time.time`."""

    def __init__(self, tree: ast.Module, qualify: Callable[[str], str | None]) -> None:
        """`qualify` gives the project's own name for a module as the file imports it; None for others'."""
        self.paths: dict[str, set[str]] = {}
        self.stars: list[str] = []
        self.bound: set[str] = set()
        self.texts: dict[str, set[str]] = {}
        self.made_by: dict[str, list[ast.Call]] = {}
        self._assigned: list[tuple[str, ast.expr]] = []
        for node in pieces.nodes(tree):
            match node:
                case ast.Import():
                    for alias in node.names:
                        # `import a.b` gives a, `import a.b as c` gives a.b.
                        path = alias.name if alias.asname else alias.name.partition(".")[0]
                        # The folder of a module of the project needs no __init__.py.
                        own = qualify(path) or (qualify(alias.name) and f"{OWN}{path}")
                        self._give(alias.asname or path, own or path)
                case ast.ImportFrom():
                    self._import_from(node, qualify)
                case ast.Name(ctx=ast.Store()):
                    self.bound.add(node.id)
                case ast.arg():
                    self.bound.add(node.arg)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self.bound.add(node.name)
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    if node.value is not None:
                        self._assigned.append((name, node.value))
                case ast.NamedExpr(target=ast.Name(id=name)):
                    self._assigned.append((name, node.value))
        for name, value in self._assigned:
            self._assign(name, value)

    def _give(self, name: str, path: str) -> None:
        self.paths.setdefault(name, set()).add(path)
        self.bound.add(name)

    def _import_from(self, node: ast.ImportFrom, qualify: Callable[[str], str | None]) -> None:
        written = "." * node.level + (node.module or "")
        module = qualify(written) or ("" if node.level else written)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
                continue
            joint = "" if written.endswith(".") else "."
            own = qualify(f"{written}{joint}{alias.name}")  # a module itself
            self._give(alias.asname or alias.name, own or f"{module}.{alias.name}")

    def _assign(self, name: str, value: ast.expr) -> None:
        for part in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                self.texts.setdefault(name, set()).add(part.value)
            elif isinstance(part, ast.Call):
                self.made_by.setdefault(name, []).append(part)
            if isinstance(part, ast.Name | ast.Attribute | ast.Call):
                for path in self.of(part):
                    self.paths.setdefault(name, set()).add(path)

    def of(self, node: ast.expr) -> set[str]:
        """The paths that an expression may stand for; none where its text doesn't tell."""
        match node:
            case ast.Name(id=name):
                if name in self.bound:
                    return self.paths.get(name, set())
                # Nothing here gives it: somebody may put a module there.
                own = {name} if name in MODULES else set()
                return own | {f"{star}.{name}" for star in self.stars}
            case ast.Attribute(value=value, attr=attribute):
                return {f"{path}.{attribute}" for path in self.of(value)}
            case ast.NamedExpr(value=value):
                return self.of(value)
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(attribute)), *_]):
                return {f"{path}.{attribute}" for path in self.of(value)}
            case ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(value=str(module)), *_]):
                return {module.partition(".")[0]}
            case ast.Call(func=function, args=[ast.Constant(value=str(module)), *_]):
                return {module} if "importlib.import_module" in self.of(function) else set()
            case ast.Subscript(value=value, slice=ast.Constant(value=str(text))):
                return self._looked_up(value, text)
        return set()

    def _looked_up(self, value: ast.expr, text: str) -> set[str]:
        if "sys.modules" in self.of(value):
            return {text}
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "vars" and value.args:
            return {f"{path}.{text}" for path in self.of(value.args[0])}
        if isinstance(value, ast.Attribute) and value.attr == "__dict__":
            return {f"{path}.{text}" for path in self.of(value.value)}
        return set()

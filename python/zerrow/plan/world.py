"""The things that a Python file asks the world for: the time, chance, its surroundings, the network.

It is told by the names that the text uses, followed through imports and other names for them.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from zerrow.plan import world_names as names
from zerrow.plan.aliases import OWN, Names

_SQL = re.compile(r"\b(?:select|from)\b", re.IGNORECASE)
_SQL_METHODS = frozenset(
    {"sql", "query", "execute", "executemany", "from_query", "query_df", "project", "filter", "aggregate", "select"}
    | {"order", "sql_expr", "selectExpr", "parse_sql_expr", "SQLExpression", "sqlexpr"}
)
_SQL_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?(?:\*/|\Z)""", re.DOTALL)
_SQL_CALL = re.compile(r"\b(\w+)\s*\(")
_SQL_AGE = re.compile(r"\bage\s*\((?:[^(),]|\([^()]*\))*\)", re.IGNORECASE)
"""With one argument it is the age today."""
_SQL_NOW = re.compile(r"'now'", re.IGNORECASE)
_TIME_ALONE = re.compile(r"\s*\d{1,2}:\d\d(:\d\d(\.\d*)?)?\s*([ap]\.?m\.?)?\s*\Z", re.IGNORECASE)
"""A time of day without a date, which pandas takes for one of today."""
_SQL_SAMPLE = re.compile(r"\b(?:tablesample|using\s+sample)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_TEXT_LENGTH_MAX = 1 << 20


class Mention(NamedTuple):
    """Something that asks the world, and the line that does."""

    what: str
    line: int


class World:
    """Finds what statements of one file ask for."""

    def __init__(self, own: Names, resolve: Callable[[str], set[str]], is_outside: Callable[[str], bool]) -> None:
        """`resolve` follows a path into the project's own modules; `is_outside` tells of a path of files."""
        self._names = own
        self._resolve = resolve
        self._is_outside = is_outside
        self.seeded: set[str] = set()
        """The functions of SEEDED that the statements looked at call with a seed."""
        self.makes_sql = False
        """Whether they put SQL together: then any text may be a part of it."""
        self.looks_up = False
        """Whether they look up names in a module of the project that the text doesn't tell."""
        self.parts: list[Mention] = []
        """The mentions that count if they are part of such a query."""
        self._found: list[Mention] = []
        self._functions: set[str] = set()

    def mentions(self, statement: ast.stmt) -> list[Mention]:
        """The things that a statement asks for, in the text's order."""
        self._found = []
        self._pending: list[ast.AST] = [statement]
        while self._pending:  # code may be nested more deeply than calls can be
            self._look(self._pending.pop())
        return sorted(self._found, key=lambda found: found.line)

    def _add(self, what: str, node: ast.AST) -> None:
        self._found.append(Mention(what, getattr(node, "lineno", 0)))

    def _visit(self, node: ast.AST) -> None:
        self._pending.append(node)

    def _look(self, node: ast.AST) -> None:
        match node:
            case ast.Call():
                self._call(node)
                return
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()) | ast.Subscript(ctx=ast.Load()):
                if self._reference(node):
                    return
            case ast.Constant(value=str(text)):
                self._text(text, node, "")
            case ast.Expr(value=ast.Constant()):
                return  # documentation
        for child in ast.iter_child_nodes(node):
            self._visit(child)

    def _paths(self, node: ast.expr) -> set[str]:
        return {resolved for path in self._names.of(node) for resolved in self._resolve(path)}

    def _reference(self, node: ast.expr) -> bool:
        """Notes a name that counts without being called; whether nothing of it is left to look at."""
        paths = self._paths(node)
        if isinstance(node, ast.Name) and node.id in names.BUILTINS and not paths and node.id not in self._names.bound:
            self._add(node.id, node)
            return True
        for path in paths:
            if what := _mentioned(path, is_called=False):
                self._add(what, node)
                return True
            is_now = path.rpartition(".")[2] in names.METHODS_OF_NOW and "." in path and path[0] != OWN
            if path in names.MODULES or is_now:
                self._add(path, node)
                return True
        if isinstance(node, ast.Subscript):
            return False
        if isinstance(node, ast.Attribute) and not self._names.of(node):
            self._visit(node.value)
        return True

    def _call(self, call: ast.Call) -> None:
        function = call.func
        paths = self._paths(function)
        noted = [what for path in sorted(paths) if (what := self._called(path, call))]
        if noted:
            self._add(noted[0], call)
        elif isinstance(function, ast.Name) and not paths:
            self._builtin(function.id, call)
        elif isinstance(function, ast.Attribute):
            self._method(function, paths, call)
        if isinstance(function, ast.Attribute) and not self._names.of(function):
            self._visit(function.value)
        elif not isinstance(function, ast.Name | ast.Attribute):
            self._visit(function)
        method = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if method in ("sql", "query", "execute") and call.args and not isinstance(call.args[0], ast.Constant):
            self.makes_sql = True
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if method == "FunctionExpression" and isinstance(first, str) and first.lower() in names.SQL_WORDS:
            self._add(f"{first}()", call)
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self._text(argument.value, argument, method)
            elif isinstance(argument, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else " x " for part in argument.values)
                self._text(text, argument, method)
                for part in argument.values:
                    if not isinstance(part, ast.Constant):
                        self._visit(part)
            else:
                self._visit(argument)

    def _called(self, path: str, call: ast.Call) -> str | None:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        is_given = bool(given) and not _is_none(given)
        if is_given and any(path in seeds for seeds in names.SEEDED.values()):
            self.seeded.add(path)
        if path in names.GENERATORS:
            return None if is_given else path
        if path == "gzip.compress":
            return path if not any(keyword.arg == "mtime" for keyword in call.keywords) else None
        if path in ("dateutil.parser.parse", "dateutil.parser.parser"):
            return path if not self._says_a_year(call) else None
        if path in names.TIMES_FROM_NOW:
            return path if len(call.args) < names.TIMES_FROM_NOW[path] and not _is_unpacked(call) else None
        if path == "pyarrow.compute.random":
            return path if not any(keyword.arg == "initializer" for keyword in call.keywords) else None
        last = path.rpartition(".")[2]
        text = self._says_now(call) if path.partition(".")[0] in ("numpy", "pandas") else None
        if text is not None and (text.strip().lower() in names.NOW or last in names.MOMENTS):
            return f"{path}({text!r})"
        if last in names.METHODS_OF_NOW and path[0] != OWN:
            return path
        if path.startswith(names.EXPRESSIONS) and last in names.SQL_WORDS:
            return path
        if path in ("operator.attrgetter", "operator.methodcaller") and self._says_now(call):
            return f"{path}({self._says_now(call)!r})"
        return _mentioned(path, is_called=True)

    def _says_now(self, call: ast.Call) -> str | None:
        """A text among the arguments, or in a list there, that numpy and pandas take for the present."""
        pending = [*call.args, *(keyword.value for keyword in call.keywords)]
        while pending:
            match pending.pop():
                case ast.Constant(value=str(text)) if text.strip().lower() in names.NOW or _TIME_ALONE.match(text):
                    return text
                case ast.Name(id=name):
                    for text in self._names.texts.get(name, ()):
                        if text.strip().lower() in names.NOW:
                            return text
                case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                    pending += parts
        return None

    def _says_a_year(self, call: ast.Call) -> bool:
        """Whether a text that is parsed has all of a date, or what it lacks is given."""
        if any(keyword.arg == "default" for keyword in call.keywords):
            return True
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        return isinstance(first, str) and re.search(r"\d{4}", first) is not None

    def _builtin(self, name: str, call: ast.Call) -> None:
        if name in names.BUILTINS and name not in self._names.bound:
            self._add(name, call)
        elif name == "getattr" and len(call.args) > 1 and not isinstance(call.args[1], ast.Constant):
            paths = self._paths(call.args[0])
            self.looks_up |= any(path[:1] == OWN for path in paths)
            for path in paths & names.LOOKED_INTO:
                self._add(path, call)
        elif name in ("eval", "exec") and call.args and isinstance(call.args[0], ast.Constant):
            try:
                tree = ast.parse(str(call.args[0].value))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return
            inner = World(self._names, self._resolve, self._is_outside)
            inner_names = Names(tree, lambda _: None)
            for name_, paths in inner_names.paths.items():
                self._names.paths.setdefault(name_, set()).update(paths)
            for statement in tree.body:
                for found in inner.mentions(statement):
                    self._add(found.what, call)

    def _method(self, function: ast.Attribute, paths: set[str], call: ast.Call) -> None:
        """A method of something whose type the text doesn't tell."""
        if paths:  # a function of a module, which was looked up
            return
        name, keywords = function.attr, {keyword.arg for keyword in call.keywords}
        is_own = isinstance(function.value, ast.Name) and function.value.id in ("self", "cls")
        if name in names.METHODS_OF_NOW and not is_own:
            self._add(_text_of(function), call)
        elif name in names.METHODS_OF_CHANCE and not is_own:
            generator = self._is_seeded(function.value)
            is_given = bool(keywords & names.SEED_WORDS) or None in keywords or _is_unpacked(call)
            # rng.shuffle(x) and random.Random(7).sample(x, 3) say what they choose from.
            positional_max = 4 if name == "sample" else 0
            if not is_given and not generator and len(call.args) <= positional_max:
                self._add(_text_of(function), call)
        elif name == "rank" and "seed" not in keywords:
            if any(isinstance(each.value, ast.Constant) and each.value.value == "random" for each in call.keywords):
                self._add(_text_of(function) + "(method='random')", call)
        elif name == "expanduser":
            self._add(_text_of(function), call)

    def _is_seeded(self, node: ast.expr) -> bool:
        """Whether a generator of random numbers was made with a seed, as far as the text tells."""
        made = self._names.made_by.get(node.id, []) if isinstance(node, ast.Name) else [node]
        return bool(made) and all(
            isinstance(call, ast.Call) and call.args + call.keywords and self._paths(call.func) & names.GENERATORS
            for call in made
        )

    def _text(self, text: str, node: ast.AST, method: str) -> None:
        if len(text) > _TEXT_LENGTH_MAX:
            return
        if text[:1] == "/" and self._is_outside(text):
            self._add(f"the path {text[:80]!r}", node)
        elif len(text) > 4 and (method in _SQL_METHODS or _SQL.search(text)):
            if what := sql_mention(text, method):
                self._add(f"{what} in SQL", node)
            for path in re.findall(r"'(/[^'\n]+)'", text):
                if self._is_outside(path):
                    self._add(f"the path {path[:80]!r}", node)
        elif what := sql_mention(text):
            self.parts.append(Mention(f"{what} in SQL", getattr(node, "lineno", 0)))


def sql_mention(text: str, method: str = "") -> str | None:
    """The first word of a text that asks the world, if the text is SQL, or an expression given to a method for SQL."""
    plain = _SQL_QUOTED.sub(lambda found: "''" if found[0][0] in "'\"" else " ", text)
    for call in _SQL_CALL.findall(plain):
        if call.lower() in names.SQL_WORDS:
            return f"{call.lower()}()"
    if _SQL_AGE.search(plain):
        return "age()"
    if _SQL_NOW.search(text) and (_SQL.search(plain) or method in _SQL_METHODS):
        return "'now'"
    if sample := _SQL_SAMPLE.search(plain):
        return sample[0].lower()
    # One word alone is a column, but for the methods of DuckDB's relations.
    is_column = _WORD.fullmatch(plain.strip()) is not None and method not in ("project", "aggregate")
    if _SQL.search(plain) is None and (method not in _SQL_METHODS or is_column):
        return None
    return next((word for word in map(str.lower, _WORD.findall(plain)) if word in names.SQL_BARE_WORDS), None)


def unseeded(mentions: list[Mention], seeded: set[str]) -> list[Mention]:
    """The mentions but for those of chance that is seeded."""
    beginnings = [prefix for prefix, seeds in names.SEEDED.items() if seeded & set(seeds)]
    return [
        each
        for each in mentions
        if each.what in names.UNSEEDED or not any(each.what.startswith(prefix) for prefix in beginnings)
    ]


def _mentioned(path: str, is_called: bool) -> str | None:
    """The part of a path that counts, if any does; a longer path is an attribute of the one it begins with."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if name in names.MENTIONED or name in names.TORCH_CHANCE or name.startswith(names.BEGINNINGS):
            return name
        if name in names.HARMLESS or name in names.NO_CHANCE:
            return None
        if name in names.GENERATORS or name in names.TIMES_FROM_NOW:
            # Named for its type only, as a rule; a function of the time may be called elsewhere.
            return name if name in names.TIMES_FROM_NOW and not is_called else None
        module, _, function = name.rpartition(".")
        if module in ("random", "numpy.random") and function[:1].islower():
            return name
    last = parts[-1]
    below = any(path.startswith(f"{module}.") for module in names.BELOW)
    return path if below and not last.isupper() and (is_called or not last[:1].isupper()) else None


def _is_none(arguments: list[ast.expr]) -> bool:
    return len(arguments) == 1 and isinstance(arguments[0], ast.Constant) and arguments[0].value is None


def _is_unpacked(call: ast.Call) -> bool:
    return any(isinstance(argument, ast.Starred) for argument in call.args)


def _text_of(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
    except RecursionError:
        text = f"….{getattr(node, 'attr', '')}"
    return text if len(text) <= 60 else f"….{text.rpartition('.')[2][:58]}"


def outside(folder: str, environment: tuple[str, ...]) -> Callable[[str], bool]:
    """Tells whether a text is the path of something outside of the project and of what is installed."""
    inside = tuple(os.path.join(each, "") for each in (folder, *environment, "/usr", "/lib", "/lib64", "/bin", "/tmp"))

    def is_outside(text: str) -> bool:
        if len(text) < 2 or len(text) > 4096 or "\n" in text or "\0" in text or text in ("/tmp", "/dev/null"):
            return False
        # A pattern's folder stands for what it finds.
        path = re.split(r"[*?\[{]", text)[0] if re.search(r"[*?\[{]", text) else text
        path = path.rstrip("/") or "/"
        return path != "/" and not os.path.join(path, "").startswith(inside) and os.path.exists(path)

    return is_outside


_ROOTS = frozenset(path.partition(".")[0] for path in (*names.MENTIONED, *names.BELOW, *names.EXPRESSIONS, "torch")) - {
    "datetime"
}


def words_of(paths: dict[str, set[str]]) -> Iterator[str]:
    """The names by which a file may ask the world, of all that it gives; the project's own modules may ask anything."""
    for name, found in paths.items():
        for path in found:
            is_asking = path[:1] == OWN or path.partition(".")[0] in _ROOTS or path.startswith("numpy.random")
            if is_asking or _mentioned(path, is_called=False):
                yield name

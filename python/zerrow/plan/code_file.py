"""A Python file of a project as code: its statements, what they name, and which a model can do without."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import decode_source

from zerrow import pieces
from zerrow.plan import world_names
from zerrow.plan.aliases import Names
from zerrow.plan.python_file import SourceText
from zerrow.plan.spelling import MARKS, NODES, SETTINGS, last_name
from zerrow.plan.world import Mention, World, words_of

_WORD = re.compile(r"\w+")

_READING_WORDS = frozenset(
    {
        "open", "exec", "eval", "compile", "globals", "vars", "locals", "__dict__", "__import__", "__loader__",
        "importlib", "imp", "runpy", "pkgutil", "zipimport", "inspect", "linecache", "getsource", "subprocess",
        "multiprocessing", "joblib", "cloudpickle", "dill", "exec_module", "modules", "addsitedir", "listdir",
        "scandir", "walk", "iterdir", "glob", "rglob", "iglob", "riglob", "read_text", "read_bytes", "ctypes", "cffi",
        "stat", "lstat", "fstat", "getmtime", "getctime", "getsize", "sys", "os", "py", "sql", "yml", "yaml",
    }
)  # fmt: skip
"""The text has at least one of these words wherever `_READS_CODE` finds something."""

_LOOKING_WORDS = frozenset(
    {"eval", "exec", "globals", "vars", "locals", "__dict__", "inspect", "modules", "cloudpickle", "dill", "runpy"}
)
"""Words of code that may call functions which it doesn't name."""

_READS_CODE = re.compile(
    r"""\b(?:open|exec|eval|(?<!re\.)compile|globals|vars|locals|__dict__|__import__|__loader__|importlib|imp|runpy|pkgutil|zipimport
    |inspect|linecache|getsource|subprocess|multiprocessing|joblib|cloudpickle|dill|exec_module|modules|addsitedir
    |listdir|scandir|walk|iterdir|r?i?glob|read_text|read_bytes|ctypes|cffi
    |[lf]?stat|getmtime|getctime|getsize)\b
    |\bsys\s*\.\s*path\b|\bos\s*\.\s*(?:exec|spawn|popen|system|open)|\.(?:py|sql|ya?ml)\b""",
    re.VERBOSE,
)
"""Words of code that may load other code of the project, or read its text."""


@dataclass
class Statement:
    """A statement at the top level of a file."""

    text: str
    words: frozenset[str]
    modules: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    """The names that it gives, where it does nothing else of its own: a function, a class, imports."""
    names: frozenset[str] = frozenset()
    """The words that may name other statements; tables that a model reads are no such words."""
    optional: str | None = None
    """The model's function that it defines, if other models can do without it."""
    asks: list[Mention] = field(default_factory=list)
    seeds: frozenset[str] = frozenset()
    looks_up: bool = False
    """Whether it may call functions that it doesn't name."""
    makes_sql: bool = False
    parts: list[Mention] = field(default_factory=list)
    """The things that it asks for if it is part of the SQL that some statement makes."""

    @cached_property
    def digest(self) -> bytes:
        """A hash that stands for the text."""
        return hashlib.blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    @cached_property
    def reads_code(self) -> bool:
        """Whether it may read the project's text, or load code that it doesn't name."""
        return bool(self.words & _READING_WORDS) and _READS_CODE.search(self.text) is not None


class CodeFile:
    """One file, read once."""

    def __init__(
        self,
        name: str,
        path: str,
        text: SourceText,
        functions: set[str],
        qualify: Callable[[str, str], str | None],
        resolve: Callable[[str], set[str]],
        is_outside: Callable[[str], bool],
    ) -> None:
        """`functions` are those of the file's models; the rest is for World."""
        self.name, self.path, self.source = name, path, text.source
        self._qualify, self._resolve, self._is_outside = qualify, resolve, is_outside
        self.tree = text.tree or self._parse()
        self.statements = self._statements(functions)
        self.optional = {index: each.optional for index, each in enumerate(self.statements) if each.optional}
        self._needed = self._summary([each for each in self.statements if not each.optional])

    def _parse(self) -> ast.Module | None:
        try:
            return pieces.parse(self.source, self.path)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None  # the worker will say so

    @cached_property
    def names(self) -> Names:
        """The meaning of the names in it."""
        tree = self.tree or ast.Module([], [])
        return Names(tree, lambda module: self._qualify(module, self.name))

    def _statements(self, functions: set[str]) -> list[Statement]:
        if self.tree is None:
            text = self.source.decode("latin-1")  # nothing is lost
            words = frozenset(_WORD.findall(text))
            return [Statement(text, words, names=words)]
        lines = decode_source(self.source).split("\n")
        body = self.tree.body
        # `global` at the top level is about all of the file.
        is_whole = any(isinstance(node, ast.Global) for node in body)
        found = []
        for node in body:
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            text = "\n".join(lines[first - 1 : node.end_lineno])
            words = frozenset(_WORD.findall(text))
            modules = tuple(dict.fromkeys(_modules(node))) if words & _IMPORT_WORDS else ()
            statement = Statement(text, words, modules, names=words)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not decorators:
                statement.gives = (node.name,)
            elif isinstance(node, ast.Import | ast.ImportFrom) and all(alias.name != "*" for alias in node.names):
                statement.gives = tuple(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            if not is_whole and getattr(node, "name", None) in functions and _is_optional(node):
                statement.optional = node.name
                statement.names = _names(node, lines, words)
            found.append(statement)
        return found

    @cached_property
    def asking(self) -> list[int]:
        """The statements that ask the world for something, which is noted with them, or that seed chance."""
        if self.tree is None:
            # Another Python may be able to run what this one can't even read.
            self.statements[0].asks = [Mention("syntax that this Python doesn't know", 1)]
            return [0]
        imports = [node for node, each in self._nodes() if each.words & _IMPORT_WORDS]
        if not self._may_ask(Names(ast.Module(imports, []), lambda module: self._qualify(module, self.name))):
            return []
        world = World(self.names, self._resolve, self._is_outside)
        chosen = {id(each) for each in self._may_ask(self.names)}
        for node, statement in self._nodes():
            if id(statement) in chosen:
                world.seeded, world.parts = set(), []
                world.makes_sql = world.looks_up = False
                statement.asks = world.mentions(node)
                statement.seeds = frozenset(world.seeded)
                statement.makes_sql, statement.parts = world.makes_sql, world.parts
                statement.looks_up = world.looks_up or bool(statement.words & _LOOKING_WORDS)
        return [index for index, each in enumerate(self.statements) if _is_asking(each)]

    def _nodes(self) -> Iterator[tuple[ast.stmt, Statement]]:
        assert self.tree is not None
        return zip(self.tree.body, self.statements, strict=True)

    def _may_ask(self, names: Names) -> list[Statement]:
        """The statements with a word that asking takes; most have none, and are not looked at further."""
        words = world_names.WORDS | world_names.MODULES | _LOOKING_WORDS | frozenset(words_of(names.paths))
        return [each for each in self.statements if each.words & words or names.stars or _MAY_ASK.search(each.text)]

    @staticmethod
    def _summary(statements: list[Statement]) -> tuple[frozenset[str], tuple[str, ...], bool]:
        words = frozenset().union(*(each.names for each in statements))
        modules = tuple(dict.fromkeys(module for each in statements for module in each.modules))
        return words, modules, any(each.reads_code for each in statements)

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, name in self.optional.items():
            found.setdefault(name, []).append(index)
        return found

    def kept_for(self, function: str) -> set[int]:
        """The optional statements that a model's function needs: its own, and those that some statement names."""
        kept: set[int] = set()
        pending = [function, *(self._by_name.keys() & self._needed[0])]
        while pending:
            for index in self._by_name.get(pending.pop(), ()):
                if index not in kept:
                    kept.add(index)
                    pending += self.statements[index].names & self._by_name.keys()
        return kept

    def statements_of(self, kept: set[int] | None) -> Iterator[Statement]:
        """Its statements in their order, without optional ones that aren't kept; None keeps all."""
        for index, each in enumerate(self.statements):
            if kept is None or index in kept or index not in self.optional:
                yield each

    def modules(self, kept: set[int] | None) -> Iterable[str]:
        """The modules that it imports. A name that is imported from a module may be one itself."""
        more = self.optional if kept is None else kept
        others = (module for index in more for module in self.statements[index].modules)
        return dict.fromkeys([*self._needed[1], *others])

    def reads_code(self, kept: set[int] | None) -> bool:
        """Whether it may read the project's text, or load code that it doesn't name."""
        more = self.optional if kept is None else kept
        return self._needed[2] or any(self.statements[index].reads_code for index in more)

    def digest(self, kept: set[int] | None) -> str:
        """A hash that stands for its statements in their order."""
        digests = b"".join(each.digest for each in self.statements_of(kept))
        return hashlib.blake2b(digests, digest_size=16).hexdigest()


def _is_asking(statement: Statement) -> bool:
    return bool(statement.asks or statement.seeds or statement.makes_sql or statement.parts)


_IMPORT_WORDS = frozenset({"import", "__import__", "import_module"})
_MAY_ASK = re.compile(r"""["']/|\b(?:select|from)\b\W|\bsql|\b(?:id|input)\s*[(,)]""", re.IGNORECASE)
"""Every statement that asks the world in SQL, by a function of Python's own or for a file elsewhere, has one of
these."""


def _is_optional(node: ast.stmt) -> bool:
    """Whether defining a model's function does nothing that others could notice."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.decorator_list:
        return False
    if len(node.decorator_list) > 1 and not all(last_name(each) in (*NODES, *SETTINGS) for each in node.decorator_list):
        return False
    arguments = node.args
    defaults = [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    notes = [each.annotation for each in every if each is not None and each.annotation is not None]
    notes += [node.returns] if node.returns is not None else []
    return all(map(_is_declaration, defaults)) and not any(
        isinstance(part, ast.Call | ast.Await | ast.NamedExpr) and not _is_mark(part)
        for note in notes
        for part in ast.walk(note)
    )


def _names(node: ast.FunctionDef, lines: list[str], words: frozenset[str]) -> frozenset[str]:
    """The words of a model's function, without those of its decorator and of its inputs."""
    first = node.body[0]
    start = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", []))])
    signature = [*node.args.defaults, *node.args.kw_defaults, node.args, node.returns]
    signature_end = max((each.end_lineno for each in signature if hasattr(each, "end_lineno")), default=node.lineno)
    if start <= max(signature_end, node.lineno):
        return words
    parts = (*ast.walk(node.args), *ast.walk(node.returns or ast.Pass()))
    notes = {part.id for part in parts if isinstance(part, ast.Name)}
    # Within it, the names of its arguments are these; an argument is often called like the model that it is.
    arguments = {part.arg for part in parts if isinstance(part, ast.arg)}
    return frozenset({*_WORD.findall("\n".join(lines[start - 1 : node.end_lineno]))} - arguments | notes)


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and last_name(node) in MARKS


def _is_declaration(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _is_mark(node)
    return isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.UnaryOp)


def _modules(statement: ast.stmt) -> Iterable[str]:
    """The modules that a statement imports, or a part of it. A name imported from a module may be a module itself."""
    for node in ast.walk(statement):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = "." * node.level + (node.module or "")
                yield base
                joint = "" if base.endswith(".") or not base else "."
                yield from (f"{base}{joint}{alias.name}" for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if module and (
                getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            ) in ("import_module", "__import__"):
                yield module

"""A Python file of a project as code: its statements, what they name, and which a model can do without."""

from __future__ import annotations

import ast
import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import decode_source

from zerrow import pieces
from zerrow.plan import world_names
from zerrow.plan.aliases import Names
from zerrow.plan.needs import Needs, Runs, within
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
        self.places = list(self.optional)
        """The optional statements' places among all; what is kept of them is told by their numbers in this list."""
        self.others = [each for each in self.statements if not each.optional]

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
            first, last = pieces.lines_of(node)
            text = "\n".join(lines[first - 1 : last])
            words = frozenset(_WORD.findall(text))
            modules = tuple(dict.fromkeys(_modules(node))) if words & _IMPORT_WORDS else ()
            statement = Statement(text, words, modules, names=words)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not decorators:
                statement.gives = (node.name,)
            elif isinstance(node, ast.Import | ast.ImportFrom) and all(alias.name != "*" for alias in node.names):
                statement.gives = tuple(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            if not is_whole and getattr(node, "name", None) in functions and _is_optional(node):
                statement.optional = node.name
                statement.names = _names(node, lines)
            found.append(statement)
        return found

    @cached_property
    def _asking(self) -> tuple[list[int], list[int]]:
        """The statements that ask the world for something, which is noted with them, or that seed chance.

        The places of those that aren't optional, and the numbers of those that are.
        """
        if self.tree is None:
            # Another Python may be able to run what this one can't even read.
            self.statements[0].asks = [Mention("syntax that this Python doesn't know", 1)]
            return [0], []
        imports = [node for node, each in self._nodes() if each.words & _IMPORT_WORDS]
        if not self._may_ask(Names(ast.Module(imports, []), lambda module: self._qualify(module, self.name))):
            return [], []
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
        asking = [index for index, each in enumerate(self.statements) if _is_asking(each)]
        numbers = {place: number for number, place in enumerate(self.places)}
        optional = [numbers[index] for index in asking if index in numbers]
        return [index for index in asking if index not in numbers], optional

    def asking(self, kept: Runs | None) -> list[Statement]:
        """The statements that ask the world for something, or that seed chance, in their order."""
        others, optional = self._asking
        more = optional if kept is None else within(optional, kept)
        return [self.statements[place] for place in sorted([*others, *(self.places[number] for number in more)])]

    def _nodes(self) -> Iterator[tuple[ast.stmt, Statement]]:
        assert self.tree is not None
        return zip(self.tree.body, self.statements, strict=True)

    def _may_ask(self, names: Names) -> list[Statement]:
        """The statements with a word that asking takes; most have none, and are not looked at further."""
        words = world_names.WORDS | world_names.MODULES | _LOOKING_WORDS | frozenset(words_of(names.paths))
        return [each for each in self.statements if each.words & words or names.stars or _MAY_ASK.search(each.text)]

    @cached_property
    def _optional(self) -> list[Statement]:
        return [self.statements[place] for place in self.places]

    @cached_property
    def _needs(self) -> Needs:
        always = frozenset().union(*(each.names for each in self.others))
        return Needs(list(self.optional.values()), [each.names for each in self._optional], always)

    @cached_property
    def _importing(self) -> list[int]:
        """The numbers of optional statements that import modules."""
        return [number for number, each in enumerate(self._optional) if each.modules]

    @cached_property
    def _reading(self) -> list[int]:
        """The numbers of optional statements that may read the project's text."""
        return [number for number, each in enumerate(self._optional) if each.reads_code]

    @cached_property
    def _always_imports(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(module for each in self.others for module in each.modules))

    @cached_property
    def _always_reads(self) -> bool:
        return any(each.reads_code for each in self.others)

    def kept_for(self, function: str) -> Runs:
        """The optional statements that a model's function needs: its own, and those that some statement names."""
        return self._needs.of(function)

    def statements_of(self, kept: Runs) -> list[Statement]:
        """The optional statements that are kept."""
        return [each for start, end in kept for each in self._optional[start:end]]

    @property
    def all(self) -> Runs:
        """The numbers of all optional statements."""
        return ((0, len(self.places)),) if self.places else ()

    def modules(self, kept: Runs | None) -> tuple[str, ...]:
        """The modules that it imports. A name that is imported from a module may be one itself."""
        more = self._importing if kept is None else within(self._importing, kept)
        others = [module for number in more for module in self._optional[number].modules]
        return tuple(dict.fromkeys([*self._always_imports, *others])) if others else self._always_imports

    def reads_code(self, kept: Runs | None) -> bool:
        """Whether it may read the project's text, or load code that it doesn't name."""
        more = self._reading if kept is None else within(self._reading, kept)
        return self._always_reads or next(iter(more), None) is not None

    @cached_property
    def source_digest(self) -> str:
        """A hash that stands for the bytes of the file."""
        return hashlib.blake2b(self.source).hexdigest()

    @cached_property
    def _whole_digest(self) -> str:
        return _hash(each.digest for each in self.statements)

    @cached_property
    def _others_digest(self) -> bytes:
        return _hash(each.digest for each in self.others).encode()

    @cached_property
    def _entries(self) -> bytes:
        """An entry for each optional statement: its hash, and how many of the others come before it."""
        before = (place - number for number, place in enumerate(self.places))
        return b"".join(map(_ENTRY.pack, before, (each.digest for each in self._optional)))

    def digest(self, kept: Runs | None) -> str:
        """A hash that stands for its statements in their order, without optional ones that aren't kept.

        What isn't kept has no part in it, neither by its text nor by its place.
        """
        if kept is None:
            return self._whole_digest
        view = memoryview(self._entries)
        return _hash([self._others_digest, *(view[start * _ENTRY.size : end * _ENTRY.size] for start, end in kept)])


_ENTRY = struct.Struct("<Q16s")


def _hash(parts: Iterable[bytes | memoryview]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest()


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


def _names(node: ast.FunctionDef, lines: list[str]) -> frozenset[str]:
    """The words of a model's function, without those of its decorator and of its inputs."""
    first = node.body[0]
    start, _ = pieces.lines_of(first)
    body = lines[start - 1 : node.end_lineno]
    if not getattr(first, "decorator_list", []):
        # It may begin on the line of the inputs. Its column counts bytes.
        body[0] = body[0].encode()[first.col_offset :].decode()
    words = frozenset(_WORD.findall("\n".join(body)))
    signature = [node.args, node.returns or ast.Pass(), *getattr(node, "type_params", [])]
    parts = [part for each in signature for part in ast.walk(each)]
    notes = {part.id for part in parts if isinstance(part, ast.Name)}
    if words & _OUTER_WORDS:
        return words | notes
    # Within it, the names of its arguments are these; an argument is often called like the model that it is.
    return words - {part.arg for part in parts if isinstance(part, ast.arg)} | notes


_OUTER_WORDS = frozenset({"global", "class", "__globals__"})
"""Words of code in which the name of an argument may mean something else: what the module calls so."""


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

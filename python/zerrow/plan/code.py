"""The code of Python models: what of the project's text a model's function can run, as far as the text tells."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from zerrow.plan.declarations import PythonModel

_WORD = re.compile(r"\w+")
_LINE_END = re.compile(r"\r\n|\r|\n")

_READS_CODE = re.compile(
    r"""\b(?:open|exec|eval|(?<!re\.)compile|globals|vars|locals|__dict__|__import__|__loader__|importlib|imp|runpy|pkgutil|zipimport
    |inspect|linecache|getsource|subprocess|multiprocessing|joblib|cloudpickle|dill|exec_module|modules|addsitedir
    |listdir|scandir|walk|iterdir|r?i?glob|read_text|read_bytes|ctypes|cffi)\b
    |\bsys\s*\.\s*path\b|\bos\s*\.\s*(?:exec|spawn|popen|system|open)|\.(?:py|sql|ya?ml)\b""",
    re.VERBOSE,
)
"""Words of code that may load other code of the project, or read its text."""

_ASKS_THE_WORLD = re.compile(r"\.\s*(?:now|utcnow|today)\s*\(|\b(?:environ|environb|getenv)\b")
"""Words of code whose result is another one at another time, or in another environment."""


@dataclass
class Code:
    """What a model's function can run."""

    parts: list[tuple[str, str]] = field(default_factory=list)
    """Texts, each with the name of its file, in an order that depends on nothing else."""
    reads_code: bool = False
    """Whether it may read other code of the project than this."""
    asks_the_world: bool = False
    """Whether it asks for the time of day, or for environment variables."""


@dataclass
class _Statement:
    """A statement at the top level of a file. `model` is the function it defines, if that is a model."""

    text: str
    words: frozenset[str]
    modules: frozenset[str]
    model: str | None


class CodeReader:
    """Finds the code of a project's models; reads each file once."""

    def __init__(self, folder: Path, models: Iterable[PythonModel], texts: dict[str, str]) -> None:
        """`texts` has the text of each file with models, by the file's name in the project's `folder`."""
        self._folder = folder
        self._texts = texts
        self._functions: dict[str, set[str]] = {}
        for model in models:
            self._functions.setdefault(model.file, set()).add(model.function)
        self._statements: dict[str, list[_Statement]] = {}
        self._found: dict[str, list[str]] = {}

    def read(self, model: PythonModel) -> Code:
        """The code of one model. A file that is no Python any more counts as its text."""
        kept = self._own(model)
        code = Code([(model.file, statement.text) for statement in kept])
        pending = [(module, model.file) for statement in kept for module in statement.modules]
        seen: set[str] = set()
        while pending:
            for file in self._files(*pending.pop()):
                if file in seen:
                    continue
                seen.add(file)
                statements = self._read(file)
                code.parts += [(file, statement.text) for statement in statements]
                pending += [(module, file) for statement in statements for module in statement.modules]
        code.parts = sorted(set(code.parts))
        code.reads_code = any(_READS_CODE.search(text) for _, text in code.parts)
        code.asks_the_world = any(_ASKS_THE_WORLD.search(text) for _, text in code.parts)
        return code

    def _own(self, model: PythonModel) -> list[_Statement]:
        """The statements of its file, without other models that nothing of it names."""
        statements = self._read(model.file)
        left = {index for index, each in enumerate(statements) if each.model not in (None, model.function)}
        while True:
            words = frozenset().union(*(each.words for index, each in enumerate(statements) if index not in left))
            named = {index for index in left if statements[index].model in words}
            if not named:
                return [each for index, each in enumerate(statements) if index not in left]
            left -= named

    def _read(self, file: str) -> list[_Statement]:
        if file not in self._statements:
            text = self._texts.get(file)
            if text is None:
                try:
                    text = (self._folder / file).read_bytes().decode("utf-8", "surrogateescape")
                except OSError as error:  # the model will find the same
                    text = f"errno {error.errno}"
            self._statements[file] = _statements(text, file, self._functions.get(file, set()))
        return self._statements[file]

    def _files(self, module: str, importer: str) -> list[str]:
        """The project's files that importing a module runs; a module that starts with a dot is relative."""
        level = len(module) - len(module.lstrip("."))
        place = os.path.dirname(importer)
        name = module.lstrip(".")
        if level == 0 and name not in self._found:
            self._found[name] = _module_files(self._folder, "", name)
        if level == 0:
            return self._found[name]
        for _ in range(level - 1):
            place = os.path.dirname(place)
        return _module_files(self._folder, place, name)


def _module_files(folder: Path, place: str, name: str) -> list[str]:
    files = []
    path = place
    for part in name.split(".") if name else ():
        path = os.path.join(path, part)
        files += [each for each in (f"{path}.py", f"{path}/__init__.py") if (folder / each).is_file()]
    return files


def _statements(text: str, file: str, models: set[str]) -> list[_Statement]:
    try:
        body = ast.parse(text, filename=file).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [_Statement(text, frozenset(_WORD.findall(text)), frozenset(), None)]
    lines = _LINE_END.split(text)
    found = []
    for node in body:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        source = "\n".join(lines[first - 1 : node.end_lineno])
        is_model = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in models
        words = frozenset(_WORD.findall(source))
        found.append(_Statement(source, words, frozenset(_modules(node)), node.name if is_model else None))
    return found


def _modules(statement: ast.stmt) -> Iterable[str]:
    """The modules that a statement, or something in it, imports. What is imported from a module may be one itself."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            joint = "" if base.endswith(".") or not base else "."
            yield from (f"{base}{joint}{alias.name}" for alias in node.names)

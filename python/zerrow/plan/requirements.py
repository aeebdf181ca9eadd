"""Packages as projects ask for them → requirements as PEP 508 has them, each with the place that asks for it.

A project is a stranger's, and what it asks for goes to a tool that takes options, paths and addresses as well: a
requirement here is a name with extras, versions and a marker, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zerrow.plan.findings import Findings, shown_value
from zerrow.plan.text_files import Unreadable, is_within, read_file

FILE = "requirements.txt"
FILE_BYTES_MAX = 1 << 20
REQUIREMENTS_MAX = 1000
"""So many requirements a project has at most."""
_FILES_MAX = 50

OWN = frozenset({"bauplan", "bauplan-sdk-types", "bpln-sdk", "zerrow"})
"""Packages that zerrow itself stands for in models."""

_NUMBERS = re.compile(r"\d+(\.\d+)?", re.ASCII)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_HASH = re.compile(r"\s--hash[= ]([A-Za-z0-9]+:[A-Za-z0-9]+)(?=\s|$)")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-\[\], <>=!~*+;()'\"]*", re.ASCII)
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s+|=|(?<=-r))(\S.*)")
_NOTED = (
    "-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--trusted-host", "--pre",
    "--prefer-binary", "--only-binary", "--no-binary", "--require-hashes", "--use-feature",
)  # fmt: skip
_FORMS = '"2.2.2", "2.2" for any 2.2.x, "2" for any 2.x, ">=2,<3", or "" for any'


@dataclass(frozen=True)
class Requirement:
    """A package that is asked for: its name as PyPI has it, the line for pip, and the place that says so.

    `hashes` are those of files that it may have, and no others; none: any.
    """

    name: str
    text: str
    file: str | None
    line: int | None
    hashes: tuple[str, ...] = ()


class BadRequirement(Exception):
    """What is asked for can't be read; the text says why, and `hint` what to do."""

    def __init__(self, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.hint = hint


def requirement(name: str, version: str, file: str | None, line: int | None) -> Requirement:
    """The requirement that a name, maybe with extras, and a version stand for. Raises BadRequirement.

    One or two numbers are a part of a version: `2` is any 2.x, `1.37` any 1.37.x. Nothing is any version.
    """
    parsed = _parsed(name, name)
    if str(parsed.specifier) or parsed.marker is not None:
        raise BadRequirement(f"the package {shown_value(name)} has a version in its name", f"write the version apart: {_FORMS}")
    version = version.strip()
    if _NUMBERS.fullmatch(version):
        version = f"=={version}.*"
    elif version and version != "*" and version[0].isalnum():
        version = f"=={version}"
    text = f"{parsed}{'' if version == '*' else version}"
    try:
        return _requirement(_parsed(text, text), file, line)
    except BadRequirement:
        raise BadRequirement(f"{shown_value(version.removeprefix('=='))} is no version of {name}", f"write {_FORMS}") from None


def requirement_line(text: str, file: str | None, line: int | None) -> Requirement:
    """The requirement in a line as pip takes it. Raises BadRequirement."""
    hashes = tuple(_HASH.findall(text))
    plain = _HASH.sub("", text).strip()
    return _requirement(_parsed(plain, plain), file, line, hashes)


def _parsed(text: str, shown: str):  # noqa: ANN202 - a type that is imported where it is needed
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    plain = text.strip()
    if "://" in plain or "@" in plain or plain.startswith((".", "/", "~")):
        why = f"{shown_value(shown)} is an address or a path: packages come by name from the index"
        raise BadRequirement(why, "name a package and its version; where packages come from is said in uv's configuration")
    if not _PLAIN.fullmatch(plain) or " -" in plain:
        raise BadRequirement(f"{shown_value(shown)} is no package", 'write a name such as "pandas", or "moto[s3]"')
    try:
        return Parsed(plain)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise BadRequirement(f"{shown_value(shown)} is no package: {why}", 'write a name such as "pandas"') from None


def _requirement(parsed, file: str | None, line: int | None, hashes: tuple[str, ...] = ()) -> Requirement:  # noqa: ANN001
    from packaging.utils import canonicalize_name

    name = canonicalize_name(parsed.name)
    parsed.name = name
    return Requirement(name, str(parsed), file, line, hashes)


class RequirementsFile:
    """Reads a project's requirements.txt: what pip would take from it, as far as that says which packages are wanted."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        self._folder = folder
        self._findings = findings
        self._seen: set[str] = set()
        self._noted: set[str] = set()

    def read(self, name: str = FILE) -> list[Requirement]:
        """The requirements of a file of the project, and of those that it includes; none where it isn't there."""
        path = self._folder / name
        self._seen.add(os.path.realpath(path))
        if not os.path.lexists(path):
            return []
        if not is_within(path, self._folder):
            self._error("link-outside-project", f"{name} is a link that leaves the project folder", name, None)
            return []
        try:
            text = read_file(path, FILE_BYTES_MAX).decode("utf-8-sig")
        except (Unreadable, UnicodeDecodeError) as error:
            self._error("unreadable", f"{name} can't be read: {error}", name, None)
            return []
        found: list[Requirement] = []
        for number, line in _lines(text):
            found += self._read_line(line, name, number)
            if len(found) > REQUIREMENTS_MAX:
                self._error("bad-requirement", f"{name} asks for over {REQUIREMENTS_MAX} packages", name, number)
                return []
        return found

    def _read_line(self, line: str, name: str, number: int) -> list[Requirement]:
        if included := _INCLUDE.fullmatch(line):
            return self._include(included[1].strip(), name, number)
        if line.startswith("-"):
            option = re.split(r"[\s=]", line, maxsplit=1)[0]
            if option not in _NOTED:
                hint = "write the packages themselves, one in each line"
                self._error("bad-requirement", f"{name} has {shown_value(option)}, which isn't read", name, number, hint)
            elif option not in self._noted:
                self._noted.add(option)
                message = f"{name} has {option}, which is ignored"
                hint = "where packages come from is said in uv's own configuration, or its variables such as UV_INDEX_URL"
                self._findings.warning("requirement-option", message, file=name, line=number, hint=hint)
            return []
        try:
            return [requirement_line(line, name, number)]
        except BadRequirement as error:
            self._error("bad-requirement", str(error), name, number, error.hint)
            return []

    def _include(self, other: str, name: str, number: int) -> list[Requirement]:
        inside = os.path.normpath(os.path.join(os.path.dirname(name), other))
        path = self._folder / inside
        if os.path.isabs(other) or inside.startswith("..") or not is_within(path, self._folder):
            hint = "include files of the project"
            self._error("bad-requirement", f"{name} includes {shown_value(other)}, which is not in the project", name, number, hint)
            return []
        if not os.path.lexists(path):
            self._error("bad-requirement", f"{name} includes {shown_value(other)}, which is not there", name, number)
            return []
        if os.path.realpath(path) in self._seen:
            return []
        if len(self._seen) > _FILES_MAX:
            self._error("bad-requirement", f"over {_FILES_MAX} files include each other", name, number)
            return []
        return self.read(inside)

    def _error(self, code: str, message: str, file: str, line: int | None, hint: str | None = None) -> None:
        self._findings.error(code, message, file=file, line=line, hint=hint)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers; those that go on in the next one are one line."""
    whole, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start or number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            whole += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", whole + raw).strip()
        if line:
            yield start, line
        whole, start = "", 0

"""Source tables: the Parquet files a path of the project file means, and their columns, read from the footers."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerrow.identity import identity
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean, is_text
from zerrow.plan.project_file import ProjectFile, SourceDeclaration

if TYPE_CHECKING:
    from zerrow.plan.footers import Footer

_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class Source:
    """A source table. `files` are real, absolute paths in order, empty when the source is missing.

    `kinds` has each column's kind, in the files' order: int, float, decimal, string, bool, date, timestamp or other;
    None where files differ. It is None as a whole when the columns can't be known. `dictionary` has the columns that
    are read dictionary-encoded; `identities` and `footers` are the files', one each, where the columns are known.
    """

    declaration: SourceDeclaration
    files: tuple[str, ...]
    kinds: dict[str, str | None] | None
    dictionary: tuple[str, ...] = ()
    identities: tuple[dict[str, Any], ...] = ()
    footers: tuple[Footer, ...] = ()

    def decoded_bytes(self, columns: tuple[str, ...] | None) -> int:
        """About what columns, all for None, take in memory."""
        return sum(footer.decoded_bytes(columns, self.dictionary) for footer in self.footers)


def find_files(declaration: SourceDeclaration, project: ProjectFile, findings: Findings) -> tuple[str, ...] | None:
    """The files of a source, sorted; empty when there are none; None after an error."""
    path = os.path.join(project.folder, os.path.expanduser(declaration.path))
    if os.path.isdir(path):
        found = _parquet_files_below(path)
    elif os.path.exists(path):
        found = [path]  # whatever characters its name has
    elif _GLOB & set(declaration.path):
        pattern = os.path.join(glob.escape(str(project.folder)), os.path.expanduser(declaration.path))
        found = sorted(match for match in glob.glob(pattern, recursive=True) if os.path.isfile(match))
    else:
        found = []
    files = tuple(os.path.realpath(file) for file in found)
    for file in files:
        if not is_text(file):
            name = os.fsencode(file).decode(errors="backslashreplace")
            findings.error(
                "source-unreadable",
                f"the source {declaration.name!r} can't be read: the name of {name} is not UTF-8",
                file=project.file,
                line=declaration.line,
                hint="rename the file, or the folder that it lies in",
            )
            return None
        if not os.access(file, os.R_OK) or not os.path.isfile(file):
            findings.error(
                "source-unreadable",
                f"the source {declaration.name!r} can't be read: no permission for {file}",
                file=project.file,
                line=declaration.line,
            )
            return None
    return files


def missing_source(declaration: SourceDeclaration, project: ProjectFile, findings: Findings) -> None:
    """Notes that a source that is needed has no files."""
    findings.error(
        "source-missing",
        f"no Parquet file for the source {declaration.name!r}: nothing matches {declaration.path!r}",
        file=project.file,
        line=declaration.line,
        hint="correct the path, or name a command that makes the files under 'prepare:'",
    )


def read_source(
    declaration: SourceDeclaration, files: tuple[str, ...], project: ProjectFile, findings: Findings
) -> Source:
    """The source with its columns, from the footers of its files."""
    if not files:
        return Source(declaration, (), None)
    import pyarrow as pa

    from zerrow.plan.footers import Footer

    kinds: dict[str, str | None] = {}
    identities: list[dict[str, Any]] = []
    footers: list[Footer] = []
    for file in files:
        try:
            identities.append(identity(file))
            footers.append(Footer(file))
        except (pa.ArrowException, OSError) as error:
            findings.error(
                "source-unreadable",
                f"the source {declaration.name!r}: {file} is no Parquet file that can be read: {_first_line(error)}",
                file=project.file,
                line=declaration.line,
                hint="remove or replace the file",
            )
            return Source(declaration, files, None)
        schema = footers[-1].schema
        for name, column in zip(schema.names, schema.types, strict=True):
            kind = _kind(column)
            kinds[name] = kind if kinds.get(name, kind) == kind else None
        if len(schema.names) != len(set(schema.names)):
            findings.error(
                "duplicate-column",
                f"the source {declaration.name!r}: {file} has two columns of one name",
                file=project.file,
                line=declaration.line,
            )
            return Source(declaration, files, None)
    for column in declaration.dictionary or ():
        _check_dictionary(declaration, column, kinds, project, findings)
    dictionary = declaration.dictionary
    if dictionary is None:
        stored = [footer.dictionary_columns() for footer in footers]
        seen = {name: [columns[name] for columns in stored if name in columns] for name in kinds}
        dictionary = tuple(name for name, is_stored in seen.items() if is_stored and all(is_stored))
    return Source(declaration, files, kinds, dictionary, tuple(identities), tuple(footers))


def _check_dictionary(
    declaration: SourceDeclaration, column: str, kinds: dict[str, str | None], project: ProjectFile, findings: Findings
) -> None:
    if column not in kinds:
        message = f"the source {declaration.name!r} has no column {column!r} to keep as a dictionary"
        hint = did_you_mean(column, kinds, f"columns of {declaration.name}")
        findings.error("unknown-column", message, file=project.file, line=declaration.line, hint=hint)
    elif kinds[column] != "string":
        message = f"the column {column!r} of the source {declaration.name!r} is no text: only texts can be dictionaries"
        findings.error("dictionary-type", message, file=project.file, line=declaration.line)


def _parquet_files_below(folder: str) -> list[str]:
    """Parquet files of a folder and those below it; names that start with . or _ are writers' leftovers."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        found += [os.path.join(root, name) for name in files if name.endswith(".parquet") and name[0] not in "._"]
    return sorted(found)


def hive_folders(files: tuple[str, ...], declaration: SourceDeclaration) -> bool:
    """Whether folders named key=value hold the files: their columns are not in the files."""
    below = [Path(file).parent.name for file in files]
    return any("=" in name for name in below) and "=" not in declaration.path


def _kind(column: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(column):
        column = column.value_type
    tests = (
        ("bool", types.is_boolean),
        ("int", types.is_integer),
        ("float", types.is_floating),
        ("decimal", types.is_decimal),
        ("date", types.is_date),
        ("timestamp", types.is_timestamp),
        ("string", types.is_string),
        ("string", types.is_large_string),
        ("string", types.is_string_view),
    )
    return next((kind for kind, test in tests if test(column)), "other")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__

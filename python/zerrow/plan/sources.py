"""Source tables: what a path of the project file means, and the columns that are there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from zerrow.plan.findings import Findings
from zerrow.plan.footer_reader import FooterReader
from zerrow.plan.host_files import OWN_FILES, HostFiles
from zerrow.plan.names import did_you_mean
from zerrow.plan.partitions import find_partitions
from zerrow.plan.project_file import ProjectFile, SourceDeclaration
from zerrow.plan.source_files import SourceFile, UnreadableSource, find_files, known_files


@dataclass(frozen=True)
class Source:
    """A source table. `files` are real, absolute paths in order, empty when the source is missing.

    `kinds` has each column's kind, in the files' order: int, float, decimal, wide_decimal (of more than 18 digits),
    string, bool, date, timestamp, timestamptz (with a zone) or other. It is None when the columns can't be known, and
    so is `schema`: the columns as Arrow's own message, in Base64. `dictionary` has the columns that are read
    dictionary-encoded, `partitions` those that folders' names give, as a task has them; `identities` are the files',
    one each, `file_systems` the kinds of what they are on; `column_bytes` is about what each column takes in memory;
    `streamable` has, by the engine of SQL, the columns that it reads by itself as a scan gives them.
    """

    declaration: SourceDeclaration
    files: tuple[str, ...]
    kinds: dict[str, str] | None = None
    schema: str | None = None
    dictionary: tuple[str, ...] = ()
    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    identities: tuple[dict[str, Any], ...] = ()
    file_systems: tuple[int | None, ...] = ()
    column_bytes: dict[str, int] = field(default_factory=dict)
    streamable: dict[str, frozenset[str]] = field(default_factory=dict)

    def decoded_bytes(self, columns: Iterable[str] | None) -> int:
        """About what columns, all for None, take in memory."""
        names = self.column_bytes if columns is None else set(columns)
        return sum(self.column_bytes.get(name, 0) for name in names)


def read_sources(
    declarations: list[SourceDeclaration],
    project: ProjectFile,
    footers: FooterReader,
    findings: Findings,
    host: HostFiles = OWN_FILES,
) -> dict[str, Source]:
    """The sources by name, with their columns where their files can be read. One has no files where it is missing."""
    sources, found = {}, []
    for declaration in declarations:
        sources[declaration.name] = Source(declaration, ())
        try:
            if declaration.files is None:
                files = find_files(declaration.path, str(project.folder), host)
            else:
                files = known_files(declaration.files, host)
        except UnreadableSource as error:
            _error(findings, project, declaration, "source-unreadable", f"can't be read: {error}")
            continue
        if files:
            paths = tuple(file.path for file in files)
            sources[declaration.name] = Source(declaration, paths)
            found.append((declaration, files))
        elif project.prepare is None:
            _missing(declaration, project, findings, host)
    requests = [_request(declaration, files) for declaration, files in found]
    for (declaration, files), request, answer in zip(found, requests, footers.read(requests), strict=True):
        for code, problem, hint in answer["errors"]:
            findings.error(
                code,
                f"the source {declaration.name!r}: {problem}",
                file=declaration.file,
                line=declaration.line,
                hint=hint,
            )
        if not answer["errors"]:
            sources[declaration.name] = _source(declaration, files, request, answer)
            _check_columns(sources[declaration.name], project, findings)
    return sources


def _request(declaration: SourceDeclaration, files: list[SourceFile]) -> dict[str, Any]:
    hive = declaration.hive
    partitions = {} if hive is None else find_partitions((file.folders for file in files), hive)
    dictionary = None if declaration.dictionary is None else list(declaration.dictionary)
    return {
        "files": [file.path for file in files], "dictionary": dictionary, "partitions": partitions, "bad": {},
    }  # fmt: skip


def _source(
    declaration: SourceDeclaration, files: list[SourceFile], request: dict[str, Any], answer: dict[str, Any]
) -> Source:
    dictionary = answer["dictionary"] if declaration.dictionary is None else declaration.dictionary
    return Source(
        declaration,
        tuple(file.path for file in files),
        answer["kinds"],
        answer["schema"],
        tuple(dictionary),
        request["partitions"],
        tuple(file.identity for file in files),
        tuple(file.file_system for file in files),
        answer["bytes"],
        {engine: frozenset(columns) for engine, columns in answer["streamable"].items()},
    )


def _missing(
    declaration: SourceDeclaration, project: ProjectFile, findings: Findings, host: HostFiles = OWN_FILES
) -> None:
    place = os.path.join(project.folder, os.path.expanduser(declaration.path))
    is_folder = next(iter(host.status([place]))).is_folder
    what = f"the folder {declaration.path!r} holds none" if is_folder else f"nothing matches {declaration.path!r}"
    findings.error(
        "source-missing",
        f"no Parquet file for the source {declaration.name!r}: {what}",
        file=declaration.file,
        line=declaration.line,
        hint="correct the path, or name a command that makes the files under 'prepare:'",
    )


def _check_columns(source: Source, project: ProjectFile, findings: Findings) -> None:
    """Checks the columns that the project file names."""
    declaration, kinds = source.declaration, source.kinds or {}
    for column in declaration.dictionary or ():
        if column not in kinds:
            hint = did_you_mean(column, kinds, f"columns of {declaration.name}")
            message = f"has no column {column!r} to keep as a dictionary"
            _error(findings, project, declaration, "unknown-column", message, hint)
        elif kinds[column] != "string":
            message = (
                f"the column {column!r} of the source {declaration.name!r} is no text: only texts can be dictionaries"
            )
            findings.error("dictionary-type", message, file=declaration.file, line=declaration.line)
    for column in declaration.hive or ():
        if column not in source.partitions:
            hint = did_you_mean(column, source.partitions, f"columns that folders of {declaration.name} give")
            message = f"has no folders named {column}=…, which 'hive' gives a type"
            _error(findings, project, declaration, "unknown-column", message, hint)


def _error(
    findings: Findings,
    project: ProjectFile,
    declaration: SourceDeclaration,
    code: str,
    problem: str,
    hint: str | None = None,
) -> None:
    message = f"the source {declaration.name!r} {problem}"
    findings.error(code, message, file=declaration.file, line=declaration.line, hint=hint)

"""The project file: `zerrow_project.yml`, Bauplan's `bauplan_project.yml`, both, or neither.

Where both are there, zerrow's own adds to Bauplan's, and wins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from zerrow.errors import ZerrowError
from zerrow.plan.findings import Findings
from zerrow.plan.parameters import ParameterDeclaration
from zerrow.plan.place import now_at
from zerrow.plan.requirements import Requirement
from zerrow.plan.text_files import Unreadable, is_within, read_file
from zerrow.plan.yaml_text import Refused, compose

BAUPLAN_NAMES = ("bauplan_project.yml", "bauplan_project.yaml")
ZERROW_NAMES = ("zerrow_project.yml", "zerrow_project.yaml")

FILE_BYTES_MAX = 1 << 20
_TABBED = re.compile(r"^[ \t]*\t[ \t]*", re.MULTILINE)


@dataclass(frozen=True)
class SourceDeclaration:
    """A source table as the project file names it. `path` is as written: a file, a folder or a glob.

    `dictionary` names the columns to read dictionary-encoded; None: the text columns that the files hold so. `hive` has
    the types of columns that folders named key=value give, where the project file tells them; None: they give none.
    `file` and `line` are None for a source of the command line. `files` are those of a table of the catalog, whose
    `path` is the catalog's.
    """

    name: str
    path: str
    dictionary: tuple[str, ...] | None
    line: int | None
    hive: Mapping[str, str] | None = field(default_factory=dict, hash=False)
    file: str | None = None
    files: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PythonVersion:
    """The version of Python that a project file asks for, as it is written, and where."""

    text: str
    file: str
    line: int


@dataclass
class ProjectFile:
    """The content of the project file. `file` is its name, relative to `folder`, None where there is none; `files` has
    both names where there are two.

    `show` has patterns of files that models see although git ignores them, `include` those of further SQL models.
    `namespace` is what bare names of tables mean a table of, `catalog` that of the catalog. `python` and `packages`
    are for all models.
    """

    folder: Path
    file: str | None
    name: str
    files: tuple[str, ...] = ()
    parameters: dict[str, ParameterDeclaration] = field(default_factory=dict)
    sources: dict[str, SourceDeclaration] = field(default_factory=dict)
    prepare: list[str] | None = None
    show: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    namespace: str | None = None
    catalog: str | None = None
    timeout_s: float | None = None
    python: PythonVersion | None = None
    packages: list[Requirement] = field(default_factory=list)


def find_project_files(folder: Path) -> list[Path]:
    """The project files of `folder`: Bauplan's, then zerrow's, as far as they are there.

    Raises ZerrowError when one is there twice, or is somewhere else, or there is no folder.
    """
    if not os.path.isdir(folder):
        raise ZerrowError(f"{folder} is not a folder", code="no-project", hint="name a project's folder with -p")
    files: list[Path] = []
    for names in (BAUPLAN_NAMES, ZERROW_NAMES):
        # Whatever has the name is meant: if it is no file, that is reported.
        found = [folder / name for name in names if os.path.lexists(folder / name)]
        if len(found) > 1:
            raise ZerrowError(
                f"the project has both {names[0]} and {names[1]}",
                code="two-project-files",
                file=names[1],
                hint="keep one of them",
            )
        files += found
    for file in files:
        if not is_within(file, folder):
            raise ZerrowError(
                f"{file.name} is a link that leaves the project folder",
                code="link-outside-project",
                file=file.name,
                hint="replace the link by the file itself",
            )
    return files


def no_project(folder: Path) -> ZerrowError:
    """The error for a folder that is no project: it has neither a project file nor models."""
    return ZerrowError(
        f"there is no project file in {folder}",
        code="no-project",
        hint=f"name a project's folder with -p, or add a {ZERROW_NAMES[0]} with 'project: {{name: …}}' and 'sources:'",
    )


def read_project_file(folder: Path, findings: Findings) -> ProjectFile:
    """Reads the project files. Raises ZerrowError when nothing of one can be used; lesser errors go to `findings`."""
    from zerrow.plan.project_reader import ProjectReader

    paths = find_project_files(folder)
    names = tuple(path.name for path in paths)
    project = ProjectFile(folder, names[-1] if names else None, folder.name, names)
    for path in paths:
        now_at(path.name)
        is_bauplan = path.name in BAUPLAN_NAMES
        ProjectReader(project, path.name, findings, is_bauplan=is_bauplan).read(_root(path, findings, is_bauplan))
    return project


def _root(path: Path, findings: Findings, mends_tabs: bool) -> yaml.Node | None:
    """The root node of a file's YAML."""
    try:
        text = read_file(path, FILE_BYTES_MAX).decode("utf-8-sig")
        try:
            return compose(text)
        except yaml.YAMLError:
            mended = _TABBED.sub(lambda found: found[0].expandtabs(4), text)
            if not mends_tabs or mended == text:
                raise
            root = compose(mended)
            line = text.count("\n", 0, next(_TABBED.finditer(text)).start()) + 1
            message = "a line is indented with a tab, which YAML forbids: it is read as four spaces"
            findings.warning("yaml-tab", message, file=path.name, line=line, hint="indent with spaces")
            return root
    except Refused as error:
        raise ZerrowError(
            f"the project file is not read: {error}", code="yaml", file=path.name, line=error.line, hint=error.hint
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ZerrowError(
            f"the project file is not valid YAML: {problem}",
            code="yaml",
            file=path.name,
            line=mark.line + 1 if mark else None,
            hint="indent with spaces, and put texts with ': ' or '#' in quotes",
        ) from None
    except (Unreadable, UnicodeDecodeError) as error:
        hint = getattr(error, "hint", None)
        message = f"the project file can't be read: {error}"
        raise ZerrowError(message, code="yaml", file=path.name, hint=hint) from None

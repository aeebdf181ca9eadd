"""The mistakes that the planner finds in a project, all of them and not just the first."""

from __future__ import annotations

from zerrow.errors import PlanError, PlanWarning, ZerrowError
from zerrow.plan.source_files import shown

FINDINGS_MAX = 1000
"""Nobody reads more of them."""

_VALUE_LENGTH_MAX = 60
"""So many characters of a value are shown."""


class Findings:
    """Collects errors and warnings while a project is read. Code that adds an error goes on with the rest of the
    project."""

    def __init__(self) -> None:
        self.errors: list[ZerrowError] = []
        self.warnings: list[PlanWarning] = []

    def error(
        self,
        code: str,
        message: str,
        *,
        model: str | None = None,
        file: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        """Notes something that makes a run impossible."""
        if len(self.errors) < FINDINGS_MAX:
            self.errors.append(ZerrowError(message, code=code, model=model, file=file, line=line, hint=hint))

    def warning(
        self, code: str, message: str, *, file: str | None = None, line: int | None = None, hint: str | None = None
    ) -> None:
        """Notes something that is probably not meant."""
        if len(self.warnings) < FINDINGS_MAX:
            self.warnings.append(PlanWarning(code, message, file, line, hint))

    def raise_errors(self) -> None:
        """Raises PlanError if anything was wrong, in the order of files and lines, each thing once.

        A namespace that isn't there comes first: it explains others.
        """
        if not self.errors:
            return
        unique = {(error.code, error.message, error.model, error.file, error.line): error for error in self.errors}
        ordered = sorted(unique.values(), key=_place)
        raise PlanError(ordered, self.warnings)


def shown_value(value: object) -> str:
    """A value of a project, for a message: the beginning of a long one."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _VALUE_LENGTH_MAX else f"{text[: _VALUE_LENGTH_MAX - 1]}…"


def _place(error: ZerrowError) -> tuple[bool, str, int]:
    return error.code != "unknown-namespace", error.file or "", error.line or 0


def too_much(file: str | None, error: BaseException, findings: Findings) -> None:
    """Notes a file that nests deeper, or takes more memory, than the planner can follow."""
    what = "the project" if file is None else shown(file)
    if isinstance(error, RecursionError):
        code, why = "nested-too-deeply", "nests too deeply to be read"
        hint = "give parts of a long expression names of their own"
    else:
        # Python's parser has the same word for both.
        code, why = "plan-memory", "takes more memory to read than the planner may use, or nests too deeply"
        hint = "make it smaller, or give the planner more with ZERROW_PLAN_MEMORY=8G"
    findings.error(code, f"{what} {why}", file=file, hint=hint)

"""The one family of errors that zerrow's Python code raises."""

from __future__ import annotations

from dataclasses import dataclass


class ZerrowError(Exception):
    """Root of every error zerrow raises on purpose.

    `code` is a stable, hyphenated word a program can branch on; the message says what is wrong, `hint` what to do.
    `model`, `file` and `line` say where, as far as that is known. File names are relative to the project folder.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "error",
        model: str | None = None,
        file: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.model = model
        self.file = file
        self.line = line
        self.hint = hint

    def as_json(self) -> dict[str, object]:
        """The error as `docs/plan.md` writes it."""
        return {
            "code": self.code,
            "message": _text(self.message),
            "model": _text(self.model),
            "file": _line(self.file),
            "line": self.line,
            "hint": _text(self.hint),
        }

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


class PlanError(ZerrowError):
    """A project can't be planned: `errors` holds everything that is wrong with it, never empty."""

    def __init__(self, errors: list[ZerrowError], warnings: list[PlanWarning] | None = None) -> None:
        super().__init__("; ".join(str(error) for error in errors), code="plan")
        self.errors = errors
        self.warnings = warnings or []

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


@dataclass(frozen=True)
class PlanWarning:
    """Something in a project that is probably not what its author meant, but doesn't stop a run."""

    code: str
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None

    def as_json(self) -> dict[str, object]:
        """The warning as `docs/plan.md` writes it."""
        return {
            "code": self.code,
            "message": _text(self.message),
            "file": _text(self.file),
            "line": self.line,
            "hint": _text(self.hint),
        }


def _line(value: str | None) -> str | None:
    """The same in one line: a file's name may have more."""
    text = _text(value)
    return text if text is None or text.isprintable() else text.encode("unicode_escape").decode()


def _text(value: str | None) -> str | None:
    """A text as every reader of JSON takes it: bytes of a file's name that are no text become escapes."""
    return None if value is None else value.encode(errors="backslashreplace").decode()

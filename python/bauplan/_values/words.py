"""Words with a fixed set of values: what a job is and how it stands, what a ref and a table are."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """A word that is also its text, in whatever case and with whatever between its parts: scripts compare both."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Word):
            return self is other
        return isinstance(other, str) and plain(self.value) == plain(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return self.value

    def __format__(self, form: str) -> str:
        return format(self.value, form)

    @classmethod
    def _missing_(cls, value: object) -> Word | None:
        return next((word for word in cls if word == value), None)


def plain(text: str) -> str:
    """A word in small letters, with nothing between its parts."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


class JobState(Word):
    """How a job stands."""

    UNSPECIFIED = "Unspecified"
    NOT_STARTED = "Not Started"
    RUNNING = "Running"
    COMPLETE = "Complete"
    ABORT = "Abort"
    FAIL = "Fail"
    OTHER = "Other"

    @classmethod
    def _missing_(cls, value: object) -> Word | None:
        # The words that lists of jobs show.
        other = {"completed": cls.COMPLETE, "aborted": cls.ABORT, "failed": cls.FAIL}
        return super()._missing_(value) or (other.get(plain(value)) if isinstance(value, str) else None)


class JobKind(Word):
    """What a job does."""

    UNSPECIFIED = "Unknown"
    RUN = "Run"
    QUERY = "Query"
    IMPORT_PLAN_CREATE = "ImportPlanCreate"
    IMPORT_PLAN_APPLY = "ImportPlanApply"
    TABLE_PLAN_CREATE = "TablePlanCreate"
    TABLE_PLAN_CREATE_APPLY = "TablePlanCreateApply"
    TABLE_IMPORT = "TableImport"

    @classmethod
    def _missing_(cls, value: object) -> Word | None:
        # The name of a run in lists of jobs.
        is_run = isinstance(value, str) and plain(value) == "codesnapshotrun"
        return super()._missing_(value) or (cls.RUN if is_run else None)


class JobLogLevel(Word):
    """How much a line of a job's log matters."""

    ERROR = "ERROR"
    WARN = "WARN"
    DEBUG = "DEBUG"
    INFO = "INFO"
    TRACE = "TRACE"


class JobLogStream(Word):
    """Where a line of a job's log was printed."""

    STDOUT = "STDOUT"
    STDERR = "STDERR"


class RefType(Word):
    """What a ref is."""

    BRANCH = "BRANCH"
    TAG = "TAG"
    DETACHED = "DETACHED"


class TableKind(Word):
    """Whose files a table's are: the catalog's own, or somebody else's."""

    Table = "TABLE"
    ExternalTable = "EXTERNAL_TABLE"


class Switch(str):
    """ "on", "off", or "" where nothing was said; equal to a bool that says the same."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return str.__eq__(self, "on")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bool):
            return len(self) > 0 and bool(self) == other
        return str.__eq__(self, other) if isinstance(other, str) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

"""How runs and imports went: what `bauplan.Client` gives when they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bauplan._values.info import InfoState
from bauplan._values.jobs import JobLogEvent
from bauplan._values.words import Switch

__all__ = [
    "ExternalTableCreateContext",
    "ExternalTableCreateState",
    "InfoState",
    "RunExecutionContext",
    "RunState",
    "TableCreatePlanApplyState",
    "TableCreatePlanContext",
    "TableCreatePlanState",
    "TableCreationPlanState",
    "TableDataImportContext",
    "TableDataImportState",
]


@dataclass(frozen=True)
class RunExecutionContext:
    """What a run was asked for. `snapshot_id` stands for the project's files as they were when it began."""

    project_dir: str
    ref: str
    namespace: str
    cache: Switch
    transaction: Switch
    dry_run: bool
    strict: Switch
    preview: str
    detach: bool
    snapshot_id: str
    snapshot_uri: str
    debug: bool = False


@dataclass(frozen=True)
class RunState:
    """How a run went. Without an end it was detached, and goes on: `Client.get_job` says how it stands.

    `job_status` is "SUCCESS", "FAILED" or "CANCELLED"; the tasks are the models, by their names.
    """

    job_id: str | None
    ctx: RunExecutionContext
    started_at_ns: int
    ended_at_ns: int | None = None
    job_status: str | None = None
    error: str | None = None
    tasks_started: dict[str, datetime] = field(default_factory=dict)
    tasks_stopped: dict[str, datetime] = field(default_factory=dict)
    user_logs: list[JobLogEvent] = field(default_factory=list)

    @property
    def duration_ns(self) -> int | None:
        """From its beginning to its end, in nanoseconds."""
        return None if self.ended_at_ns is None else self.ended_at_ns - self.started_at_ns

    @property
    def duration(self) -> float | None:
        """The same in seconds."""
        return None if self.duration_ns is None else self.duration_ns / 1e9


@dataclass(frozen=True)
class ExternalTableCreateContext:
    """What an external table was asked to be."""

    branch_name: str
    namespace: str
    table_name: str


@dataclass(frozen=True)
class ExternalTableCreateState:
    """How the making of an external table went."""

    ctx: ExternalTableCreateContext
    job_id: str | None = None
    job_status: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class TableCreatePlanContext:
    """What a table was asked to be made of."""

    branch_name: str
    namespace: str
    table_name: str
    search_string: str
    table_replace: bool = False
    table_partitioned_by: str | None = None


@dataclass(frozen=True)
class TableCreatePlanState:
    """How a table would be made."""

    ctx: TableCreatePlanContext
    job_id: str | None = None
    job_status: str | None = None
    error: str | None = None
    plan: str | None = None
    can_auto_apply: bool = False
    files_to_be_imported: list[str] = field(default_factory=list)


TableCreationPlanState = TableCreatePlanState
"""An older name."""


@dataclass(frozen=True)
class TableCreatePlanApplyState:
    """How the making of a table went."""

    job_id: str | None = None
    job_status: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class TableDataImportContext:
    """What an import was asked for."""

    branch_name: str
    namespace: str
    table_name: str
    search_string: str
    best_effort: bool = False
    continue_on_error: bool = False
    import_duplicate_files: bool = False
    preview: str = ""
    transformation_query: str | None = None


@dataclass(frozen=True)
class TableDataImportState:
    """How an import went."""

    ctx: TableDataImportContext
    job_id: str | None = None
    job_status: str | None = None
    error: str | None = None

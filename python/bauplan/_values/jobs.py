"""Jobs: runs and queries that are going on or have ended, and what they printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone

from bauplan._values.words import JobKind, JobLogLevel, JobLogStream, JobState


@dataclass(frozen=True)
class Job:
    """A run or a query."""

    id: str
    kind: JobKind
    status: JobState
    user: str
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    runner: str = "local"
    project: str | None = None
    error: str | None = None

    @property
    def status_type(self) -> JobState:
        """The same as `status`."""
        return self.status

    @property
    def kind_type(self) -> JobKind:
        """The same as `kind`."""
        return self.kind

    @property
    def human_readable_status(self) -> str:
        """How it stands, as a text."""
        return str(self.status)


@dataclass(frozen=True)
class JobLogEvent:
    """A line that a model printed."""

    stream: JobLogStream
    level: JobLogLevel
    message: str
    model: str | None = None


@dataclass(frozen=True)
class JobLogList:
    """The lines that a job's models printed."""

    events: list[JobLogEvent] = field(default_factory=list)

    @property
    def log_events(self) -> list[JobLogEvent]:
        """The same as `events`."""
        return self.events


@dataclass(frozen=True)
class DAGNode:
    """A model of a job."""

    id: str
    name: str


@dataclass(frozen=True)
class DAGEdge:
    """A model that reads a table; `source_model` is the model that makes it, None for a table of the catalog."""

    source_model: str | None
    destination_model: str


@dataclass(frozen=True)
class JobContext:
    """A job's models and who reads whom, and, where they were asked for, its log and its project's files."""

    id: str
    project_id: str | None = None
    project_name: str | None = None
    ref: str | None = None
    tx_ref: str | None = None
    logs: list[JobLogEvent] = field(default_factory=list)
    dag_nodes: list[DAGNode] = field(default_factory=list)
    dag_edges: list[DAGEdge] = field(default_factory=list)
    snapshot_dict: dict[str, str] = field(default_factory=dict)


def moment(nanoseconds: int | None) -> datetime | None:
    """A moment in UTC, of nanoseconds since 1970."""
    return None if nanoseconds is None else datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc)


def job_of(entry: dict) -> Job:
    """A job as the command lists it."""
    began = moment(entry.get("started_at_ns"))
    return Job(
        id=entry["id"],
        kind=word(JobKind, entry.get("kind"), JobKind.UNSPECIFIED),
        status=word(JobState, entry.get("status"), JobState.OTHER),
        user=entry.get("user") or "",
        created_at=moment(entry.get("created_at_ns")) or began,
        started_at=began,
        finished_at=moment(entry.get("ended_at_ns")),
        project=entry.get("project"),
        error=entry.get("error"),
    )


def word(words: type, text: object, otherwise: object):
    """The word for a text; `otherwise` for one that is not known."""
    try:
        return words(text)
    except ValueError:
        return otherwise


def log_event_of(entry: dict) -> JobLogEvent | None:
    """A line of a log; None for one that no model printed."""
    stream = entry.get("stream")
    if stream not in ("stdout", "stderr"):
        return None
    where = JobLogStream.STDERR if stream == "stderr" else JobLogStream.STDOUT
    return JobLogEvent(where, JobLogLevel.INFO, entry.get("text", ""), entry.get("model"))

"""Jobs: runs and queries of now and before, and what they printed."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from bauplan._client.arguments import listed
from bauplan._client.runs import Runs
from bauplan._values.jobs import DAGEdge, DAGNode, Job, JobContext, JobLogEvent, job_of, log_event_of
from bauplan._values.refs import MAIN
from bauplan._values.words import JobKind, JobState
from bauplan.exceptions import BauplanError


class Jobs(Runs):
    """Looks at jobs, and stops them."""

    def get_job(self, job_id: str | Job, /) -> Job:
        """A job, by its id."""
        return job_of(self._entry(_id(job_id)))

    def get_jobs(
        self,
        *,
        all_users: bool | None = None,
        filter_by_ids: str | Iterable[str | Job] | None = None,
        filter_by_users: str | Iterable[str] | None = None,
        filter_by_kinds: str | JobKind | Iterable[str | JobKind] | None = None,
        filter_by_statuses: str | JobState | Iterable[str | JobState] | None = None,
        filter_by_created_after: datetime | None = None,
        filter_by_created_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """The jobs of this user's history, the newest first. Moments without a zone are in UTC."""
        ids = {_id(each) for each in _some(filter_by_ids)}
        users = set(_some(filter_by_users))
        kinds = {_word(JobKind, each) for each in _some(filter_by_kinds)}
        statuses = {_word(JobState, each) for each in _some(filter_by_statuses)}
        after, before = _zoned(filter_by_created_after), _zoned(filter_by_created_before)

        def is_wanted(job: Job) -> bool:
            made = job.created_at
            return (
                (not ids or job.id in ids)
                and (not users or job.user in users)
                and (not kinds or job.kind in kinds)
                and (not statuses or job.status in statuses)
                and (after is None or (made is not None and made > after))
                and (before is None or (made is not None and made < before))
            )

        entries = self._ask(["job", "ls", "--limit", "1000000"]).report.get("jobs") or []
        jobs = sorted(map(job_of, entries), key=lambda job: _moment(job), reverse=True)
        return iter([job for job in jobs if is_wanted(job)][:limit])

    def get_job_logs(self, job: str | Job | None = None, *, job_id_prefix: str | None = None) -> list[JobLogEvent]:
        """What a job's models printed."""
        answer = self._ask(["job", "logs", _id(job if job is not None else job_id_prefix)])
        return [event for event in map(log_event_of, answer.report.get("logs") or []) if event]

    get_logs = get_job_logs

    def get_job_context(
        self, job: str | Job, include_logs: bool | None = False, include_snapshot: bool | None = False
    ) -> JobContext:
        """A job's models and who reads whom; its log and its project's files if they are wanted.

        The files are known of the runs of this client alone: the history keeps none.
        """
        entry = self._entry(_id(job))
        models = entry.get("models") or []
        names = {model["name"] for model in models}
        edges = [
            DAGEdge(read if read in names else None, model["name"])
            for model in models
            for read in map(_input_name, model.get("inputs") or [])
        ]
        return JobContext(
            id=entry["id"],
            project_name=entry.get("project"),
            ref=MAIN,
            logs=self.get_job_logs(entry["id"]) if include_logs else [],
            dag_nodes=[DAGNode(model["name"], model["name"]) for model in models],
            dag_edges=edges,
            snapshot_dict=dict(self._snapshots.get(entry["id"], {})) if include_snapshot else {},
        )

    def get_job_contexts(
        self,
        jobs: str | Iterable[str | Job],
        include_logs: bool | None = False,
        include_snapshot: bool | None = False,
    ) -> list[JobContext]:
        """The same of several jobs."""
        return [self.get_job_context(job, include_logs, include_snapshot) for job in _some(jobs)]

    def cancel_job(self, job_id: str | Job, /) -> None:
        """Stop a job, and wait for its end. One that has ended stays as it is."""
        if self.get_job(job_id).status in (JobState.RUNNING, JobState.NOT_STARTED):
            self._ask(["job", "stop", _id(job_id)])

    def _entry(self, job_id: str) -> dict:
        answer = self._call("job", "get", job_id)
        if not answer.is_good:
            raise BauplanError(f"job not found: {job_id}: {answer.reason}")
        jobs = answer.report.get("jobs")
        return jobs[0] if isinstance(jobs, list) and jobs else answer.report


def _id(job: str | Job | None) -> str:
    text = job.id if isinstance(job, Job) else job
    if not isinstance(text, str):
        raise TypeError(f"a job is an id or a Job, not {type(job).__name__}")
    if not text or text.startswith("-"):
        raise BauplanError(f"job not found: {text!r}")
    return text


def _some(value: object) -> list:
    return [value] if isinstance(value, Job) else listed(value)


def _word(words: type, value: object):
    try:
        return words(value)
    except ValueError:
        known = ", ".join(str(word) for word in words)
        raise ValueError(f"{value!r} is none of {known}") from None


def _zoned(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=timezone.utc) if moment is not None and moment.tzinfo is None else moment


def _moment(job: Job) -> float:
    return job.created_at.timestamp() if job.created_at else 0.0


def _input_name(read: object) -> str:
    return str(read.get("name")) if isinstance(read, dict) else str(read)


def user_name() -> str:
    """Who calls."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

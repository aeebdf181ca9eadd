"""Running projects."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from zerrow.client.parameters import parameters_variable

from bauplan._client.arguments import (
    check_ref,
    common,
    folder_text,
    namespace_name,
    switch,
)
from bauplan._client.caller import Caller
from bauplan._client.command import Answer, CommandTimeout
from bauplan._client.project import FILES, check_project, snapshot, snapshot_id
from bauplan._values.jobs import JobLogEvent, log_event_of
from bauplan._values.refs import MAIN, Ref
from bauplan._values.tables import Namespace
from bauplan._values.words import JobLogLevel, JobLogStream
from bauplan.exceptions import BauplanJobError
from bauplan.state import RunExecutionContext, RunState

_PREVIEWS = ("on", "off", "head", "tail")
_STATES = {"success": "SUCCESS", "failed": "FAILED", "cancelled": "CANCELLED"}
_SNAPSHOTS_MAX = 32

_PRINTED = re.compile(r"(\S+) +[│|] (.*)", re.DOTALL)
"""A line of a model, as the command shows it."""

_ID = re.compile(r"[0-9a-f]{12}")

_PARAMETER_PROBLEMS = ("has no parameter ", "has no value and no default")
"""What says of a project that its parameters were not given rightly."""


class Runs(Caller):
    """Runs projects."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self._snapshots: OrderedDict[str, dict[str, str]] = OrderedDict()

    def run(
        self,
        project_dir: str | os.PathLike[str] = ".",
        ref: str | Ref | None = None,
        *,
        namespace: str | Namespace | None = None,
        parameters: Mapping[str, str | int | float | bool | None] | None = None,
        cache: str | bool | None = None,
        transaction: str | bool | None = None,
        dry_run: bool | str | None = None,
        strict: str | bool | None = None,
        preview: str | bool | None = None,
        args: Mapping[str, object] | None = None,
        priority: int | None = None,
        client_timeout: float | None = None,
        detach: bool | None = False,
        debug: bool | str | None = None,
        verbose: bool | str | None = None,
    ) -> RunState:
        """Run a project, and say how it went.

        A run that fails raises nothing: its state says so. `project_dir` is relative to the current folder. `cache`,
        `transaction` and `strict` are "on" or "off", or bools. A `client_timeout` in seconds stops the run, and raises
        BauplanJobError. With `detach` the run goes on by itself, and its state has nothing but its id.

        Raises BauplanJobError for a project that can't be read, ValueError for arguments that can't be meant, and for
        parameters that are missing or that the project doesn't know.
        """
        folder = Path(folder_text(project_dir))
        check_ref(ref)
        switches = {"cache": switch("cache", cache), "transaction": switch("transaction", transaction)}
        switches["strict"] = switch("strict", strict)
        words = ["run", "-p", str(folder), *_words(switches, namespace), *common(args, priority)]
        is_dry = bool(switch("dry_run", dry_run))
        words += ["--dry-run"] if is_dry else []
        shown = _preview(preview)
        words += ["--preview", shown] if shown not in ("", "off") else []
        words += ["--detach"] if detach else []
        environment = parameters_variable(parameters)
        check_project(folder)
        self._last_project = folder.absolute()
        texts = snapshot(folder)
        context = RunExecutionContext(
            project_dir=str(folder),
            ref=MAIN,
            namespace=namespace_name(namespace) or "bauplan",
            dry_run=is_dry,
            preview=shown,
            detach=bool(detach),
            snapshot_id=snapshot_id(texts),
            snapshot_uri=folder.absolute().as_uri(),
            debug=bool(debug) and debug != "off",
            **switches,
        )
        try:
            answer = self._call(*words, environment=environment, client_timeout=client_timeout)
        except CommandTimeout:
            raise BauplanJobError(f"the run took longer than {client_timeout} s, and was stopped") from None
        _check_begun(answer)
        job_id = _job_id(answer)
        if job_id:
            self._snapshots[job_id] = texts
            if len(self._snapshots) > _SNAPSHOTS_MAX:
                self._snapshots.popitem(last=False)
        if detach and answer.is_good:
            return RunState(job_id, context, answer.began_at_ns)
        return self._state(answer, context, job_id)

    def _state(self, answer: Answer, context: RunExecutionContext, job_id: str | None) -> RunState:
        report = answer.report
        status = _STATES.get(str(report.get("status")), "FAILED")
        wall = float(report.get("wall_ms") or 0)
        # The report counts from the run's beginning, which is its end less what it took.
        began = datetime.fromtimestamp(answer.ended_at_ns / 1e9, timezone.utc) - timedelta(milliseconds=wall)
        started: dict[str, datetime] = {}
        stopped: dict[str, datetime] = {}
        for model in report.get("models") or []:
            if model.get("start_ms") is not None:
                started[model["name"]] = began + timedelta(milliseconds=model["start_ms"])
                took = (model["start_ms"]) + (model.get("wall_ms") or 0)
                stopped[model["name"]] = began + timedelta(milliseconds=took)
        return RunState(
            job_id=job_id,
            ctx=context,
            started_at_ns=answer.began_at_ns,
            ended_at_ns=answer.ended_at_ns,
            job_status=status,
            error=None if status == "SUCCESS" else answer.reason,
            tasks_started=started,
            tasks_stopped=stopped,
            user_logs=self._printed(answer, job_id),
        )

    def _printed(self, answer: Answer, job_id: str | None) -> list[JobLogEvent]:
        """What models printed: of the job's log where it is kept, else of what the command showed."""
        if job_id:
            log = self._call("job", "logs", job_id)
            if log.is_good and isinstance(log.report.get("logs"), list):
                return [event for event in map(log_event_of, log.report["logs"]) if event]
        names = {model.get("name") for model in answer.report.get("models") or []}
        found = filter(None, map(_PRINTED.fullmatch, answer.lines))
        return [
            JobLogEvent(JobLogStream.STDOUT, JobLogLevel.INFO, match[2], match[1])
            for match in found
            if match[1] in names
        ]


def _job_id(answer: Answer) -> str | None:
    """The id by which the history of jobs knows a run; of one that is detached it is all that the command says."""
    said = answer.text.strip()
    return said if _ID.fullmatch(said) else answer.report.get("run") or answer.report.get("id") or None


def _words(switches: dict, namespace: str | Namespace | None) -> list[str]:
    name = namespace_name(namespace)
    words = ["-n", name] if name else []
    words += ["--no-cache"] if switches["cache"] == "off" else []
    words += ["--no-transaction"] if switches["transaction"] == "off" else []
    words += {"on": ["--strict"], "off": ["--no-strict"]}.get(switches["strict"], [])
    return words


def _preview(preview: str | bool | None) -> str:
    if isinstance(preview, bool) or preview is None:
        return switch("preview", preview)
    if preview not in _PREVIEWS:
        raise ValueError(f"preview must be one of {', '.join(_PREVIEWS)}, not {preview!r}")
    return preview


def _check_begun(answer: Answer) -> None:
    """Raise what no run could begin with: the project file, and the parameters. Models that are wrong are a failure."""
    report = answer.report
    if answer.is_good or report.get("models"):
        return
    reason = answer.reason
    if not report:
        raise BauplanJobError(reason)
    if any(problem in reason for problem in _PARAMETER_PROBLEMS):
        raise ValueError(reason)
    if reason.startswith(FILES):
        raise BauplanJobError(reason)

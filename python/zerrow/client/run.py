"""What a run left: its tables, how its models went, and what they printed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zerrow.errors import ZerrowError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from zerrow.client.call import Call
    from zerrow.client.handed import HandedTable


@dataclass(frozen=True)
class ModelState:
    """How one model of a run went, sources among them.

    `status` is success, cached, failed, skipped, cancelled or unneeded. Times are in milliseconds, `start_ms` since the
    run's beginning, memory in bytes; None where the model did not run. `rows` and `bytes` are those of its table, and
    `travel` says how many of these bytes were reshared, born shared, deanonymized, packed and copied.
    """

    name: str
    status: str
    kind: str = ""
    inputs: tuple[str, ...] = ()
    start_ms: float | None = None
    wall_ms: float | None = None
    memory_bytes_max: int | None = None
    rows: int | None = None
    bytes: int | None = None
    travel: Mapping[str, int] | None = None
    warnings: tuple[str, ...] = ()


class Tables(Mapping[str, "pa.Table"]):
    """The final tables of a run, by the names of their models; each is opened when it is first looked at."""

    def __init__(self, handed: Mapping[str, HandedTable], states: Mapping[str, ModelState]) -> None:
        self._handed = handed
        self._states = states

    def __getitem__(self, name: str) -> pa.Table:
        """The table of a model. Raises KeyError, which says why, where the run has none."""
        try:
            handed = self._handed[name]
        except KeyError:
            raise KeyError(self._reason(name)) from None
        return handed.open()

    def __iter__(self) -> Iterator[str]:
        return iter(self._handed)

    def __len__(self) -> int:
        return len(self._handed)

    def __contains__(self, name: object) -> bool:
        return name in self._handed

    def __repr__(self) -> str:
        return f"Tables({', '.join(f'{name}: {handed.rows:,} rows' for name, handed in self._handed.items())})"

    def _repr_html_(self) -> str:
        from zerrow.client.html import tables_html

        return tables_html({name: handed.rows for name, handed in self._handed.items()}, self._states)

    def _reason(self, name: str) -> str:
        state = self._states.get(name)
        known = ", ".join(self._handed) or "none"
        if state is None:
            return f"the run has no model {name!r}; its tables are: {known}"
        if state.status in ("success", "cached"):
            return f"the table of {name!r} was not kept, as other models read it: run with select={name!r}"
        return f"the model {name!r} has no table, it is {state.status}; the run's tables are: {known}"


class Run:
    """One execution of a project.

    Its tables lie in the engine's shared memory, mapped read-only into this process. They take memory as long as the
    run, or anything that was made of them without a copy, is there; `release`, or leaving a `with` block, lets go of
    them before.
    """

    def __init__(self, call: Call, report: Mapping[str, Any], errors: list[str], wall_ms: float) -> None:
        self._handed = dict(call.tables)
        self.job_id: str | None = call.job_id or report.get("run")
        """The id by which `zerrow job` knows the run."""
        self.status = str(report.get("status", "failed"))
        """Success, failed or cancelled."""
        self.wall_ms = float(report.get("wall_ms") or wall_ms)
        """How long the run took, in milliseconds; without reading the project."""
        self.report = report
        """The report, as `zerrow run --output json` prints it."""
        self.errors = errors
        """What went wrong, each as the command says it; empty where nothing did."""
        self.states: dict[str, ModelState] = _states(call, report)
        """How each model went, by its name."""
        self.logs: dict[str, list[str]] = {model: list(lines) for model, lines in call.lines.items()}
        """The lines that each model printed on standard output and standard error, in their order: the last 10,000."""
        self.notes: list[str] = list(call.notes)
        """What zerrow itself had to say."""
        self.tables = Tables(self._handed, self.states)
        """The final tables by the names of their models: of those that no other model reads, and of those selected."""

    @property
    def ok(self) -> bool:
        """Whether all that the run was to make is there."""
        return self.status == "success"

    @property
    def timings(self) -> dict[str, float]:
        """How long each model ran that did, in milliseconds."""
        return {name: state.wall_ms for name, state in self.states.items() if state.wall_ms is not None}

    def check(self) -> Run:
        """The run itself. Raises RunError where it has failed."""
        if not self.ok:
            raise RunError(self)
        return self

    def to_pandas(self, name: str | None = None, **options: Any) -> pd.DataFrame:
        """A table as a data frame of pandas; the only one where no `name` is given. `options` are pyarrow's.

        What pandas can't represent in place is copied.
        """
        return self._table(name).to_pandas(**options)

    def to_polars(self, name: str | None = None) -> pl.DataFrame:
        """A table as a data frame of polars; the only one where no `name` is given. Nothing is copied but views."""
        import polars

        frame = polars.from_arrow(self._table(name))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def _table(self, name: str | None) -> pa.Table:
        if name is None:
            if len(self.tables) != 1:
                raise ZerrowError(
                    f"the run has {len(self.tables)} tables: say which one", hint=", ".join(self.tables) or None
                )
            (name,) = self.tables
        return self.tables[name]

    def release(self) -> None:
        """Let go of the run's tables. What was made of them without a copy keeps its memory as long as it is there."""
        for handed in self._handed.values():
            handed.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for state in self.states.values():
            counts[state.status] = counts.get(state.status, 0) + 1
        models = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no models"
        lines = [f"Run {self.job_id}: {self.status} in {self.wall_ms:,.0f} ms ({models})"]
        for name, handed in self._handed.items():
            made = self.states.get(name)
            size = "" if made is None or made.bytes is None else f", {made.bytes:,} bytes"
            lines.append(f"  {name}: {handed.rows:,} rows{size}")
        return "\n".join([*lines, *(f"  error: {error}" for error in self.errors)])

    def _repr_html_(self) -> str:
        from zerrow.client.html import run_html

        return run_html(self)


class RunError(ZerrowError):
    """A run has failed. The message is what the command says; `run` has all that is known, tables that were made too.

    `run` is None where nothing was run, because the project can't be planned.
    """

    def __init__(self, run: Run) -> None:
        super().__init__("\n".join(run.errors) or f"the run is {run.status}", code="run-failed")
        first = next(iter(run.report.get("errors") or []), None)
        self.model = first.get("model") if isinstance(first, dict) else None
        self.run = run

    def __str__(self) -> str:
        return self.message


def _states(call: Call, report: Mapping[str, Any]) -> dict[str, ModelState]:
    planned = {model["name"]: model for model in call.models}
    states = {}
    for model in report.get("models") or []:
        name = model["name"]
        output = model.get("output") or {}
        travel = {key.removesuffix("_bytes"): value for key, value in output.items() if key.endswith("_bytes")}
        about = planned.get(name, {})
        states[name] = ModelState(
            name=name,
            status=model["status"],
            kind=about.get("kind", ""),
            inputs=tuple(dict.fromkeys(about.get("inputs", ()))),
            start_ms=model.get("start_ms"),
            wall_ms=model.get("wall_ms"),
            memory_bytes_max=model.get("memory_bytes_max"),
            rows=output.get("rows"),
            bytes=output.get("bytes"),
            travel=travel or None,
            warnings=tuple(model.get("warnings") or ()),
        )
    return states


def errors_of(code: int, report: Mapping[str, Any], said: str) -> list[str]:
    """What went wrong, as the command says it."""
    found = [_failure(each) for each in report.get("errors") or [] if isinstance(each, dict)]
    error = report.get("error")
    if not found and error:
        found = [_failure(error) if isinstance(error, dict) else str(error)]
    if not found and code != 0:
        lines = [line for line in said.splitlines() if line.strip()][-20:]
        found = ["\n".join(lines) or f"the command ended with code {code}"]
    return found


def _failure(failure: Mapping[str, Any]) -> str:
    """A failure with the model's name, unless its message says it."""
    message, model = str(failure.get("message", "")), failure.get("model")
    return message if not model or f"'{model}'" in message else f"model '{model}': {message}"


def milliseconds_since(began: float) -> float:
    """How long ago that was, by `time.monotonic`."""
    return (time.monotonic() - began) * 1000

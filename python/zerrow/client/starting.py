"""Running projects and queries from Python."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zerrow.client.call import Call, shows_itself
from zerrow.client.parameters import parameters_variable
from zerrow.client.progress import progress_for
from zerrow.client.run import Run, errors_of, milliseconds_since
from zerrow.errors import ZerrowError

if TYPE_CHECKING:
    import pyarrow as pa


def run(
    project: str | os.PathLike[str] = ".",
    *,
    select: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    sources: Mapping[str, str | os.PathLike[str]] | None = None,
    replace: Mapping[str, str | os.PathLike[str]] | None = None,
    strict: bool | None = None,
    dry_run: bool = False,
    cache: bool = True,
    keep_going: bool = False,
    jobs: int | None = None,
    memory: int | str | None = None,
    timeout: float | None = None,
    priority: int | None = None,
    check: bool = True,
    progress: bool | None = None,
) -> Run:
    """Run a project, wait for its end, and return its tables and what is known of it.

    `project` is its folder. With `select`, one selector or several, only the models that these mean are run, with those
    that they need: a model's name, or `tag:daily`, `+orders`, `stg_*` and so on, as `zerrow run` takes them. The tables
    of models that are named are kept even if another model reads them. What `exclude` means is not run unless another
    model needs it. `parameters` are values by name, None for a default.
    `sources` are paths of Parquet files by the names of source tables, beside those of the project file; those of
    `replace` are read in place of the sources and models of their names. `strict` says
    whether an expectation that isn't met, or a result that differs from what its model declares, fails the run. In a
    `dry_run` nothing is published. Without `cache` all models are run. With `keep_going`, what doesn't need a failed
    model is still run. At most `jobs` models run at once, and the run takes no more than `memory`: bytes, or a text
    such as "4GiB". A model without a timeout of its own may run `timeout` seconds. Runs of a higher `priority`, from 1
    to 10, go first.

    Its progress is shown in notebooks and terminals, or as `progress` says. KeyboardInterrupt stops the run, and leaves
    nothing of it. An engine that serves (`zerrow serve`) does the work where there is one.

    Raises RunError, whose `run` has all that is known, where the run has failed; without `check`, look at `Run.ok`.
    Raises ValueError and TypeError for arguments that can't be meant.
    """
    words = ["run"]
    for option, selectors in {"select": select, "exclude": exclude}.items():
        for selector in [selectors] if isinstance(selectors, str) else list(selectors or ()):
            words += [f"--{option}", _text(option, selector)]
    for table, path in (replace or {}).items():
        words += ["--replace", f"{_text('replace', table)}={os.fsdecode(os.fspath(path))}"]
    words += ["--dry-run"] if dry_run else []
    if strict is not None:
        words.append("--strict" if strict else "--no-strict")
    words += _common(project, namespace, sources, cache, jobs, memory, timeout, priority)
    words += ["--keep-going"] if keep_going else []
    done = _call(words, parameters=parameters, text=None, progress=progress)
    return done.check() if check else done


def query(
    sql: str,
    project: str | os.PathLike[str] = ".",
    *,
    parameters: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    sources: Mapping[str, str | os.PathLike[str]] | None = None,
    cache: bool = True,
    jobs: int | None = None,
    memory: int | str | None = None,
    timeout: float | None = None,
    priority: int | None = None,
    progress: bool | None = None,
) -> pa.Table:
    """The rows of one SQL statement over a project's sources and models, as an Arrow table in shared memory.

    Only the models are run that the statement needs. The table's memory is given back when its last buffer is gone.
    The arguments are those of `run`. Raises RunError where it gives no rows.
    """
    if not isinstance(sql, str) or not sql.strip() or "\0" in sql:
        raise ValueError("the query must be a text of SQL")
    # The rows come as a table: the report is to have none.
    words = ["query", "-f", "-", "--rows", "0"]
    words += _common(project, namespace, sources, cache, jobs, memory, timeout, priority)
    done = _call(words, parameters=parameters, text=sql, progress=progress)
    done.check()
    (name,) = done.tables
    return done.tables[name]


def _common(
    project: str | os.PathLike[str],
    namespace: str | None,
    sources: Mapping[str, str | os.PathLike[str]] | None,
    cache: bool,
    jobs: int | None,
    memory: int | str | None,
    timeout: float | None,
    priority: int | None,
) -> list[str]:
    """The arguments of `run` and `query` both, as words."""
    words = ["-p", os.path.abspath(os.fsdecode(os.fspath(project)))]
    words += ["-n", _text("namespace", namespace)] if namespace else []
    for name, path in (sources or {}).items():
        words += ["--source", f"{_text('sources', name)}={os.fsdecode(os.fspath(path))}"]
    words += [] if cache else ["--no-cache"]
    numbers = {"jobs": jobs, "memory": memory, "timeout": timeout, "priority": priority}
    for option, value in numbers.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError(f"{option} must be a number, not {value!r}")
        words += [f"--{option}", str(value)]
    return words


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: a name is a text, not {type(value).__name__}")
    if not value or "\0" in value or value.startswith("-"):
        raise ValueError(f"{name}: {value!r} is no name")
    return value


def _call(words: list[str], *, parameters: Mapping[str, Any] | None, text: str | None, progress: bool | None) -> Run:
    if "zerrow.worker.main" in sys.modules:
        raise ZerrowError(
            "a model can't run a project: it runs isolated, without the engine, the network and the tables of others",
            code="in-a-model",
            hint="read tables as its inputs, zerrow.Model(…)",
        )
    _check_pyarrow()
    began = time.monotonic()
    shown = progress_for(progress)
    call = Call(
        words,
        text=text,
        environment=parameters_variable(parameters),
        is_shown=shown is None and progress is not False and shows_itself(),
    )
    update = shown.update if shown is not None else (lambda _: None)
    try:
        code, report, said = call.wait(update)
    finally:
        if shown is not None:
            shown.finish(call)
    if not report and code == 2:
        lines = [line for line in said.splitlines() if line.strip()]
        raise ValueError("\n".join(line.removeprefix("Error: ") for line in lines[:1]) or "the command was misused")
    return Run(call, report, errors_of(code, report, said), milliseconds_since(began))


def _check_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ImportError("tables come as pyarrow's: install pyarrow into this script's environment") from None

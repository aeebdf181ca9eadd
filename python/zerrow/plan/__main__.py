"""`python -m zerrow.plan --project DIR [--param NAME=VALUE]… [--query SQL]` prints the plan, or what is wrong."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from typing import Any, NoReturn

# The planner reads names and types from Parquet footers and nothing else: pyarrow does that without numpy, whose import
# would take most of the time.
sys.modules.setdefault("numpy", None)  # type: ignore[arg-type]
# A process this short makes little garbage, and collecting while modules load costs a third of that time.
gc.disable()

from zerrow.errors import PlanError, ZerrowError  # noqa: E402
from zerrow.plan.host_files import OWN_FILES, AskedFiles, HostFiles  # noqa: E402
from zerrow.plan.ignored import GitSettings  # noqa: E402
from zerrow.plan.place import tell_of_places  # noqa: E402
from zerrow.plan.planner import plan_project  # noqa: E402
from zerrow.plan.sinks import FORMATS  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object. Exit code 0: the plan; 1: what is wrong with the project; 2: bad usage."""
    parser = argparse.ArgumentParser(prog="python -m zerrow.plan", description="Print the plan of a project as JSON.")
    parser.add_argument("--project", default=".", metavar="DIR", help="the project's folder (default: this one)")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="the value of a parameter; may be repeated"
    )
    parser.add_argument("--namespace", metavar="NAME", help="what bare names of tables mean a table of")
    parser.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        help="whether expectations that aren't met, and results that aren't as declared, fail the run",
    )
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME=PATH", help="a source table; may be repeated"
    )
    parser.add_argument(
        "--replace", action="append", default=[], metavar="NAME=PATH", help="a table to read instead of making it"
    )
    parser.add_argument(
        "--select", action="append", default=[], metavar="SELECTOR", help="the models to plan for; may be repeated"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="SELECTOR", help="models not to plan for; may be repeated"
    )
    parser.add_argument("--dry-run", action="store_true", help="plan to publish no table")
    parser.add_argument("--tables", action="store_true", help="print the tables that there are, instead of a plan")
    parser.add_argument("--table", metavar="NAME", help="print one of them")
    parser.add_argument("--query", metavar="SQL", help="plan this query over the project, and what it needs")
    parser.add_argument(
        "--writes", action="append", default=[], metavar="DIR", help="a folder that the run writes to; may be repeated"
    )
    parser.add_argument("--engine", default="", metavar="BUILD", help="what stands for the engine's build in keys")
    parser.add_argument(
        "--check-filters", action="store_true", help="ask the engine that evaluates filters what it says of them"
    )
    parser.add_argument("--no-stream", action="store_true", help="have all sources decoded before models read them")
    parser.add_argument("--export-format", choices=sorted(FORMATS), help="have the last tables written to files")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="the memory that the run may take")
    parser.add_argument("--hand-over", action="store_true", help="put the code that workers run into the plan")
    parser.add_argument(
        "--files", type=int, metavar="DESCRIPTOR", help="ask the engine at this socket what files outside are"
    )
    parser.add_argument("--excludes", metavar="FILE", help="git's core.excludesFile")
    parser.add_argument("--ignore-case", action="store_true", help="git's core.ignoreCase")
    parser.add_argument("--git-folder", metavar="DIR", help="the repository that a file named .git leads to")
    parser.add_argument("--output", type=int, default=1 << 30, metavar="BYTES", help="the longest plan that is printed")
    options = parser.parse_args(arguments)
    if options.files is None:
        return _answer(parser, options, OWN_FILES)
    asked = AskedFiles(options.files)
    tell_of_places(asked.note)
    code = _answer(parser, options, asked)
    sys.stderr.flush()
    asked.done(code)
    return code


def _answer(parser: argparse.ArgumentParser, options: argparse.Namespace, host: HostFiles) -> int:
    """Prints what is asked for, or what is wrong with the project; the exit code."""
    replaced = _pairs(parser, "--replace", options.replace)
    given, sources = _pairs(parser, "--param", options.param), _pairs(parser, "--source", options.source)
    try:
        if options.tables or options.table is not None:
            from zerrow.plan.listing import list_tables

            listing = list_tables(
                options.project, options.table, namespace=options.namespace, sources=sources, host=host
            )
            _print(listing)
            return 0
        plan = plan_project(
            options.project,
            given,
            query=options.query,
            is_dry_run=options.dry_run,
            namespace=options.namespace,
            is_strict=options.strict,
            sources=sources,
            environment=os.environ,
            written_folders=options.writes,
            engine=options.engine,
            checks_filters=options.check_filters,
            hands_over=options.hand_over,
            host=host,
            git=GitSettings(options.excludes, options.ignore_case, options.git_folder),
            may_stream=not options.no_stream,
            memory_bytes=options.memory,
            export_format=options.export_format,
            selectors=options.select,
            excluded=options.exclude,
            replaced=replaced,
        )
    except PlanError as error:
        failure = {
            "errors": [item.as_json() for item in error.errors],
            "warnings": [item.as_json() for item in error.warnings],
        }
        _print(failure, errors="replace")
        return 1
    try:
        _print(plan, bytes_max=options.output)
    except UnicodeEncodeError as error:
        # Only names that the file system gave can be no text.
        path = os.fsencode(str(error.object)[: error.end].rpartition('"')[2]).decode(errors="backslashreplace")
        message = f"the project can't be planned: the name of {path} is not UTF-8"
        problem = ZerrowError(message, code="unreadable", hint="rename it")
        return _fail(problem)
    except _TooLong as error:
        message = f"the plan has {error.args[0]} bytes, more than {options.output >> 20} MiB"
        hint = "make several projects of it, or sources of fewer, larger files"
        return _fail(ZerrowError(message, code="plan-too-long", hint=hint))
    return 0


def leave(code: int) -> NoReturn:
    """End the process with what was printed, and without taking apart what ends with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _pairs(parser: argparse.ArgumentParser, option: str, pairs: list[str]) -> dict[str, str]:
    """The values of an option that is given as NAME=VALUE, by their names. Ends the process over anything else."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            # A value may be secret.
            parser.error(f"{option} {name}: write {option} NAME=VALUE")
        found[name] = value
    return found


class _TooLong(Exception):
    """An answer has too many bytes."""


def _fail(problem: ZerrowError) -> int:
    _print({"errors": [problem.as_json()], "warnings": []})
    return 1


def _print(answer: dict[str, Any], errors: str = "strict", bytes_max: int | None = None) -> None:
    """Prints JSON. Raises, with nothing printed, UnicodeEncodeError for what is no text, and _TooLong."""
    content = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode(errors=errors) + b"\n"
    if bytes_max is not None and len(content) > bytes_max:
        raise _TooLong(len(content))
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())

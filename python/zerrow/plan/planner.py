"""Project in, plan out: the JSON of docs/plan.md."""

from __future__ import annotations

import base64
import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerrow import pieces
from zerrow.errors import PlanError, ZerrowError
from zerrow.plan.declarations import (
    Declaration,
    Limits,
    PythonModel,
    SqlModel,
    tables_read,
)
from zerrow.plan.environments import DEFAULT, Environments
from zerrow.plan.filter_nodes import with_filter_nodes
from zerrow.plan.findings import Findings, too_much
from zerrow.plan.footer_reader import FooterReader
from zerrow.plan.graph import check_names, order
from zerrow.plan.hand_over import HandOver
from zerrow.plan.hidden import ENTRIES_MAX, HiddenEntries, find_hidden
from zerrow.plan.host_files import OWN_FILES, HostFiles
from zerrow.plan.ignored import NO_SETTINGS, GitSettings
from zerrow.plan.inputs import Input, InputReader
from zerrow.plan.materializing import Target, find_targets
from zerrow.plan.parameter_sources import FILE as PARAMETERS_FILE
from zerrow.plan.parameter_sources import given_values
from zerrow.plan.parameter_use import check_given, check_read
from zerrow.plan.parameters import Value
from zerrow.plan.place import now_at, place
from zerrow.plan.places import hidden
from zerrow.plan.project import Project, read_project
from zerrow.plan.project_file import SourceDeclaration, read_project_file
from zerrow.plan.sinks import check_sinks, sink_entries
from zerrow.plan.sources import Source, read_sources
from zerrow.plan.tasks import HIDDEN, hide_secrets, model_task, scan_task

if TYPE_CHECKING:
    from zerrow.plan.scans import Scan

VERSION = 1
# Modules that a zygote may import before it forks: known to keep no threads and to survive a fork.
_WARM_MODULES = ("numpy", "pandas", "polars", "duckdb", "datafusion")


def plan_project(
    folder: str | Path,
    given: Mapping[str, str] | None = None,
    *,
    query: str | None = None,
    is_dry_run: bool = False,
    namespace: str | None = None,
    is_strict: bool | None = None,
    sources: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    written_folders: Sequence[str | Path] = (),
    engine: str = "",
    checks_filters: bool = False,
    hands_over: bool = False,
    host: HostFiles = OWN_FILES,
    git: GitSettings = NO_SETTINGS,
    may_stream: bool = False,
    memory_bytes: int | None = None,
    export_format: str | None = None,
    selectors: Sequence[str] = (),
    excluded: Sequence[str] = (),
    replaced: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The plan of the project in `folder`, with parameters `given` as texts, or by variables of the `environment`.

    Bare names of tables mean those of the `namespace`. `is_strict` says whether an expectation that isn't met, or a
    result that differs from what its model declares, fails the run; None: as each model's way to be written has it.
    `sources` are paths by the names of source tables, beside those of the project file.
    In a dry run, and with a query, no table is published.
    With a `query`, the plan of that SQL over the project's models and sources, and of nothing that it doesn't need.
    What is in `written_folders` is in no key: the run writes there. `engine` stands for the build that will run it, and
    is in every key. With `checks_filters` filters on sources are also given to the engine that evaluates them; without,
    their scans find what it says of them. With `hands_over`, the plan has the code that workers run. `host` is where
    sources are looked for; `git` has what git's configuration says of the files that it ignores.
    With `may_stream`, SQL models may read sources by themselves: those that nobody else reads, and those that are large
    beside `memory_bytes`, which is what the run may take. With an `export_format`, workers write the last tables to
    files.
    With `selectors`, or some models `excluded`, the plan has the models that these mean, what they need, and the
    expectations that read nothing else; only their tables are published, and are final ones. `replaced` are paths of
    Parquet files by the names of tables that are read there instead of being made.
    Raises PlanError with all that is wrong. Imports none of the project's code.
    """
    findings = Findings()
    planned_ns = time.time_ns()
    footers = FooterReader(host)
    try:
        project_file = read_project_file(Path(os.path.realpath(folder)), findings)
        for name, path in (sources or {}).items():
            project_file.sources[name] = SourceDeclaration(name, path, (), None)
        if project_file.sources:
            footers.start()
        values = given_values(project_file.folder, given or {}, environment or {}, findings)
        project = read_project(project_file, values, findings, query, namespace, git, host)
        check_given(project, values, findings)
        project.replace(replaced or {}, findings)
        project.keep_what_is_selected(selectors, excluded, findings)
        if is_strict is not None:
            for model in project.models.values():
                model.promise.is_strict = is_strict
        written = [os.path.realpath(each) for each in written_folders]
        planner = _Planner(project, footers, findings, planned_ns, written, engine, hands_over, host, git)
        planner.may_stream, planner.memory_bytes = may_stream, memory_bytes
        planner.export_format = export_format
        return planner.plan(checks_filters, publishes=not is_dry_run and query is None)
    except PlanError:
        raise
    except (RecursionError, MemoryError) as error:
        too_much(place(), error, findings)
        raise PlanError(findings.errors, findings.warnings) from None
    except ZerrowError as error:
        findings.errors.append(error)
        raise PlanError(findings.errors, findings.warnings) from None
    finally:
        footers.close()


class _Planner:
    def __init__(
        self,
        project: Project,
        footers: FooterReader,
        findings: Findings,
        planned_ns: int,
        written_folders: list[str],
        engine: str,
        hands_over: bool,
        host: HostFiles,
        git: GitSettings,
    ) -> None:
        self.project = project
        self.footers = footers
        self.findings = findings
        self.planned_ns = planned_ns
        self.written_folders = written_folders
        self.engine = engine
        self.code = HandOver() if hands_over else None
        self.host = host
        self.git = git
        self.hidden = HiddenEntries()
        self.may_stream = False
        self.export_format: str | None = None
        self.memory_bytes: int | None = None
        self.missing: list[str] = []
        self.targets: dict[str, Target] = {}
        self.environments = Environments(project, findings, host, is_to_run=hands_over)

    def plan(self, checks_filters: bool, publishes: bool = False) -> dict[str, Any]:
        check_names(self.project, self.findings)
        self.project.keep_what_the_query_needs()
        models = order(self.project, self.findings)
        if publishes:
            targets = find_targets(self.project, self.findings)
            self.targets = {name: each for name, each in targets.items() if self.project.is_selected(name)}
        self._check_engines()
        check_read(self.project, self.findings)
        self.environments.resolve()
        sources = self._read_sources()
        self._find_hidden(sources)
        reader = InputReader(self.project, sources, self.findings, checks_filters)
        inputs = {}
        for model in models:
            now_at(model.file)
            inputs[model.name] = reader.read(model)
        self.findings.raise_errors()
        return {
            "version": VERSION,
            "project": {"name": self.project.file.name, "folder": str(self.project.file.folder)},
            "parameters": self._parameters(),
            "prepare": self._prepare(),
            "timeout_s": self.project.file.timeout_s,
            "environments": self._environments(inputs),
            "models": self._models(models, inputs, sources),
            **({"catalog": {"warehouse": self.project.catalog.warehouse}} if self.targets else {}),
            "hidden": self._hidden(sources),
            "warnings": [warning.as_json() for warning in self.findings.warnings],
            **({} if self.code is None else {"handed_over": base64.b64encode(self.code.content).decode()}),
        }

    def _parameters(self) -> dict[str, Value]:
        """The values of parameters for people: none that may be secret, as undeclared ones may be."""
        declared, secrets = self.project.file.parameters, self.project.secrets
        return {
            name: value if name in declared and name not in secrets else HIDDEN
            for name, value in self.project.parameters.items()
        }

    def _check_engines(self) -> None:
        for model in self.project.models.values():
            if isinstance(model, SqlModel) and importlib.util.find_spec(model.engine) is None:
                self.findings.error(
                    "engine-missing",
                    f"the model {model.name!r} needs {model.engine}, which is not installed",
                    model=model.name,
                    file=model.file,
                    line=model.line,
                    hint=f"pip install {model.engine}",
                )

    def _read_sources(self) -> dict[str, Source]:
        """The sources that some model reads. Those that are missing wait for the prepare command, if there is one."""
        wanted = {table for model in self.project.models.values() for table in tables_read(model)}
        file = self.project.file
        now_at(file.file or str(file.folder))
        declarations = [
            declaration
            for name, declaration in file.sources.items()
            if name in wanted and name not in self.project.models
        ]
        declarations += [target.kept for target in self.targets.values() if target.kept is not None]
        sources = read_sources(declarations, file, self.footers, self.findings, self.host)
        self.missing = [name for name, source in sources.items() if not source.files]
        return sources

    def _prepare(self) -> dict[str, Any] | None:
        command = self.project.file.prepare
        if not self.missing or command is None:
            return None
        # A project names Python plainly; it means the one that zerrow runs models with.
        if command[0] in ("python", "python3"):
            command = [_interpreter(), *command[1:]]
        return {"command": command, "missing": self.missing}

    def _find_hidden(self, sources: dict[str, Source]) -> None:
        """What models don't see beside sources. Looked for once: a walk through the project's folder."""
        folder, file = str(self.project.file.folder), self.project.file
        for path in self.written_folders:
            if path == folder:
                self.findings.error(
                    "written-folder",
                    "the run would write into the project's folder itself, where all models can read it",
                    file=file.file,
                    hint="name a folder in it or elsewhere, such as 'out'",
                )
        files = frozenset(each for source in sources.values() for each in source.files)
        # The values of parameters are for those models that ask for them.
        own = [os.path.join(folder, PARAMETERS_FILE)]
        # So is what earlier runs have published, and this one is going to.
        own += [each for each in self.project.catalog.places if each.startswith(os.path.join(folder, ""))]
        written = [*self.written_folders, *filter(os.path.lexists, dict.fromkeys(own))]
        self.hidden = find_hidden(folder, file.show, written, files, self.git)
        if not self.hidden.is_complete:
            self.findings.warning(
                "many-files",
                f"the project has over {ENTRIES_MAX} files: what git ignores of the rest isn't hidden from models",
                file=file.file,
                hint="move data out of the project's folder, or into folders that git ignores as a whole",
            )

    def _hidden(self, sources: dict[str, Source]) -> dict[str, object]:
        files = (file for source in sources.values() for file in source.files)
        return hidden(str(self.project.file.folder), files, self.hidden).as_json()

    def _environments(self, inputs: dict[str, list[Input]]) -> list[dict[str, Any]]:
        used = set(self.project.imports)
        if any(input_.filter is not None or input_.pushed is not None for group in inputs.values() for input_ in group):
            used.add("datafusion")
        used |= {model.engine for model in self.project.models.values() if isinstance(model, SqlModel)}
        warm = [name for name in _WARM_MODULES if name in used]
        return [each.as_json(_interpreter(), warm) for each in self.environments.all]

    def _models(
        self, models: list[Declaration], inputs: dict[str, list[Input]], sources: dict[str, Source]
    ) -> list[dict[str, Any]]:
        from zerrow.plan.keys import Keys
        from zerrow.plan.scans import Scan, merge_scans
        from zerrow.plan.streams import asked_for, stream, streamed_inputs

        left_out = [*self.written_folders, *self.hidden.paths.difference(self.hidden.shown)]
        keys = Keys(self.project, sources, self.planned_ns, left_out, self.engine, self.host, self.environments)
        all_inputs = [input_ for model in models for input_ in inputs[model.name]]
        streamed: set[int] = set()
        if self.may_stream:
            streamed = streamed_inputs(self.project.models, all_inputs, sources, self.memory_bytes)
        environments = {model.name: self.environments.of(model).id for model in models}
        streamed |= asked_for(all_inputs, sources, environments, DEFAULT)
        scans = merge_scans(all_inputs, sources, streamed)
        expectations = {each.name for each in models if isinstance(each, PythonModel) and each.is_expectation}
        # What only expectations read is a last table all the same, and they give none.
        read = {input_.table for group in inputs.values() for input_ in group if input_.model not in expectations}
        read |= expectations
        shown = self._shown(inputs, expectations)
        planned: list[dict[str, Any]] = []
        scanned: set[str] = set()
        materializations: list[dict[str, Any]] = []
        for model in models:
            now_at(model.file)
            named: list[tuple[str, Scan | None]] = []
            for input_ in inputs[model.name]:
                scan = scans.get(id(input_))
                named.append((input_.table if scan is None else scan.name, scan))
                if scan is not None and not scan.is_streamed and scan.name not in scanned:
                    scanned.add(scan.name)
                    planned.append({**self._scan_entry(scan), **keys.scan(scan)})
                if scan is not None:
                    input_.filter = None  # its scan has applied it
            is_final = model.name not in read or model.name in shown
            entry = self._entry(model, [name for name, _ in named], inputs[model.name], is_final)
            filters = [input_.filter for input_ in inputs[model.name]]
            # Keys don't tell whether a source is streamed: the result is the same.
            planned.append({**entry, **keys.model(model, entry["task"], named, filters)})
            stream(planned[-1], [scan for _, scan in named])
            if model.name in self.targets:
                target = self.targets[model.name]
                if target.kept is not None:
                    kept = Scan(target.kept.name, sources[target.kept.name], None, None)
                    materializations.append({**self._scan_entry(kept), **keys.scan(kept)})
                materializations.append(self._materialization_entry(target))
            if model.name in keys.codes:
                # Only what may be kept by what its text tells has to be watched when it runs.
                is_kept = planned[-1]["key"] is not None
                entry["task"]["watched"] = is_kept and not model.limits.is_always_cached
            if self.code is not None and model.name in keys.codes:
                entry["task"]["compiled_for"] = pieces.COMPILED_FOR
                entry["task"]["modules"] = self.code.modules(keys.codes[model.name])
        planned = with_filter_nodes(planned, DEFAULT, keys.filtered)
        self._note_what_is_not_kept(planned)
        if self.export_format is not None:
            sinks = sink_entries(planned, self.export_format, partial(_model_entry, limits=Limits()))
            check_sinks(sinks, self.written_folders, self.project.file, self.findings)
            self.findings.raise_errors()
            materializations += sinks
        planned += materializations
        if self.code is None:
            hide_secrets(planned)
        return planned

    def _shown(self, inputs: dict[str, list[Input]], expectations: set[str]) -> set[str]:
        """The selected models whose tables a user wants to see: those that were named, and the last ones."""
        selected = self.project.selected
        if selected is None:
            return set()
        names = selected.names - expectations
        read = {input_.table for name in names for input_ in inputs[name]}
        return {name for name in names if name in selected.named or name not in read}

    def _scan_entry(self, scan: Scan) -> dict[str, Any]:
        entry = _model_entry(scan.name, "scan", [], Limits())
        return {**entry, "final": False, "file": None, "line": None, "task": scan_task(scan)}

    def _materialization_entry(self, target: Target) -> dict[str, Any]:
        model = target.model
        inputs = [model.name] if target.kept is None else [model.name, target.kept.name]
        entry = _model_entry(target.name, "materialize", inputs, Limits())
        return {
            **entry, "final": False, "file": model.file, "line": model.materialization.line, "task": target.task(),
            "materialize": target.as_json(), "cache": False, "code": None, "key": None,
            "because": "it writes to the catalog", "repeatable": False, "expected_bytes": None,
        }  # fmt: skip

    def _note_what_is_not_kept(self, planned: list[dict[str, Any]]) -> None:
        """Says so where nothing but the moment speaks against keeping results."""
        from zerrow.plan.surroundings import is_just_changed

        reasons = {entry["because"] for entry in planned if entry["because"]}
        for reason in sorted(reason for reason in reasons if is_just_changed(reason)):
            self.findings.warning("just-changed", f"{reason}: what is made of it is not kept")

    def _entry(self, model: Declaration, names: list[str], inputs: list[Input], final: bool) -> dict[str, Any]:
        task = model_task(model, inputs, self.project, self.planned_ns)
        entry = _model_entry(model.name, str(task["kind"]), names, model.limits)
        environment = self.environments.of(model).id
        return {
            **entry,
            "environment": environment,
            "final": final,
            "file": model.file,
            "line": model.line,
            "task": task,
        }


def _interpreter() -> str:
    """This Python, at the real place of its environment: a sandbox shows real folders, not links to them."""
    folder, name = os.path.split(sys.executable)
    return os.path.join(os.path.realpath(folder), name)


def _model_entry(name: str, kind: str, inputs: list[str], limits: Limits) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "environment": DEFAULT,
        "inputs": inputs,
        "network": limits.internet_access,
        "memory_bytes_max": limits.memory_bytes_max,
        "timeout_s": limits.timeout_s,
    }

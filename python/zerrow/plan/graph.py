"""The graph of a project: what each model reads, and an order in which every model comes after what it reads."""

from __future__ import annotations

from collections.abc import Iterator

from zerrow.plan.declarations import Declaration, PythonModel, tables_read
from zerrow.plan.findings import Findings
from zerrow.plan.names import did_you_mean, namespace_of
from zerrow.plan.project import Project

_HINTS_MAX = 100
"""So many unknown tables are compared with all that are known, which takes time for each; others are told as they
are."""


def check_names(project: Project, findings: Findings) -> None:
    """Reports tables that nothing makes, and models that read no table."""
    known = {*project.models, *project.file.sources}
    named_badly = {error.model for error in findings.errors}
    unknown: dict[str, tuple[str, str, str | None]] = {}
    for model in project.models.values():
        tables = tables_read(model)
        for table, line in tables.items():
            if table not in known:
                if table not in unknown:
                    unknown[table] = _unknown(project, table, is_compared=len(unknown) < _HINTS_MAX)
                code, why, hint = unknown[table]
                message = f"the model {model.name!r} reads {table!r}, {why}"
                findings.error(code, message, model=model.name, file=model.file, line=line, hint=hint)
        # A statement alone may read nothing: `select 1`.
        if not tables and model.name not in named_badly and model.name != project.query:
            hint = "read a table: FROM …"
            if isinstance(model, PythonModel):
                hint = f'give an argument a default: table={model.family}.Model("…")'
            findings.error(
                "no-input",
                f"the model {model.name!r} has no input",
                model=model.name,
                file=model.file,
                line=model.line,
                hint=hint,
            )


def _unknown(project: Project, table: str, is_compared: bool) -> tuple[str, str, str | None]:
    """The code, the reason and the hint for a table that nothing makes; where its namespace is the reason, that comes
    before all else."""
    namespaces = project.namespaces
    namespace = namespace_of(table) or namespaces.given
    is_namespace = namespace is not None and not namespaces.has_tables(namespace)
    code, why = "unknown-table", "which is no model, no source table and no table of the catalog"
    if is_namespace:
        code, why = "unknown-namespace", f"and there is no namespace {namespace!r}"
    if not is_compared:
        return code, why, None
    models = [name for name in project.models if name != project.query]
    known = [*models, *project.file.sources, *project.catalog.tables]
    if namespace is None or not is_namespace:
        return code, why, did_you_mean(table, known, "tables")
    same = [name for name in known if name.rpartition(".")[2] == table.rpartition(".")[2]]
    hint = f"did you mean {same[0]!r}?" if same else did_you_mean(namespace, namespaces.known, "namespaces")
    return code, why, hint


def order(project: Project, findings: Findings) -> list[Declaration]:
    """The models, each after those it reads, otherwise in the order of their files. Cycles are reported."""
    done: list[Declaration] = []
    state: dict[str, str] = {}
    for start in project.models:
        if start in state:
            continue
        state[start] = "open"
        path: list[tuple[str, Iterator[str]]] = [(start, _models_read(project, start))]
        while path:
            name, inputs = path[-1]
            following = next(inputs, None)
            if following is None:
                path.pop()
                state[name] = "done"
                done.append(project.models[name])
            elif state.get(following) == "open":
                names = [part for part, _ in path]
                _report_cycle(project, [*names[names.index(following) :], following], findings)
            elif following not in state:
                state[following] = "open"
                path.append((following, _models_read(project, following)))
    return done


def _models_read(project: Project, name: str) -> Iterator[str]:
    return iter([table for table in tables_read(project.models[name]) if table in project.models])


def _report_cycle(project: Project, names: list[str], findings: Findings) -> None:
    first = project.models[names[0]]
    findings.error(
        "cycle",
        "the models form a cycle: " + " → ".join(names),
        model=first.name,
        file=first.file,
        line=tables_read(first)[names[1]],
        hint="a model can't read itself: rename it" if len(names) == 2 else "remove one of these inputs",
    )

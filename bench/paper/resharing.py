"""Experiment 5: filters over texts, with and without dictionary encoding."""

from __future__ import annotations

import re

from measure import HOME

from .experiment import Bench, Case, Experiment, Ratio, measure
from .systems import baseline, clients, closing, served

FILES, FILES_ENCODED = "IPC files, plain (baseline)", "IPC files, dictionary"
PLAIN, ENCODED = "zerrow, plain", "zerrow, dictionary"


def run(bench: Bench) -> Experiment:
    """As many runs of the project texts as the scale says, at once."""
    tables = {"texts": bench.workspace.texts(bench.scale.text_rows)}
    source = HOME / "bench/paper/projects/texts"
    encoded = bench.workspace.project(source, tables)
    plain = bench.workspace.project(source, tables, "texts-plain")
    settings = plain / "zerrow_project.yml"
    settings.write_text(re.sub(r"\n *dictionary:.*", "", settings.read_text()))
    cases: list[Case] = []
    dags = {f"{count} DAG{'s' * (count > 1)}": count for count in bench.scale.dags}
    with served(bench) as server:
        for situation, count in dags.items():
            parameters = [{"left_out": str(dag)} for dag in range(count)]
            given = [word for each in parameters for word in ("--param", f"left_out={each['left_out']}")]
            more = ("--dags", count, "--jobs", bench.cpus, *given)
            systems = {
                FILES: baseline(bench, plain, *more),
                FILES_ENCODED: baseline(bench, encoded, *more),
                PLAIN: clients(bench, plain, server, parameters),
                ENCODED: clients(bench, encoded, server, parameters),
            }
            with closing(systems):
                rounds = {name: system.round for name, system in systems.items()}
                cases += measure(bench, situation, rounds, server.forget)
    most = list(dags)[-1]
    return Experiment(
        number=5,
        title="Resharing with dictionaries",
        text="Three filters, one after the other, over four columns of texts of 80 bytes (4000 different ones "
        "in each); each keeps about nine rows of ten. The same functions over plain texts and over "
        "dictionary-encoded ones: of these a filter makes new indices, and the dictionaries are passed "
        "on as they are.",
        axis="DAGs at once",
        ratios=[Ratio("filters, dictionaries reshared", most, PLAIN, ENCODED, 7.3)],
        cases=cases,
        dags=dags,
    )

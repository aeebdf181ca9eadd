"""Experiment 5: filters over texts, with and without dictionary encoding."""

from __future__ import annotations

import re

from measure import HOME

from .at_once import Dags, run_at_once, situations
from .experiment import Bench, Experiment, Ratio
from .systems import System

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

    def systems(dags: Dags) -> dict[str, System]:
        return {
            FILES: dags.baseline(plain),
            FILES_ENCODED: dags.baseline(encoded),
            PLAIN: dags.zerrow(plain),
            ENCODED: dags.zerrow(encoded),
        }

    counts = situations(bench.scale.dags)
    cases = run_at_once(bench, counts, lambda dag: {"left_out": str(dag)}, systems)
    most = list(counts)[-1]
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
        dags=counts,
    )

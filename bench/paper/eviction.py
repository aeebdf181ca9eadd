"""Experiment 6: memory is short, and tables that nobody reads at the moment have to go."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .experiment import MIB, Bench, Experiment, Ratio
from .limits import swap_file
from .systems import take_turns, zerrow_alone

PARTITIONS = 12
WAYS = {"swap": "swap", "drop": "roll back", "spill": "spill", "adaptive": "adaptive"}

HEAD = '''"""Values are normalised in two passes: nothing of the second can start before all of the first is done."""

import pyarrow as pa
import pyarrow.compute as pc
import zerrow
'''
PARTITION = '''

@zerrow.model()
def values_{0}(part=zerrow.Model("part{0}")):
    """What both passes read."""
    return pa.table({{name: pc.bit_wise_xor(part[name], 0x5555) for name in part.column_names}})


@zerrow.model()
def sums_{0}(values=zerrow.Model("values_{0}")):
    """The first pass."""
    return pa.table({{name: [pc.sum(values[name]).as_py() // values.num_rows] for name in values.column_names}})


@zerrow.model()
def spread_{0}(values=zerrow.Model("values_{0}"), means=zerrow.Model("means")):
    """The second pass."""
    names = values.column_names
    return pa.table({{name: [pc.max(pc.abs(pc.subtract(values[name], means[name][0]))).as_py()] for name in names}})
'''
MEANS = '''

@zerrow.model()
def means({arguments}):
    """The mean of all partitions."""
    parts = [{names}]
    names = parts[0].column_names
    return pa.table({{name: [sum(part[name][0].as_py() for part in parts) // len(parts)] for name in names}})
'''


def write_project(folder: Path, tables: dict[str, Path], bench: Bench) -> Path:
    """The project: what its models declare is read, not run, so that they can't be made in a loop of their own."""
    folder.mkdir()
    (folder / "zerrow_project.yml").write_text(
        "project:\n  name: passes\nsources:\n"
        + "".join(f"  part{number}: data/part{number}.parquet\n" for number in range(PARTITIONS))
    )
    numbers = range(PARTITIONS)
    arguments = ", ".join(f'sums_{number}=zerrow.Model("sums_{number}")' for number in numbers)
    names = ", ".join(f"sums_{number}" for number in numbers)
    models = "".join(PARTITION.format(number) for number in numbers)
    (folder / "models.py").write_text(HEAD + models + MEANS.format(arguments=arguments, names=names))
    return bench.workspace.project(folder, tables, "passes")


def run(bench: Bench) -> Experiment:
    """Every way under the same limit, and none of it without one. Raises Unavailable without swap."""
    limit = bench.scale.short_bytes
    situation = f"limit of {limit // MIB} MiB"
    with swap_file(bench.janitor, bench.swap_folder, bench.scale.swap_bytes):
        paths = [bench.workspace.integers(bench.scale.partition_bytes, seed) for seed in range(PARTITIONS)]
        tables = {f"part{number}": path for number, path in enumerate(paths)}
        project = write_project(bench.workspace.folder / "passes-source", tables, bench)
        limited = {
            label: zerrow_alone(bench, project, "--memory", str(limit), "--evict", way) for way, label in WAYS.items()
        }
        warm = partial(bench.workspace.warm, project)
        cases = take_turns(bench, situation, limited, warm)
        cases += take_turns(bench, "no limit", {WAYS["adaptive"]: zerrow_alone(bench, project)}, warm)
    held = PARTITIONS * bench.scale.partition_bytes // MIB
    return Experiment(
        number=6,
        title="When memory is short",
        text=f"{PARTITIONS} partitions, read in two passes with a barrier between: {held} MiB of tables wait "
        f"for the second pass, where {limit // MIB} MiB are allowed to models and tables together. Ways "
        "to make room: swap, roll back (drop the table and run its model again), spill to an Arrow IPC "
        "file, and adaptive, which chooses among them.",
        axis="memory limit",
        ratios=[
            Ratio("memory is short: adaptive against swap", situation, WAYS["swap"], WAYS["adaptive"], 2.0),
            Ratio("memory is short: roll back against swap", situation, WAYS["swap"], WAYS["drop"], 2.0),
        ],
        cases=cases,
    )

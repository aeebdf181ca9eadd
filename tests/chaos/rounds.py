"""One round: a pipeline, options and a blow from a seed; then all that must be true whatever was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pyarrow as pa
from command import ZERROW, wait_until
from generated import Generated
from remains import Remains
from victims import Blow

# A bound against hanging, not a measurement.
SECONDS_MAX = 120
BIG_ROWS = 2_000_000


@dataclass
class Client:
    """One call of `zerrow run`, and what came of it."""

    process: subprocess.Popen
    export: Path | None
    out: str = ""
    errors: str = ""

    def finish(self) -> None:
        """Wait for its end."""
        self.out, self.errors = self.process.communicate(timeout=SECONDS_MAX)

    @property
    def code(self) -> int:
        """How it ended."""
        return self.process.returncode


@dataclass
class Round:
    """A round by its seed. `problems` are what is not as it must be."""

    seed: int
    folder: Path
    serve: bool | None = None
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance = Random(self.seed)
        drawn = chance.random() < 0.35
        self.is_served = drawn if self.serve is None else self.serve
        self.is_big = chance.random() < 0.2
        self.is_prepared = chance.random() < 0.15
        rows = BIG_ROWS if self.is_big else chance.choice([0, 1, 5_000, 200_000])
        self.engine_options: list[str] = ["--jobs", str(chance.choice([1, 2, 4]))]
        if chance.random() < 0.6:
            self.engine_options += ["--cache-dir", str(self.folder / "cache")]
        if self.is_big:
            self.engine_options += ["--memory", "450MiB", "--evict", chance.choice(["spill", "drop", "adaptive"])]
            self.engine_options += ["--spill-dir", str(self.folder / "spill")]
        self.run_options = [o for o in ("--no-decache", "--keep-going", "--no-cache") if chance.random() < 0.25]
        self.exports = chance.random() < 0.7
        self.blow = Blow.drawn(chance, self.is_served)
        self.hits_second = chance.random() < 0.5
        for part in ("export", "spill", "tmp", "socket"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "socket").chmod(0o700)
        self.project = Generated(self.folder / "project", chance, rows, self.is_prepared)
        # Nobody waits for what this pipeline never starts.
        if self.blow.kind == "prepare" and not self.is_prepared:
            self.blow.kind = "zygote"
        if self.blow.kind == "child" and not any(step.name.startswith("starting") for step in self.project.steps):
            self.blow.kind = "worker"
        self.engines: list[int] = []
        self.struck: str | None = None

    def __str__(self) -> str:
        options = " ".join([*self.engine_options, *self.run_options]).replace(str(self.folder) + "/", "")
        how = "served" if self.is_served else "alone"
        steps = ", ".join(f"{step.name}({' '.join(step.inputs)})" for step in self.project.steps)
        blow = f"{self.struck or 'nobody struck'} at {self.blow.seconds} s"
        return f"{how}, {options}; {self.project.rows} rows: {steps}; {blow}"

    # -- processes

    def _environment(self) -> dict[str, str]:
        own = self.folder / "socket"
        places = {"TMPDIR": self.folder / "tmp", "ZERROW_SOCKET": own / "engine.sock"}
        places["ZERROW_HISTORY"] = own / "history.sqlite"
        return {**os.environ, **{name: str(place) for name, place in places.items()}}

    def _start(self, *arguments: str, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [str(ZERROW), *arguments], text=True, env=self._environment(), stdin=subprocess.DEVNULL, **options
        )
        self.engines.append(process.pid)
        return process

    def _begin_to_serve(self) -> subprocess.Popen:
        with (self.folder / "serve.log").open("a") as log:
            server = self._start("serve", *self.engine_options, stdout=subprocess.DEVNULL, stderr=log)
        said = self.folder / "serve.log"
        wait_until(
            lambda: f"serving at {self.folder}" in said.read_text() or server.poll() is not None,
            seconds=60,
            what="serve",
        )
        said.rename(self.folder / f"serve-{server.pid}.log")
        return server

    def _call(self, *more: str, exports: bool) -> Client:
        arguments = ["run", "-p", str(self.project.folder), "--output", "json", *self.run_options, *more]
        if not self.is_served:
            arguments += ["--no-serve", *self.engine_options]
        export = self.folder / "export" if exports else None
        if export:
            arguments += ["--format", "arrow", "--export", str(export)]
        return Client(self._start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE), export)

    # -- the round

    def play(self) -> None:
        """All of it."""
        remains = Remains(self.folder)
        server = self._begin_to_serve() if self.is_served else None
        try:
            self._first_runs(remains, server)
            if server and server.poll() is not None:
                self._expect(
                    self.blow.kind in ("serve", "any"), f"the engine that serves ended with {server.returncode}"
                )
                self._expect_nothing_left(remains, set())
                server = self._begin_to_serve()
            self._second_run()
        finally:
            if server:
                server.send_signal(signal.SIGINT)
                try:
                    code = server.wait(SECONDS_MAX)
                    self._expect(code == 0, f"the engine that serves ended with {code} at its Ctrl-C")
                except subprocess.TimeoutExpired:
                    self.problems.append("the engine that serves does not end at Ctrl-C")
                    server.kill()
                    server.wait()
        self._expect_nothing_left(remains, set())
        self._expect_no_strange_files(remains, after_kill=False)

    def _first_runs(self, remains: Remains, server: subprocess.Popen | None) -> None:
        clients = [self._call(exports=self.exports)]
        if server:
            clients.append(self._call("--batch", exports=False))
        hit = clients[-1] if self.hits_second else clients[0]
        # What they print is little, and stays in their pipes meanwhile.
        self.struck = self.blow.strike(
            hit.process.pid, server.pid if server else None, lambda: hit.process.poll() is not None
        )
        for client in clients:
            try:
                client.finish()
            except subprocess.TimeoutExpired:
                self.problems.append(f"a command did not end within {SECONDS_MAX} s")
                client.process.kill()
                client.finish()
        lives_on = {server.pid} if server and server.poll() is None else set()
        self._expect_nothing_left(remains, lives_on)
        for client in clients:
            self._expect_truth(client, was_hit=client is hit)
        self._expect_no_strange_files(remains, after_kill=True, serves=bool(lives_on))

    def _second_run(self) -> None:
        """The same with the same caches: it must succeed, and be right."""
        client = self._call(exports=True)
        try:
            client.finish()
        except subprocess.TimeoutExpired:
            self.problems.append("the second run did not end")
            client.process.kill()
            client.finish()
        self._expect(client.code == 0, f"the second run ended with {client.code}: {client.errors[-2000:]}")
        self._expect_truth(client, was_hit=False)
        for name in self.project.finals:
            self._expect((self.folder / "export" / f"{name}.arrows").exists(), f"the second run did not export {name}")

    # -- what must be true

    def _expect(self, is_true: bool, otherwise: str) -> None:
        if not is_true:
            self.problems.append(otherwise)

    def _expect_truth(self, client: Client, was_hit: bool) -> None:
        code = client.code
        if code < 0:
            number = signal.Signals(-code).name
            is_meant = was_hit and self.blow.kind in ("command", "any") and number in ("SIGKILL", "SIGTERM", "SIGINT")
            self._expect(is_meant, f"a command was ended by {number}: {client.errors[-2000:]}")
            self._expect_exports(complete=False)
            return
        self._expect(code in (0, 1), f"a command ended with {code}: {client.errors[-2000:]}")
        try:
            report = json.loads(client.out)
        except ValueError:
            self.problems.append(f"code {code}, and no report: {client.out[:200]!r} {client.errors[-2000:]}")
            return
        models = {model["name"]: model for model in report["models"]}
        self._expect((report["status"] == "success") == (code == 0), f"code {code}, but {report['status']}")
        if code == 0:
            missing = {step.name for step in self.project.steps} - set(models)
            self._expect(not missing, f"a success without {missing}")
            states = {model["status"] for model in models.values()}
            self._expect(states <= {"success", "cached", "unneeded"}, f"a success with models that are {states}")
        else:
            self._expect(bool((report.get("error") or {}).get("message")), "a failure without a reason")
            self._expect(
                self.struck is not None,
                f"a failure, and nobody was struck: {report.get('error')} {client.errors[-2000:]}",
            )
        for name, model in models.items():
            if name in self.project.expected and model["status"] in ("success", "cached"):
                rows = (model.get("output") or {}).get("rows")
                expected = self.project.expected[name].num_rows
                self._expect(rows == expected, f"{name} is said to have {rows} rows, it has {expected}")
        if client.export:
            self._expect_exports(complete=code == 0)

    def _expect_exports(self, complete: bool) -> None:
        """What is exported is whole and right, and everything when the run was a success."""
        for name in self.project.finals:
            path = self.folder / "export" / f"{name}.arrows"
            if not path.exists():
                self._expect(not complete, f"{name} was not exported")
                continue
            try:
                table = pa.ipc.open_stream(path.read_bytes()).read_all()
            except (pa.ArrowInvalid, OSError) as error:
                self.problems.append(f"the exported {name} is no table: {error}")
                continue
            self._expect(self.project.is_right(name, table), f"the exported {name} has wrong rows")

    def _expect_nothing_left(self, remains: Remains, known: set[int]) -> None:
        for what in remains.check(self.engines, known):
            self.problems.append(f"left behind: {what}")

    def _expect_no_strange_files(self, remains: Remains, after_kill: bool, serves: bool = False) -> None:
        # An engine that lives keeps one folder for those of its workers, which is empty now.
        def is_scratch(name: str) -> bool:
            return serves and re.fullmatch(r"\.zerrow-scratch-[0-9]+", name) is not None

        finals = {f"{name}.arrows" for name in self.project.finals}
        sources = {"data", "data/numbers.parquet", "kept.parquet", "make_it.py", "models.py", "zerrow_project.yml"}
        sources |= {f"{step.name}.sql" for step in self.project.steps}
        if after_kill:
            # The project's own command was killed half way: what it left is its own.
            sources.add("data/made.tmp")
        strange = remains.strange_files(
            {
                "export": finals.__contains__,
                "tmp": is_scratch,
                "spill": is_scratch,
                "cache": lambda name: re.fullmatch(r"[0-9a-f]{32}\.arrow", name) is not None,
                "project": sources.__contains__,
                # A history that was being written has its journal until the next one reads it.
                "socket": lambda name: name in ("engine.sock", "engine.sock.lock") or name.startswith("history.sqlite"),
            }
        )
        self.problems.extend(f"left behind: {name}" for name in strange)

    def clean(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

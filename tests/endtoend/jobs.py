"""Driving `zerrow job`: a folder of jobs for each test, and what the command says of it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import Project, wait_until


@dataclass
class Jobs:
    """The jobs of a project's user, in a folder of their own."""

    project: Project
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """What has a call remember its job here."""
        return {"ZERROW_JOBS": str(self.folder)}

    def call(self, *words: str, env: dict | None = None, **options) -> subprocess.CompletedProcess:
        """A call of the command, run to its end."""
        return subprocess.run(
            [*self.project.caller.words, *words],
            capture_output=True, text=True, timeout=300, env=self.project.environment({**self.env, **(env or {})}),
            **options,
        )  # fmt: skip

    def json(self, *words: str, env: dict | None = None):
        """What `job …` prints as JSON."""
        done = self.call("job", *words, "-O", "json", env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ls(self, *options: str) -> list[dict]:
        return self.json("ls", *options)["jobs"]

    def get(self, job: str) -> dict:
        return self.json("get", job)

    def logs(self, job: str, *options: str) -> list[dict]:
        return self.json("logs", job, *options)["logs"]

    def wait(self, job: str, *statuses: str) -> dict:
        """Wait until a job has one of these statuses."""
        wait_until(lambda: self.get(job)["status"] in statuses, seconds=120, what=f"job {job} being {statuses}")
        return self.get(job)


def make_jobs(project: Project, folder: Path) -> Jobs:
    """A folder that only the project's user can write to."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    os.chown(state, project.caller.uid, -1)
    return Jobs(project, state / "jobs")


@pytest.fixture
def jobs(project: Project, tmp_path: Path) -> Jobs:
    """The jobs of `project`."""
    return make_jobs(project, tmp_path)


@pytest.fixture
def any_jobs(any_project: Project, tmp_path: Path) -> Jobs:
    """The jobs of `any_project`."""
    return make_jobs(any_project, tmp_path)

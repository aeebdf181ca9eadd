"""End-to-end tests drive the command only: what a user can do, and what a user can see."""

from caching import chain
from client_scripts import script
from command import any_project, ordinary, project, serve
from jobs import any_jobs, jobs
from materializing import by_day, parametrised

__all__ = [
    "any_jobs", "any_project", "by_day", "chain", "jobs", "ordinary", "parametrised", "project", "script", "serve",
]  # fmt: skip

"""End-to-end tests drive the command only: what a user can do, and what a user can see."""

from caching import chain
from command import any_project, ordinary, project, serve
from jobs import any_jobs, jobs

__all__ = ["any_jobs", "any_project", "chain", "jobs", "ordinary", "project", "serve"]

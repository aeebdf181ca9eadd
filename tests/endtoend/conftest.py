"""End-to-end tests drive the command only: what a user can do, and what a user can see."""

from caching import chain
from command import any_project, ordinary, project, serve

__all__ = ["any_project", "chain", "ordinary", "project", "serve"]

"""End-to-end tests drive the command only: what a user can do, and what a user can see."""

from command import any_project, ordinary, project, serve

__all__ = ["any_project", "ordinary", "project", "serve"]

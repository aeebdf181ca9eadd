"""Reads a project into a plan, without importing any of its code."""

from zerrow.plan.planner import plan_project

__all__ = ["plan_project"]

"""A module that wants to know of forks, as libraries with connections or numbers of their own do."""

import os

seen: list[str] = []

os.register_at_fork(
    before=lambda: seen.append("before"),
    after_in_child=lambda: seen.append("in the child"),
    after_in_parent=lambda: seen.append("in the parent"),
)

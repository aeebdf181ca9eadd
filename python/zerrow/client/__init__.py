"""zerrow from scripts and notebooks: runs projects, and gives their tables without a copy.

Loaded when `zerrow.run`, `zerrow.query` or `zerrow.testing` is named: models, which import zerrow too, pay nothing for
it. It drives the command `zerrow`, and adds one thing that no file could give: the tables themselves.
"""

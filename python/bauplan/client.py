"""The client: scripts run projects with it, read tables, and look at jobs."""

from __future__ import annotations

import os
import platform

from bauplan._client.branches import Branches
from bauplan._client.catalog import Catalog
from bauplan._client.imports import Imports
from bauplan._client.jobs import Jobs, user_name
from bauplan._client.queries import Queries
from bauplan._values.info import InfoState, RunnerNodeInfo, UserInfo


class Client(Jobs, Queries, Catalog, Branches, Imports):
    """Runs projects, reads tables and looks at jobs, all by the command `zerrow`, which is a process of its own.

    Queries and tables are of the project that the variable ZERROW_PROJECT names, else of the one that the current
    folder is in, else of the one that this client ran last. The arguments say nothing: zerrow has no accounts.
    """

    def info(self, *, client_timeout: float | None = None, **others: object) -> InfoState:
        """Who calls, and which version of zerrow answers."""
        report = self._ask(["info"], client_timeout).report
        name = user_name()
        user = UserInfo(str(os.getuid()), name, name)
        return InfoState(str(report.get("version", "")), None, user, [RunnerNodeInfo(platform.node())])

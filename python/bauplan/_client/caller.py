"""What all parts of the client share: the command, the project, and how both are asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bauplan._client.arguments import seconds
from bauplan._client.command import Answer, Command
from bauplan._client.project import project_above
from bauplan.exceptions import BauplanError

_OLDER = ("args", "branch", "cache", "debug", "env", "feature_flags", "namespace", "user_session_token", "verbose")
"""Arguments of older clients, which say nothing either."""


class Caller:
    """Who asks the command. It may be used by several threads."""

    def __init__(
        self,
        profile: str | None = None,
        api_key: str | None = None,
        client_timeout: int | None = None,
        config_file_path: str | os.PathLike[str] | None = None,
        **older: object,
    ) -> None:
        """All arguments are there for scripts that give them, and say nothing: zerrow has no accounts."""
        unknown = older.keys() - set(_OLDER)
        if unknown:
            raise TypeError(f"Client() got an unexpected keyword argument {min(unknown)!r}")
        if "zerrow.zygote" in sys.modules:
            raise BauplanError(
                "a model can't use bauplan.Client: it runs isolated, without the engine, the network and the tables of "
                "others; read tables as its inputs, bauplan.Model(…), and use the client in a script beside the models"
            )
        self._found: Command | None = None
        self._last_project: Path | None = None

    def __repr__(self) -> str:
        return "bauplan.Client()"

    @property
    def _command(self) -> Command:
        if self._found is None:
            self._found = Command.find()
        return self._found

    def _project(self) -> Path:
        """The project that queries and tables are of."""
        named = os.environ.get("ZERROW_PROJECT")
        if named:
            return Path(named)
        project = project_above(Path.cwd()) or self._last_project
        if project is None:
            raise BauplanError(
                "whose tables are meant? Name a project's folder in ZERROW_PROJECT, or call from within one, or run "
                "one with this client first"
            )
        return project

    def _call(
        self,
        *arguments: str,
        text: str | None = None,
        environment: Mapping[str, str] | None = None,
        client_timeout: float | None = None,
    ) -> Answer:
        return self._command.call(arguments, text=text, environment=environment, timeout=seconds(client_timeout))

    def _ask(self, arguments: Sequence[str], client_timeout: float | None = None) -> Answer:
        """Ask about something; whatever goes wrong is raised."""
        answer = self._call(*arguments, client_timeout=client_timeout)
        if not answer.is_good:
            raise BauplanError(answer.reason)
        return answer

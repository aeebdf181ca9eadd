"""Who calls, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class UserInfo:
    """The user of the system who calls."""

    id: str
    username: str
    first_name: str = ""
    last_name: str = ""

    @property
    def full_name(self) -> str:
        """Both names."""
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True)
class OrganizationInfo:
    """An organization; there is none on a machine of one's own."""

    id: str
    name: str
    slug: str
    default_parameter_secret_key: str | None = None
    default_parameter_secret_public_key: str | None = None


@dataclass(frozen=True)
class RunnerNodeInfo:
    """A machine that runs jobs."""

    hostname: str


@dataclass(frozen=True)
class InfoState:
    """Who calls, which version answers, and on which machine."""

    client_version: str
    organization: OrganizationInfo | None = None
    user: UserInfo | None = None
    runners: list[RunnerNodeInfo] = field(default_factory=list)

"""The principal: the authenticated caller, whichever authentication method was used."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

LOCAL_TENANT = "local"


class Role(StrEnum):
    """What a principal may do; `ci_common.policy` maps role and action to allow or deny."""

    ADMIN = "admin"
    SUBMITTER = "submitter"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, for the audit log."""

    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What may be told of an API key to whoever holds it."""

    prefix: str
    name: str
    expires_at: datetime | None = None
    """`None`: never."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What may be told of a browser session to whoever has its cookie."""

    session_id: str
    ends_at: datetime
    """Whatever happens, it is over then."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. Two credentials of one user of one tenant are the same caller."""

    tenant: str
    user: str
    role: Role
    credential: str = "local"
    """What proved it, for the audit log; never the secret itself."""
    only_job: str | None = None
    """Set on callers with a token to read this one job, and nothing else."""
    origin: Origin = field(default=Origin(), compare=False)
    """Where this request of theirs came from; no part of who they are."""
    email: str | None = field(default=None, compare=False)
    """What the issuer of their token says of it, where it is not `user` itself. It is only told."""
    key: KeyFacts | None = field(default=None, compare=False)
    """The API key that proved it, where one did. It is only told, too."""
    session: SessionFacts | None = field(default=None, compare=False)
    """The browser session that they are signed in with, where it is one. It is only told, too."""


LOCAL_PRINCIPAL = Principal(tenant=LOCAL_TENANT, user="local", role=Role.ADMIN)
"""The single user of a server without identities, which serves loopback only."""

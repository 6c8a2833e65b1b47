"""Who did what to which job from where: rows that are only ever added."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class AuditAction(StrEnum):
    """What was done. Stable; more may come."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    RERUN = "rerun"
    LIST = "list"
    READ = "read"
    ISSUE_TOKEN = "lend"  # noqa: S105 - its name
    PREVIEW = "preview"
    USAGE = "usage"
    METRICS = "metrics"
    PRIORITIZE = "prioritize"
    SESSIONS = "sessions"
    READ_LOG = "read_log"
    READ_ARTIFACT = "read_artifact"
    AUTHENTICATE = "authenticate"
    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    SESSION_REVOKE = "session_revoke"
    USER_CREATE = "user_create"
    USER_DISABLE = "user_disable"
    USER_ENABLE = "user_enable"
    USER_DELETE = "user_delete"
    USER_RENAME = "user_rename"
    KEY_CREATE = "key_create"
    KEY_REVOKE = "key_revoke"
    KEY_ROTATE = "key_rotate"
    SECRET_SET = "secret_set"  # noqa: S105 - its name
    SECRET_DELETE = "secret_delete"  # noqa: S105 - its name
    SUBSCRIPTION_ADD = "subscription_add"
    SUBSCRIPTION_REMOVE = "subscription_remove"
    SUBSCRIPTION_ENABLE = "subscription_enable"
    SUBSCRIPTION_DISABLE = "subscription_disable"
    SIGNING_SECRET_ROTATE = "signing_secret_rotate"  # noqa: S105 - its name
    REDELIVER = "redeliver"


class AuditOutcome(StrEnum):
    """Whether it was done."""

    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action, or the attempt of one. Never holds a secret."""

    at: datetime
    action: str
    outcome: AuditOutcome = AuditOutcome.ALLOWED
    tenant: str | None = None
    user: str | None = None
    """`None` when nobody we know; operators are `os:NAME`."""
    role: str | None = None
    credential: str | None = None
    """What proved who it was; never the secret itself."""
    job_id: str | None = None
    target: str | None = None
    """What else it was done to: an artifact's path, a key's name."""
    address: str | None = None
    request_id: str | None = None
    detail: str | None = None
    """For people."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are asked for; `None` does not narrow."""

    since: datetime | None = None
    tenant: str | None = None
    user: str | None = None
    job_id: str | None = None
    action: str | None = None
    limit: int = 100


class AuditLog(Protocol):
    """Entries are added, and stay. What must not be lost with its action is written in the
    action's own transaction: see `JobSubmissions`.
    """

    async def record(self, entry: AuditEntry) -> None:
        """Add an entry, durably once this returns."""


class AuditReader(Protocol):
    """The operator's side."""

    async def entries(self, query: AuditQuery) -> list[AuditEntry]:
        """The newest `limit` entries that match, the newest last."""


class AuditRetention(Protocol):
    """The only way an entry goes."""

    async def delete_before(self, moment: datetime) -> int:
        """Forget the entries that are older; returns how many that were. Raises DatabaseError
        for a moment of the last day: what happened just now cannot be forgotten by anybody.
        """

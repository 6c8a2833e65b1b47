"""Browser sessions, as the server and the administrator use them."""

from datetime import datetime, timedelta
from typing import Protocol

from ci_common.ports.audit import AuditEntry
from ci_common.sessions import Session


class RevocableSessions(Protocol):
    """Sessions that others than their own browsers end."""

    async def revoke(self, session_id: str, at: datetime, audit: AuditEntry | None = None) -> bool:
        """End a session from its next request on, and say whether that changed anything: not when
        there is none with this id, or when it was revoked before.
        """


class BrowserSessions(RevocableSessions, Protocol):
    """The server's side: it asks at every request, so an answer is never older than that."""

    async def add(
        self, session: Session, digest: str, most: int, audit: AuditEntry | None = None
    ) -> None:
        """Store a session with its entry of the audit log, durably. Of the other sessions of its
        user, those that were used last remain, `most` with this one.

        Raises UnauthenticatedError when its API key is not there any more.
        """

    async def find(self, digest: str) -> Session | None:
        """The session with this digest in whatever state; its key as it is now."""

    async def of_user(self, tenant: str, user: str) -> list[Session]:
        """The sessions of a user in whatever state, in the order in which they began."""

    async def record_use(self, session_id: str, at: datetime) -> None:
        """Note when a session was last used. A hint: it may wait for writers, and never fails."""

    async def delete(self, session_id: str, audit: AuditEntry | None = None) -> None:
        """Its browser signed out; safe to repeat."""

    async def delete_before(self, moment: datetime) -> int:
        """Forget the sessions that had to end before then; returns how many that were."""


class SessionAdministration(RevocableSessions, Protocol):
    """The administrator's side."""

    async def sessions(self, user: str | None = None) -> list[Session]:
        """All sessions that are stored, or those of one user, in the order in which they began."""


LONGEST_KEPT = timedelta(days=7)
"""For so long a session that is over is kept, so that its browser can be told."""

"""Users and API keys, as the server and the administrator use them."""

from datetime import datetime
from typing import Protocol

from ci_common.identities import ApiKey, User
from ci_common.ports.audit import AuditEntry


class IssuedKeys(Protocol):
    """The server's side: it asks at every request, so an answer is never older than that."""

    async def has_users(self) -> bool:
        """Whether there is any user. There is no way back from True."""

    async def find_live(self, digest: str, at: datetime) -> ApiKey | None:
        """The key with this digest, unless it is revoked, has expired by then, or its user is
        disabled.

        What was revoked or disabled before the call, in whatever process, is not found.
        """

    async def record_use(self, key_id: str, at: datetime) -> None:
        """Note when a key was last used. A hint: it may wait for writers, and never fails."""


class IdentityAdministration(Protocol):
    """The administrator's side. What a method changed is durable when it returns, together with
    the entry of the audit log that tells of it; without a change there is neither.
    """

    async def add_user(self, user: User, audit: AuditEntry | None = None) -> None:
        """Raises UserExistsError for an address that is there, in whatever tenant."""

    async def get_user(self, email: str) -> User:
        """The user of a canonical address. Raises UserNotFoundError."""

    async def users(self) -> list[User]:
        """All of them, by tenant and address."""

    async def disable_user(self, email: str, at: datetime, audit: AuditEntry | None = None) -> User:
        """Refuse the user's keys from the next request on; safe to repeat, the first moment stays.

        Raises UserNotFoundError.
        """

    async def enable_user(self, email: str, audit: AuditEntry | None = None) -> User:
        """Accept the keys of a disabled user again; safe to repeat. Raises UserNotFoundError."""

    async def delete_user(self, email: str, audit: AuditEntry | None = None) -> int:
        """Delete a user and their keys, and return how many jobs of theirs remain.

        Raises UserNotFoundError, and LastUserError for the only one there is.
        """

    async def rename_user(self, email: str, new_email: str, audit: AuditEntry | None = None) -> int:
        """Give a user another address, with their keys and all their jobs, live ones, too; return
        how many jobs that are.

        Raises UserNotFoundError, UserExistsError.
        """

    async def add_key(self, key: ApiKey, digest: str, audit: AuditEntry | None = None) -> None:
        """Store a key of an existing user. Raises UserNotFoundError."""

    async def rotate(
        self,
        key_id: str,
        new: ApiKey,
        digest: str,
        until: datetime,
        audit: AuditEntry | None = None,
    ) -> None:
        """Store a new key in place of a live one, which is worth nothing from `until` on: at
        `new.created_at`, that is at once, it is revoked.

        Raises KeyNotFoundError, also for a key that is not live.
        """

    async def keys(self, email: str | None = None) -> list[ApiKey]:
        """All keys, or those of one user, in the order in which they were made."""

    async def find_key(self, reference: str) -> ApiKey:
        """The key that has this id or prefix, or is this.

        Raises KeyNotFoundError, also when there is more than one.
        """

    async def revoke(self, key_id: str, at: datetime, audit: AuditEntry | None = None) -> ApiKey:
        """Make a key worthless from the next request on; safe to repeat, the first moment stays.

        Raises KeyNotFoundError.
        """

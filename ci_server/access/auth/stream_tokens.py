"""Tokens for one job and a minute: for browsers, whose EventSource cannot send headers.

See job_grants for what is in one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from typing_extensions import override

from ci_common.errors import ForbiddenError, InvalidCredentialsError
from ci_common.principal import Principal
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.job_grants import MOST_CHARACTERS, JobGrants

PREFIX = "st1."

_NOT_IN_URLS = (
    "a URL may contain only stream tokens (POST /jobs/{id}/token), because URLs end up "
    "in logs and histories: send API keys and other tokens as `Authorization: Bearer ...`, and "
    "replace the one that was in this URL"
)


@dataclass(frozen=True, slots=True)
class StreamToken:
    """What lets its holder read one job."""

    token: str
    expires_at: datetime


class StreamTokens:
    """Issues tokens, and knows them again. Nothing is stored; a token cannot be taken back, so
    after its giver lost a permission it lasts for the rest of its life.
    """

    def __init__(self, key: bytes, seconds: float, now: Callable[[], datetime]) -> None:
        self._grants = JobGrants(PREFIX, "stream-token", lambda: (key,))
        self._life = timedelta(seconds=seconds)
        self._now = now

    def issue(self, principal: Principal, job_id: str, seconds: float | None = None) -> StreamToken:
        """A token for a job that the principal may read, for so many seconds or the usual time.
        Raises ForbiddenError.
        """
        if principal.only_job is not None:
            raise ForbiddenError("with a token for one job you cannot get another token")
        life = self._life if seconds is None else timedelta(seconds=seconds)
        expires_at = self._now().replace(microsecond=0) + life
        return StreamToken(self._grants.seal(principal, job_id, expires_at), expires_at)

    def principal(self, token: str) -> Principal:
        """The giver, narrowed to the job. Raises InvalidCredentialsError."""
        if len(token) > MOST_CHARACTERS or not token.isascii():
            raise InvalidCredentialsError("this token was not issued by this server")
        grant = self._grants.read(token)
        if grant is None:
            raise InvalidCredentialsError(
                "this stream token was not issued by this server, or was altered"
            )
        if grant.has_expired(self._now()):
            raise InvalidCredentialsError(
                "this stream token has expired; get a new one from POST /jobs/{id}/token"
            )
        return grant.giver


class StreamTokenIdentity(Identity):
    """`?token=`: nothing but a stream token is accepted there."""

    def __init__(self, tokens: StreamTokens) -> None:
        self._tokens = tokens

    @override
    async def is_configured(self) -> bool:
        """Always: the server makes its key itself."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The token."""
        return credentials.token

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Raises InvalidCredentialsError, whatever else the request holds."""
        token = credentials.token
        if token is None:
            return None
        if not token.startswith(PREFIX):
            raise InvalidCredentialsError(_NOT_IN_URLS)
        return self._tokens.principal(token)

"""Tokens for one job and a minute: for browsers, whose EventSource cannot send headers.

A token is `st1.PAYLOAD.MAC`, both parts base64url. It holds who gave it, so that it needs no row,
works at every server on the data directory, and reads the job with its giver's own reach.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from typing_extensions import override

from ci_common.errors import ForbiddenError, InvalidCredentialsError
from ci_common.principal import Principal, Role
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials

PREFIX = "st1."
MOST_CHARACTERS = 4096

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
        self._key = key
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
        payload = {
            "job": job_id,
            "tenant": principal.tenant,
            "user": principal.user,
            "role": principal.role.value,
            "credential": principal.credential,
            "exp": int(expires_at.timestamp()),
        }
        body = PREFIX + _encoded(json.dumps(payload, separators=(",", ":")).encode())
        return StreamToken(f"{body}.{self._mac(body)}", expires_at)

    def principal(self, token: str) -> Principal:
        """The giver, narrowed to the job. Raises InvalidCredentialsError."""
        body, _, mac = token.rpartition(".")
        if len(token) > MOST_CHARACTERS or not token.isascii():
            raise InvalidCredentialsError("this token was not issued by this server")
        if not hmac.compare_digest(mac, self._mac(body)):
            raise InvalidCredentialsError(
                "this stream token was not issued by this server, or was altered"
            )
        payload = _payload(body)
        if payload["exp"] <= self._now().timestamp():
            raise InvalidCredentialsError(
                "this stream token has expired; get a new one from POST /jobs/{id}/token"
            )
        giver = Principal(payload["tenant"], payload["user"], Role(payload["role"]))
        credential = f"stream-token of {payload['credential']}"
        return replace(giver, credential=credential, only_job=payload["job"])

    def _mac(self, body: str) -> str:
        return _encoded(hmac.digest(self._key, body.encode(), hashlib.sha256))


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


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _payload(body: str) -> dict[str, Any]:
    """Only of a body whose MAC is right: it is as we wrote it."""
    encoded = body.removeprefix(PREFIX)
    try:
        found: dict[str, Any] = json.loads(
            base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        )
    except (binascii.Error, ValueError):
        raise InvalidCredentialsError("this token was not issued by this server") from None
    return found

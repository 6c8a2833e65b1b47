"""Texts that let whoever has one read one job until a moment, with the reach of who gave it.

One is `PREFIX.PAYLOAD.MAC`, the last two base64url. It says who gave it, so that it needs no row
and works at every server that has the key.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ci_common.principal import Principal, Role

MOST_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class JobGrant:
    """What one says."""

    job_id: str
    giver: Principal
    """Narrowed to the job."""
    expires: int
    """In seconds since 1970."""
    attempt: int | None
    """Of the job; `None` for all of them."""

    def has_expired(self, now: datetime) -> bool:
        """Whether it holds no more."""
        return self.expires <= now.timestamp()


class JobGrants:
    """Makes them, and reads those it has made. `keys` are newest first; the first one signs."""

    def __init__(self, prefix: str, kind: str, keys: Callable[[], Sequence[bytes]]) -> None:
        """`prefix` ends with a dot; `kind` is what it is called as a credential."""
        self._prefix = prefix
        self._kind = kind
        self._keys = keys

    def seal(
        self, giver: Principal, job_id: str, expires_at: datetime, attempt: int | None = None
    ) -> str:
        """One for a job that its giver may read."""
        payload = {
            "job": job_id,
            "tenant": giver.tenant,
            "user": giver.user,
            "role": giver.role.value,
            "credential": giver.credential,
            "exp": int(expires_at.timestamp()),
        }
        if attempt is not None:
            payload["attempt"] = attempt
        content = json.dumps(payload, separators=(",", ":")).encode()
        body = self._prefix + _encoded(content)
        return f"{body}.{_mac(self._keys()[0], body)}"

    def read(self, text: str) -> JobGrant | None:
        """What it says; `None` when it was not made here, or was altered."""
        if len(text) > MOST_CHARACTERS or not text.isascii() or not text.startswith(self._prefix):
            return None
        body, _, mac = text.rpartition(".")
        if not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._keys()):
            return None
        payload = _payload(body.removeprefix(self._prefix))
        if payload is None:
            return None
        giver = Principal(
            payload["tenant"],
            payload["user"],
            Role(payload["role"]),
            credential=f"{self._kind} of {payload['credential']}",
            only_job=payload["job"],
        )
        return JobGrant(payload["job"], giver, payload["exp"], payload.get("attempt"))


def _mac(key: bytes, body: str) -> str:
    return _encoded(hmac.digest(key, body.encode(), hashlib.sha256))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _payload(encoded: str) -> dict[str, Any] | None:
    """Only of a body whose MAC is right: it is as we wrote it."""
    try:
        found: dict[str, Any] = json.loads(
            base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        )
    except (binascii.Error, ValueError):
        return None
    return found

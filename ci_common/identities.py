"""Users and their API keys, and what an API key looks like.

A key is `ci_` and 256 random bits. Only its SHA-256 is kept: a key that nobody can guess needs no
slow hash, and whoever looks one up by its hash learns nothing from how long that takes.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from ci_common.errors import InvalidIdentityError
from ci_common.principal import LOCAL_TENANT, Role

TOKEN_MARK = "ci_"  # noqa: S105 - what every key begins with, so that it is recognised in texts
_TOKEN_BYTES = 32
_PREFIX_CHARACTERS = len(TOKEN_MARK) + 8
_MOST_CHARACTERS = 100

_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?")
_TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may have keys. One user always remains: without any, a server asks nobody who
    they are.
    """

    email: str
    """Canonical (`canonical_email`); unique in the database, and the `user` of jobs."""
    name: str
    created_at: datetime
    tenant: str = LOCAL_TENANT
    disabled_at: datetime | None = None
    """Since when the user's keys are refused; `None`: they are not."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known about a key; the key itself is not."""

    key_id: str
    prefix: str
    """The key's first characters, for people to recognise it by."""
    name: str
    user: User
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    """`None`: never."""
    last_used_at: datetime | None = None
    """Accurate to a minute or so."""
    revoked_at: datetime | None = None

    def state(self, at: datetime) -> str:
        """`live`, `expired`, `revoked`, or `disabled` as its user is."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and at >= self.expires_at:
            return "expired"
        return "live" if self.user.disabled_at is None else "disabled"

    def successor(self, key_id: str, prefix: str, at: datetime) -> "ApiKey":
        """A key with the same rights, which lasts as long as this one was made for."""
        lasts = None if self.expires_at is None else self.expires_at - self.created_at
        until = None if lasts is None else at + lasts
        return ApiKey(key_id, prefix, self.name, self.user, self.role, at, until)


def new_token() -> str:
    """A key. It is to be shown once, and never stored."""
    return TOKEN_MARK + secrets.token_urlsafe(_TOKEN_BYTES)


def new_key_id() -> str:
    """What names a key where the key must not be shown."""
    return secrets.token_hex(6)


def prefix_of(token: str) -> str:
    """The part of a key that may be shown. 208 bits of it are still unknown then."""
    return token[:_PREFIX_CHARACTERS]


def is_whole_token(text: str) -> bool:
    """Whether this may be a key itself, rather than its prefix."""
    return text.startswith(TOKEN_MARK) and len(text) > _PREFIX_CHARACTERS


def token_digest(token: str) -> str:
    """What is stored in the place of a key: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def canonical_email(text: str) -> str:
    """An address in the one form it is compared in. Raises InvalidIdentityError."""
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise InvalidIdentityError(
            f"{text[:_MOST_CHARACTERS]!r} is not an e-mail address such as ann@example.com"
        )
    return email


def checked_tenant(text: str) -> str:
    """A tenant's name. Raises InvalidIdentityError."""
    if not _TENANT.fullmatch(text):
        raise InvalidIdentityError(
            f"{text[:_MOST_CHARACTERS]!r} is not a valid tenant name: use up to 40 lowercase "
            "letters, digits and hyphens, beginning and ending with a letter or digit"
        )
    return text


def checked_name(text: str) -> str:
    """What people call a user or a key. Raises InvalidIdentityError."""
    name = text.strip()
    if not name or len(name) > _MOST_CHARACTERS or not name.isprintable():
        raise InvalidIdentityError(
            f"a name must have 1 to {_MOST_CHARACTERS} printable characters on one line"
        )
    return name

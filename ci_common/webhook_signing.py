"""Signatures of webhooks by the Standard Webhooks specification: version 1, symmetric."""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105 - not one itself
SECRET_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 24, 64
"""Of secrets, as the specification has it."""


def new_signing_key() -> bytes:
    """A random key."""
    return os.urandom(SECRET_BYTES)


def secret_text(key: bytes) -> str:
    """The key as receivers are given it: `whsec_…`."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def read_secret(text: str) -> bytes:
    """The key of a `whsec_…`. Raises ValueError, with a message for people."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(
            f"a signing secret is {SECRET_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes in "
            "base64"
        )
    return key


def signed_headers(
    message_id: str, at: datetime, body: bytes, keys: Iterable[bytes]
) -> dict[str, str]:
    """The headers that tell who sent the body and when; a signature for each key."""
    seconds = int(at.timestamp())
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = (hmac.digest(key, content, hashlib.sha256) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }

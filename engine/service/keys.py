"""The public keys of those who issue tokens: a JSON Web Key Set (RFC 7517), fetched and kept.

Only RSA keys are taken. An unknown key's name makes the set be fetched again, but not at any rate
that strangers choose; while the set cannot be fetched, cached keys are used for an hour.
"""

import base64
import binascii
import http.client
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import RequestError

FRESH_SECONDS = 600.0
STALE_SECONDS = 3600.0
PAUSE_SECONDS = 10.0
FETCH_SECONDS = 5.0
MAX_BYTES = 256 << 10
MAX_KEYS = 100
KEY_BITS = range(2048, 8193)
EXPONENTS = range(3, 1 << 32)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class KeysUnavailable(Exception):
    """The keys cannot be fetched at the moment, so the token cannot be verified."""


@dataclass(frozen=True)
class PublicKey:
    """An RSA key: modulus and exponent."""

    modulus: int
    exponent: int


@dataclass(frozen=True)
class _Held:
    keys: Mapping[str, PublicKey]
    at: float


class Keys:
    """The keys behind a URL, by their names; any thread may ask."""

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch or download
        self._clock = clock
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._tried: float | None = None

    def find(self, name: str) -> PublicKey | None:
        """The key of this name, None if there is none.

        Raises:
            KeysUnavailable: the set cannot be fetched, and none was for an hour.
        """
        held = self._usable()
        if held and name in held.keys and self._clock() - held.at < FRESH_SECONDS:
            return held.keys[name]
        waits = held is None or name not in held.keys  # others go on with what there is
        if self._lock.acquire(blocking=waits):
            try:
                self._refresh()
            finally:
                self._lock.release()
        held = self._usable()
        if held is None:
            raise KeysUnavailable(f"cannot fetch the keys at {self._url}")
        return held.keys.get(name)

    def _usable(self) -> _Held | None:
        held = self._held
        return held if held and self._clock() - held.at < STALE_SECONDS else None

    def _refresh(self) -> None:
        now = self._clock()
        if self._tried is not None and now - self._tried < PAUSE_SECONDS:
            return
        self._tried = now
        try:
            self._held = _Held(parse(self._fetch(self._url)), now)
        except (OSError, ValueError, http.client.HTTPException):
            return


def check_url(url: str) -> None:
    """Refuse a place that others could answer for.

    Raises:
        RequestError: it is neither https nor on this machine.
    """
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise RequestError(
            "ENGINE_JWKS_URL must be https: anyone who can alter the keys in transit can "
            "impersonate any user"
        )


def download(url: str) -> bytes:
    """The answer of a URL, of a bounded size, in a bounded time, and from there only."""
    deadline = time.monotonic() + FETCH_SECONDS
    opener = urllib.request.build_opener(_NoRedirects)
    content = b""
    with opener.open(url, timeout=FETCH_SECONDS) as answer:
        while block := answer.read1(1 << 16):
            content += block
            if len(content) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError("the key set is too large or too slow")
    return content


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        """None makes it an error."""


def parse(content: bytes) -> dict[str, PublicKey]:
    """The RSA keys for signatures of a set, by name.

    Raises:
        ValueError: it is no key set.
    """
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("no list of keys")
    return {entry["kid"]: key for entry in entries if (key := _key(entry)) is not None}


def _key(entry: Any) -> PublicKey | None:
    if not isinstance(entry, dict) or entry.get("kty") != "RSA":
        return None
    if not isinstance(entry.get("kid"), str):
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    key = PublicKey(*(int.from_bytes(decoded(entry.get(part))) for part in ("n", "e")))
    strong = key.modulus.bit_length() in KEY_BITS and key.modulus % 2 == 1
    return key if strong and key.exponent in EXPONENTS and key.exponent % 2 == 1 else None


def decoded(text: Any) -> bytes:
    """The bytes of base64url without padding (RFC 7515, 2), in its one canonical form.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("is not base64url")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64url") from error
    if base64.urlsafe_b64encode(content).rstrip(b"=") != text.encode("ascii"):
        raise ValueError("is not canonical base64url")
    return content

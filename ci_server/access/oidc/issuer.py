"""What an issuer says about itself (OpenID Connect Discovery 1.0)."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ci_common.addresses import is_loopback
from ci_common.errors import NotReadyError
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_server.access.auth.jwt_verifier import JwtVerifier
from ci_server.access.auth.key_cache import KeyCache
from ci_server.access.auth.key_fetch import KeySetFetcher, KeySetUnavailableError

logger = logging.getLogger(__name__)

DOCUMENT_PATH = "/.well-known/openid-configuration"

_REFRESH_SECONDS = 600.0
_PAUSE_SECONDS = 5.0
"""Between two attempts that fail, whatever browsers ask for."""

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class WrongIssuerError(ValueError):
    """A document that is not one of this issuer."""


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """What of its document is used."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    takes_basic: bool
    """Whether the client's secret may be sent as HTTP Basic, which every issuer should take."""
    names_itself: bool
    """Whether its answers have the parameter `iss` (RFC 9207)."""


@dataclass(frozen=True, slots=True)
class KnownIssuer:
    """The facts, and what verifies the issuer's tokens."""

    facts: IssuerFacts
    verifier: JwtVerifier


def parse_facts(content: bytes, issuer: str) -> IssuerFacts:
    """Of the issuer's document. Raises ValueError."""
    document = strict_object(content)
    if document.get("issuer") != issuer:
        raise WrongIssuerError("it is the document of another issuer than CI_OIDC_ISSUER")
    endpoints = {name: _endpoint(document, name) for name in _ENDPOINTS}
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return IssuerFacts(
        **endpoints,
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    url = urlsplit(value) if isinstance(value, str) else None
    host = url and url.hostname
    if not isinstance(value, str) or url is None or not host:
        raise WrongIssuerError(f"its {name} is not a URL")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise WrongIssuerError(f"its {name} is not https")
    return value


class Issuer:
    """One issuer, whose document is fetched when it is needed, and again now and then."""

    def __init__(
        self, issuer: str, client_id: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._monotonic = monotonic
        self._fetcher = KeySetFetcher(issuer.rstrip("/") + DOCUMENT_PATH)
        self._known: KnownIssuer | None = None
        self._keys: KeyCache | None = None
        self._former_keys: KeyCache | None = None
        """Before the issuer changed its `jwks_uri`: logins in progress may still use it."""
        self._fetched_at = self._failed_at = float("-inf")
        self._turn = asyncio.Lock()

    async def known(self) -> KnownIssuer:
        """The issuer as it is now, or was when it could last be asked. Raises NotReadyError."""
        async with self._turn:
            now = self._monotonic()
            is_due = now - self._fetched_at >= _REFRESH_SECONDS
            if is_due and now - self._failed_at >= _PAUSE_SECONDS:
                await self._fetch()
            if self._known is None:
                raise unavailable()
            return self._known

    async def close(self) -> None:
        """Let go of connections."""
        await self._fetcher.close()
        for keys in (self._keys, self._former_keys):
            if keys is not None:
                await keys.close()

    async def _fetch(self) -> None:
        try:
            facts = parse_facts(await self._fetcher.fetch(), self.issuer)
        except (KeySetUnavailableError, AmbiguousJsonError, ValueError) as error:
            self._failed_at = self._monotonic()
            logger.warning("OpenID Connect: %s cannot be used: %s", self._fetcher.url, error)
            return
        self._fetched_at = self._monotonic()
        if self._known is None or self._known.facts.jwks_uri != facts.jwks_uri:
            if self._former_keys is not None:
                await self._former_keys.close()
            self._former_keys = self._keys
            self._keys = KeyCache(KeySetFetcher(facts.jwks_uri))
        if self._keys is not None:
            verifier = JwtVerifier(self._keys, self.issuer, self._client_id)
            self._known = KnownIssuer(facts, verifier)


def unavailable() -> NotReadyError:
    """To raise when the issuer cannot be asked."""
    return NotReadyError(
        "the identity provider does not answer as it should: try again in a minute, sign in with "
        "an API key, or tell an administrator",
        _PAUSE_SECONDS,
    )

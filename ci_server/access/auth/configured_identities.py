"""The identities that others vouch for, as the settings want them."""

import logging

from ci_common.settings import Settings
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.iap import (
    IAP_ALGORITHMS,
    IAP_ISSUER,
    DeveloperIdentity,
    IapAssertionIdentity,
    IapHeaderIdentity,
    ProxyUsers,
)
from ci_server.access.auth.jwt_identity import ClaimNames, JwtIdentity
from ci_server.access.auth.jwt_verifier import JwtVerifier
from ci_server.access.auth.key_cache import KeyCache
from ci_server.access.auth.key_fetch import KeySetFetcher

logger = logging.getLogger(__name__)


def warn_of_unchecked_audience(settings: Settings) -> None:
    """Tell the operator at the start what nobody should switch off unknowingly."""
    if not settings.jwt_check_audience:
        logger.warning(
            "CI_JWT_CHECK_AUDIENCE=false: every token that %s signs for any service is accepted "
            "here, so each of those services can act as its users on this server",
            settings.jwt_issuer,
        )


class ConfiguredIdentities:
    """JWTs, the identity-aware proxy, and its stand-in in development; each of them if set up."""

    def __init__(self, settings: Settings) -> None:
        self._caches: list[KeyCache] = []
        users = ProxyUsers(settings.iap_tenant, settings.iap_role)
        self.jwt: list[Identity] = self._of_jwt(settings)
        self.proxy: list[Identity] = [
            *self._of_assertions(settings, users),
            *_of_header(settings, users),
        ]
        developer = DeveloperIdentity(users, settings.allowed_origins)
        in_development = settings.environment == "development"
        self.developer: list[Identity] = [developer] if in_development else []

    async def close(self) -> None:
        """End fetches of keys."""
        for cache in self._caches:
            await cache.close()

    def _of_jwt(self, settings: Settings) -> list[Identity]:
        url, issuer = settings.jwt_keys_url, settings.jwt_issuer
        if url is None or issuer is None:
            return []
        verifier = JwtVerifier(
            self._cache(url),
            issuer,
            settings.jwt_audience,  # none only where that was asked for: the settings see to it
            requires_kid=settings.jwt_require_kid,
        )
        names = ClaimNames(
            tuple(settings.jwt_tenant_claims.split(",")), tuple(settings.jwt_user_claims.split(","))
        )
        return [JwtIdentity(verifier, settings.jwt_default_role, names)]

    def _of_assertions(self, settings: Settings, users: ProxyUsers) -> list[Identity]:
        if settings.iap_audience is None:
            return []
        keys = self._cache(settings.iap_jwks_url)
        verifier = JwtVerifier(keys, IAP_ISSUER, settings.iap_audience, IAP_ALGORITHMS)
        return [IapAssertionIdentity(verifier, users)]

    def _cache(self, url: str) -> KeyCache:
        self._caches.append(KeyCache(KeySetFetcher(url)))
        return self._caches[-1]


def _of_header(settings: Settings, users: ProxyUsers) -> list[Identity]:
    """Whoever has signed assertions needs no plain header, which any other proxy might pass on."""
    proxies = TrustedProxies.parse(settings.trusted_proxies)
    wanted = settings.iap_header
    if not proxies or wanted is False or (wanted is None and settings.iap_audience is not None):
        return []
    logger.info(
        "the proxies %s are trusted to set X-Goog-Authenticated-User-Email, so they must remove "
        "that header from clients' requests; set CI_IAP_HEADER=false if they are ordinary "
        "reverse proxies",
        settings.trusted_proxies,
    )
    return [IapHeaderIdentity(proxies, users)]

"""Who callers are: the identities that the settings name, in the order in which they are asked."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from ci_common.job import utc_now
from ci_common.policy import Policy
from ci_common.settings import Settings
from ci_persistence.files.token_key import load_token_key
from ci_persistence.sqlite.identities import SqliteIssuedKeys, has_users
from ci_persistence.sqlite.sessions import SqliteSessions
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.api_keys import ApiKeyIdentity
from ci_server.access.auth.authenticator import Authenticator, Identity
from ci_server.access.auth.configured_identities import (
    ConfiguredIdentities,
    warn_of_unchecked_audience,
)
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.stream_tokens import StreamTokenIdentity, StreamTokens
from ci_server.access.limits.configured import failure_limits, traffic_limits
from ci_server.access.limits.failed_logins import ThrottledAuthenticator
from ci_server.access.limits.traffic import Traffic
from ci_server.http.guards import AccessControl
from ci_server.services.configured_sessions import Sessions, configured_sessions
from ci_server.wiring.stores import ServerStores


def build_access(
    stores: ServerStores,
    policy: Policy,
    audit: AuditTrail,
    proxies: TrustedProxies,
    stack: AsyncExitStack,
) -> tuple[AccessControl, Sessions, StreamTokens]:
    """How routes find out who asks; and the sessions and tokens they give."""
    settings = stores.settings
    warn_of_unchecked_audience(settings)
    keys, instance_id = SqliteIssuedKeys(stores.database), stores.database.instance_id
    api_keys = ApiKeyIdentity(keys, utc_now)
    stack.push_async_callback(api_keys.close)
    key = load_token_key(settings.data_path)
    sessions = configured_sessions(
        settings, SqliteSessions(stores.database), keys, api_keys, audit, instance_id, key
    )
    stack.push_async_callback(sessions.close)
    configured = ConfiguredIdentities(settings)
    stack.push_async_callback(configured.close)
    tokens = StreamTokens(key, settings.stream_token_seconds, utc_now)
    # What comes with every request by itself is asked last: a proxy's word, then a cookie.
    issued = [api_keys, *configured.jwt, *configured.proxy]
    identities = [*issued, sessions.identity, *configured.developer]
    authenticator = authenticator_of(settings, identities, tokens)
    control = AccessControl(
        ThrottledAuthenticator(authenticator, failure_limits(settings)),
        policy,
        audit,
        Traffic(traffic_limits(settings)),
        proxies,
        settings.allowed_origins,
    )
    return control, sessions, tokens


async def has_identities(settings: Settings) -> bool:
    """Whether callers of a server with these settings have to prove who they are.

    Raises DatabaseError when its database cannot be read.
    """
    if await asyncio.to_thread(has_users, settings.db_path):
        return True
    configured = ConfiguredIdentities(settings)
    try:
        others = [*configured.jwt, *configured.proxy, *configured.developer]
        has_others = await authenticator_of(settings, others).has_identities()
        return has_others or settings.oidc_issuer is not None
    finally:
        await configured.close()


def authenticator_of(
    settings: Settings, identities: Sequence[Identity], tokens: StreamTokens | None = None
) -> Authenticator:
    """The identities are asked in their order, tokens for one job before them."""
    return Authenticator(
        identities,
        LocalIdentity(insecure=settings.insecure, origins=settings.allowed_origins),
        None if tokens is None else StreamTokenIdentity(tokens),
    )

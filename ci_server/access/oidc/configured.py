"""Signing in with an issuer, as the settings want it."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ci_common.errors import SettingsError
from ci_common.settings import Settings
from ci_server.access.auth.jwt_identity import ClaimNames
from ci_server.access.oidc.attempt import Attempts
from ci_server.access.oidc.issuer import Issuer
from ci_server.access.oidc.login import OidcLogin, UserMapping
from ci_server.access.oidc.token_endpoint import TokenEndpoint

logger = logging.getLogger(__name__)

_MOST_SECRET = 4096


def configured_login(
    settings: Settings, key: bytes, now: Callable[[], datetime]
) -> OidcLogin | None:
    """`None` when no issuer is set up. Raises SettingsError."""
    issuer, client_id = settings.oidc_issuer, settings.oidc_client_id
    if issuer is None or client_id is None:
        return None
    if settings.oidc_tenant is not None and settings.oidc_required_claim is None:
        logger.warning(
            "CI_OIDC_TENANT without CI_OIDC_REQUIRED_CLAIM: everyone with an account at %s is a "
            "user of the tenant %s here",
            issuer,
            settings.oidc_tenant,
        )
    return OidcLogin(
        Issuer(issuer, client_id),
        TokenEndpoint(client_id, _secret(settings.oidc_client_secret_file)),
        Attempts(key),
        _mapping(settings),
        client_id,
        settings.oidc_scopes,
        now,
    )


def _mapping(settings: Settings) -> UserMapping:
    required = settings.oidc_required_claim
    name, _, value = (required or "").partition("=")
    return UserMapping(
        ClaimNames(
            tuple(settings.jwt_tenant_claims.split(",")), tuple(settings.jwt_user_claims.split(","))
        ),
        settings.jwt_default_role,
        settings.oidc_tenant,
        None if required is None else (name, value),
    )


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text().strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"CI_OIDC_CLIENT_SECRET_FILE: cannot be read: {error}") from error
    if not secret or len(secret) > _MOST_SECRET:
        raise SettingsError(f"CI_OIDC_CLIENT_SECRET_FILE: {path} does not hold a client secret")
    return secret

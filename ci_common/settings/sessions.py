"""Settings of browser sessions, and of the issuer whose users may sign in."""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ci_common.addresses import is_loopback
from ci_common.settings.environment import EnvironmentSettings

_HOUR = 3600
_DAY = 24 * _HOUR
_CLAIM = re.compile(r"[!-+\--<>-~]{1,256}=[!-~]{1,256}")
"""Name and value, of printable ASCII."""

_SCOPE = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")


def _issuer(value: str | None) -> str | None:
    if value is None:
        return None
    url = urlsplit(value)
    if not url.hostname or url.scheme not in ("http", "https") or url.query or url.fragment:
        raise ValueError("must be the URL of an OpenID Connect issuer: https://login.example.com")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError(
            "must be https: anyone who can alter the issuer's answers in transit can impersonate "
            "any user"
        )
    return value


def _claim(value: str | None) -> str | None:
    if value is not None and not _CLAIM.fullmatch(value):
        raise ValueError("must be a claim and its value, such as groups=ci-users")
    return value


def _scopes(value: str) -> str:
    if not _SCOPE.fullmatch(value) or "openid" not in value.split(" "):
        raise ValueError("must be scopes separated by spaces, openid among them")
    return value


class SessionSettings(EnvironmentSettings):
    """Browser sessions."""

    session_seconds: int = Field(default=7 * _DAY, ge=60, le=90 * _DAY)
    """Longest session of a browser that signed in with an API key; it ends with the key, too."""
    session_idle_seconds: int = Field(default=12 * _HOUR, ge=60, le=90 * _DAY)
    """A session without a request for this long ends."""
    max_sessions_per_user: int = Field(default=20, ge=1, le=1000)
    """Sessions of a user at once; one more ends the one that was used longest ago."""
    oidc_issuer: Annotated[str | None, AfterValidator(_issuer)] = None
    """OpenID Connect issuer whose users may sign in to the dashboard; unset: none."""
    oidc_client_id: str | None = Field(default=None, min_length=1)
    """What the issuer calls this server; the `aud` of its tokens."""
    oidc_client_secret_file: Path | None = None
    """File with the client's secret; unset for a public client, which has PKCE only."""
    oidc_name: str = Field(default="single sign-on", min_length=1, max_length=40)
    """What the button of the login page says after "Sign in with"."""
    oidc_scopes: Annotated[str, AfterValidator(_scopes)] = "openid email profile"
    """Scopes that are asked for."""
    oidc_tenant: str | None = Field(default=None, min_length=1, max_length=256)
    """The tenant of all users of the issuer; unset: a claim names it, as in JWTs."""
    oidc_required_claim: Annotated[str | None, AfterValidator(_claim)] = None
    """Claim that a user must have, as `name=value`; of a list, one value has to be this."""
    oidc_session_seconds: int = Field(default=12 * _HOUR, ge=60, le=90 * _DAY)
    """Longest session of a user of the issuer, who is not asked again meanwhile."""

    @model_validator(mode="after")
    def _client_is_whole(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("OpenID Connect needs both CI_OIDC_ISSUER and CI_OIDC_CLIENT_ID")
        return self

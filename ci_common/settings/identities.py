"""Authentication settings: JWTs, the identity-aware proxy, stream tokens."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ci_common.addresses import is_loopback
from ci_common.principal import LOCAL_TENANT, Role
from ci_common.settings.environment import EnvironmentSettings

KEY_SET_PATH = "/.well-known/jwks.json"
"""Where an issuer publishes its keys, below its own URL, unless it says otherwise."""

IAP_JWKS_URL = "https://www.gstatic.com/iap/verify/public_key-jwk"
"""Where Google publishes the keys of its identity-aware proxy."""

_CLAIM_NAME = re.compile(r"[!-+\--~]{1,256}")
"""Of printable ASCII; a namespaced one is a URL. Names are separated by commas."""


def _key_set_url(value: str | None) -> str | None:
    """https; and http on the loopback interface, where nobody else can answer or listen."""
    if value is None:
        return None
    url = urlsplit(value)
    if not url.hostname or url.scheme not in ("http", "https"):
        raise ValueError("must be a URL like https://issuer.example/.well-known/jwks.json")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError(
            "must be https: anyone who can alter the keys in transit can impersonate any user"
        )
    return value


def _key_set_of(issuer: str) -> str | None:
    """The URL of an issuer's keys by convention; `None` when the issuer is not such a URL."""
    try:
        url = urlsplit(issuer)
        if url.query or url.fragment:
            return None
        return _key_set_url(issuer.rstrip("/") + KEY_SET_PATH)
    except ValueError:
        return None


def _claim_names(value: str) -> str:
    names = [name.strip() for name in value.split(",")]
    if not all(_CLAIM_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
        raise ValueError("must be names of claims, comma-separated, such as tenant_id,tid")
    return ",".join(names)


class IdentitySettings(EnvironmentSettings):
    """Authentication."""

    operator_tenant: str = LOCAL_TENANT
    """The operator's tenant: its admins can access the jobs of all tenants."""
    insecure: bool = False
    """Accept other machines without authentication: anyone who can connect has full access."""
    environment: Literal["production", "development"] = "production"
    """`development`: requests from this machine without credentials are dev@example.com."""
    jwt_jwks_url: Annotated[str | None, AfterValidator(_key_set_url)] = None
    """Where the issuer of JWTs publishes its keys; unset: below the issuer, when that is a URL."""
    jwt_issuer: str | None = Field(default=None, min_length=1)
    """The `iss` that JWTs must have; unset means that JWTs are not accepted."""
    jwt_audience: str | None = Field(default=None, min_length=1)
    """The `aud` that JWTs must have, alone or among others."""
    jwt_check_audience: bool = True
    """`False`: tokens that were issued for other services are accepted, too."""
    jwt_require_kid: bool = False
    """Refuse JWTs without a key id (`kid`)."""
    jwt_tenant_claims: Annotated[str, AfterValidator(_claim_names)] = "tenant_id"
    """Claims that name the tenant, comma-separated; the first one present in a token counts."""
    jwt_user_claims: Annotated[str, AfterValidator(_claim_names)] = "user_id,sub"
    """Claims that name the user; the same rule applies."""
    jwt_default_role: Role = Role.SUBMITTER
    """Role of JWTs without a claim `role`."""
    iap_audience: str | None = Field(default=None, min_length=1)
    """The `aud` of signed assertions of Google's identity-aware proxy; unset: none is accepted."""
    iap_jwks_url: Annotated[str, AfterValidator(_key_set_url)] = IAP_JWKS_URL
    """URL of the keys of these assertions."""
    iap_header: bool | None = None
    """Trust the e-mail header of trusted proxies; unset: unless assertions are required."""
    iap_tenant: str = Field(default=LOCAL_TENANT, min_length=1)
    """The tenant of users that come through the identity-aware proxy."""
    iap_role: Role = Role.SUBMITTER
    """Role of users that come through the identity-aware proxy."""
    signed_url_seconds: int = Field(default=3600, ge=1, le=7 * 86_400)
    """Lifetime of signed URLs, with which anyone who has one can download an artifact."""
    stream_token_seconds: int = Field(default=60, ge=1, le=3600)
    """Lifetime of the tokens with which browsers watch one job."""

    @property
    def jwt_keys_url(self) -> str | None:
        """Where the issuer's keys are: as set, or below the issuer; `None` without JWTs."""
        if self.jwt_jwks_url is not None or self.jwt_issuer is None:
            return self.jwt_jwks_url
        return _key_set_of(self.jwt_issuer)

    @model_validator(mode="after")
    def _jwt_is_whole(self) -> Self:
        if not self.jwt_check_audience and self.jwt_audience is not None:
            raise ValueError(
                "CI_JWT_CHECK_AUDIENCE=false and CI_JWT_AUDIENCE cannot be combined: if an "
                "audience is set, it is checked. Remove one of them"
            )
        wanted: dict[str, str | bool | None] = {
            "CI_JWT_JWKS_URL": self.jwt_keys_url,
            "CI_JWT_ISSUER": self.jwt_issuer,
            "CI_JWT_AUDIENCE": self.jwt_audience or not self.jwt_check_audience or None,
        }
        missing = [name for name, value in wanted.items() if value is None]
        if missing and len(missing) < len(wanted):
            raise ValueError(
                f"JWTs need {', '.join(wanted)}; {' and '.join(missing)} missing. Without them, "
                "tokens issued for other services would be accepted"
            )
        return self

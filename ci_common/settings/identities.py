"""Who is believed to be whom: keys of issuers, the identity-aware proxy, tokens of browsers."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ci_common.addresses import is_loopback
from ci_common.principal import LOCAL_TENANT, Role
from ci_common.settings.environment import EnvironmentSettings

IAP_JWKS_URL = "https://www.gstatic.com/iap/verify/public_key-jwk"
"""Where Google publishes the keys of its identity-aware proxy."""


def _key_set_url(value: str | None) -> str | None:
    """https; and http on the loopback interface, where nobody else can answer or listen."""
    if value is None:
        return None
    url = urlsplit(value)
    if not url.hostname or url.scheme not in ("http", "https"):
        raise ValueError("must be a URL like https://issuer.example/.well-known/jwks.json")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError(
            "must be https: whoever can alter the keys in transit can impersonate any user"
        )
    return value


class IdentitySettings(EnvironmentSettings):
    """Authentication."""

    operator_tenant: str = LOCAL_TENANT
    """Admins of this tenant reach the jobs of all tenants."""
    insecure: bool = False
    """Serve other machines although no identities are set up: everybody may do everything."""
    environment: Literal["production", "development"] = "production"
    """`development`: requests of this machine that prove nothing are dev@example.com."""
    jwt_jwks_url: Annotated[str | None, AfterValidator(_key_set_url)] = None
    """Where the issuer of JWTs publishes its keys; unset means that JWTs are not accepted."""
    jwt_issuer: str | None = Field(default=None, min_length=1)
    """The `iss` that JWTs must have."""
    jwt_audience: str | None = Field(default=None, min_length=1)
    """The `aud` that JWTs must have, or have among others."""
    jwt_default_role: Role = Role.SUBMITTER
    """The role of JWTs that name none."""
    iap_audience: str | None = Field(default=None, min_length=1)
    """The `aud` of signed assertions of Google's identity-aware proxy; unset: none is accepted."""
    iap_jwks_url: Annotated[str, AfterValidator(_key_set_url)] = IAP_JWKS_URL
    """Where the keys of these assertions are."""
    iap_header: bool | None = None
    """Take the plain e-mail header of trusted proxies; unset: unless assertions are asked for."""
    iap_tenant: str = Field(default=LOCAL_TENANT, min_length=1)
    """The tenant of users that come through the identity-aware proxy."""
    iap_role: Role = Role.SUBMITTER
    """Their role."""
    stream_token_seconds: int = Field(default=60, ge=1, le=3600)
    """Life of the tokens that let browsers watch one job."""

    @model_validator(mode="after")
    def _jwt_is_whole(self) -> Self:
        wanted = {
            "CI_JWT_JWKS_URL": self.jwt_jwks_url,
            "CI_JWT_ISSUER": self.jwt_issuer,
            "CI_JWT_AUDIENCE": self.jwt_audience,
        }
        missing = [name for name, value in wanted.items() if value is None]
        if missing and len(missing) < len(wanted):
            raise ValueError(
                f"JWTs need {', '.join(wanted)}; {' and '.join(missing)} missing. Without them a "
                "token that was made for somebody else would be accepted here"
            )
        return self

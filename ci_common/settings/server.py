"""Settings of the HTTP server: uploads, web pages, the audit log."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ci_common.settings.environment import EnvironmentSettings

_ORIGIN = re.compile(
    r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"
    r"|(?!https?:)[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?"
)
"""Of the web; or of pages inside a program, such as an editor's or a browser's extensions, whose
schemes are their own. `null`, which all pages without an origin share, is none.
"""

_BASE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")


def _origins(value: str) -> str:
    origins = [origin.strip() for origin in value.split(",") if origin.strip()]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is not an origin: scheme and host in lowercase, and the port unless "
                "it is the scheme's default, such as https://ci.example.com or "
                "vscode-webview://1a2b3c; "
                "'*' is not allowed"
            )
    return ",".join(origins)


def _base_url(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        url = urlsplit(value)
        is_base = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_base = False
    if not (is_base and _BASE_URL.fullmatch(value)):
        raise ValueError(
            "must be the URL at which clients reach this server, such as "
            "https://ci.example.com or https://example.com/ci"
        )
    return value


class ServerSettings(EnvironmentSettings):
    """Uploads, web pages, the audit log."""

    controller: Literal["embedded", "external"] = "embedded"
    """`external`: the server starts no controller; `python -m ci_controller` runs it."""
    max_upload_mb: int = Field(default=100, ge=1)
    """Largest upload, in MiB."""
    max_unpacked_mb: int = Field(default=2048, ge=1)
    """Largest unpacked project, in MiB."""
    max_compression_ratio: int = Field(default=200, ge=1)
    """Maximum ratio of unpacked size to zip size."""
    max_entries: int = Field(default=100_000, ge=1)
    """Maximum number of entries in an upload."""
    public_url: Annotated[str | None, AfterValidator(_base_url)] = None
    """Base URL for clients; unset: taken from each request."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Origins whose web pages may call the API, comma-separated."""
    frontend_dir: Path | None = None
    """Directory of a static site with an `index.html`, served where the API has no route."""
    control_names: str = "PBS,DMSO,control,vehicle,untreated"
    """Perturbations that count as controls, case-insensitive, besides cells marked as such."""
    audit_days: float | None = Field(default=None, ge=2)
    """Entries of the audit log older than this are deleted; unset keeps them forever."""

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """`cors_origins`, one by one."""
        return tuple(self.cors_origins.split(",")) if self.cors_origins else ()

    @property
    def perturbations_of_controls(self) -> tuple[str, ...]:
        """`control_names`, one by one."""
        return tuple(name.strip() for name in self.control_names.split(",") if name.strip())

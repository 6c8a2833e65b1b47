"""What the server accepts."""

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
                f"{origin!r} is not an origin: scheme and host in lower case, and a port that is "
                "not the scheme's own, such as https://ci.example.com or vscode-webview://1a2b3c; "
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
            "must be the address at which clients reach this server, such as "
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
    """Largest unpacked size over zip size."""
    max_entries: int = Field(default=100_000, ge=1)
    """Most entries in an upload."""
    public_url: Annotated[str | None, AfterValidator(_base_url)] = None
    """Where clients reach this server; unset: as each request came."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Origins whose web pages may use the server, separated by commas."""
    frontend_dir: Path | None = None
    """A static site with an `index.html`, shown to browsers where the API has no route."""
    control_names: str = "PBS,DMSO,control,vehicle,untreated"
    """Perturbations of the catalogue that are controls, in any case, besides cells marked so."""
    audit_days: float | None = Field(default=None, ge=2)
    """Entries of the audit log older than this are deleted; unset keeps them for ever."""

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """`cors_origins`, one by one."""
        return tuple(self.cors_origins.split(",")) if self.cors_origins else ()

    @property
    def perturbations_of_controls(self) -> tuple[str, ...]:
        """`control_names`, one by one."""
        return tuple(name.strip() for name in self.control_names.split(",") if name.strip())

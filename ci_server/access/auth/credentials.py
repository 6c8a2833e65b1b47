"""What a caller sent to prove who they are, free of any transport."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_common.principal import Origin


@dataclass(frozen=True, slots=True)
class Credentials:
    """One request's. Header names are in lower case; a repeated header's values are joined."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    peer: str | None = None
    """The address at the other end of the socket; `None` for a unix socket."""
    local: str | None = None
    """The address of ours it came to."""
    client: str | None = None
    """Who the request is from, seen through trusted proxies: for limits and the audit log."""
    method: str | None = None
    """Of HTTP; `None` where there is none."""
    token: str | None = field(default=None, repr=False)
    """From the query string, where browsers cannot send headers."""

    certificate: bytes | None = field(default=None, repr=False)
    """The one the peer proved to own when TLS began, as DER; `None` without TLS, or without one."""

    request_id: str | None = None
    is_secure: bool = False
    """Whether the client is known to speak https, to us or to a trusted proxy."""
    is_websocket: bool = False
    """Whether a WebSocket is to be opened, which browsers do for the pages of any origin."""

    @property
    def origin(self) -> Origin:
        """Where the request came from."""
        return Origin(address=self.client, request_id=self.request_id)

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer`, or `None`."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

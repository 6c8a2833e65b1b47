"""What a caller sent to prove who they are, free of any transport."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """One request's. Header names are in lower case; addresses are those of the socket."""

    headers: Mapping[str, str] = field(default_factory=dict)
    peer: str | None = None
    """The address the connection came from; `None` for a unix socket."""
    local: str | None = None
    """The address of ours it came to."""
    token: str | None = None
    """From the query string, where browsers cannot send headers."""

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer`, or `None`."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

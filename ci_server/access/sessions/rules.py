"""How long sessions last, and how many there may be."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class SessionRules:
    """As the operator has set them."""

    lasts: timedelta
    """One that stands for an API key."""
    issued_lasts: timedelta
    """One that stands for a user of an OpenID Connect issuer, who is not asked again meanwhile."""
    idle: timedelta
    """For so long without a request either lasts."""
    most_per_user: int
    issuer: str | None = None
    """Whose users may have sessions; `None` when the operator has set up no issuer."""

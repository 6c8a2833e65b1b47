"""How long sessions last, and how many there may be."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ci_common.sessions import REVOKED, Session


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

    def state(self, session: Session, at: datetime) -> str:
        """As `Session.state` tells it; those of users of another issuer are revoked."""
        is_of_other = session.issuer is not None and session.issuer != self.issuer
        return REVOKED if is_of_other else session.state(at, self.idle)

    def idle_end(self, session: Session) -> datetime:
        """When it is over unless it is used before."""
        return session.used_at + self.idle

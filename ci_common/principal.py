"""Who is asking: the one shape every identity is turned into."""

from dataclasses import dataclass
from enum import StrEnum

LOCAL_TENANT = "local"


class Role(StrEnum):
    """What a principal may do; the policy table maps role and action to allow or deny."""

    ADMIN = "admin"
    SUBMITTER = "submitter"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    tenant: str
    user: str
    role: Role


LOCAL_PRINCIPAL = Principal(tenant=LOCAL_TENANT, user="local", role=Role.ADMIN)
"""The single user of a server without identities, which listens on loopback only."""

"""Client certificates: callers that the operator's certificate authority knows.

The connection has checked that the certificate is the authority's and valid now, and that the
caller has its key. What is left is whom its subject names, and whether it was revoked since.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID
from typing_extensions import override

from ci_common.errors import ForbiddenError, InvalidCredentialsError
from ci_common.job import utc_now
from ci_common.principal import Principal, Role
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials

ROLES = {"admin": Role.ADMIN, "viewer": Role.VIEWER}
"""Organizational units, in lower case, that are roles."""

_MOST_CHARACTERS = 256
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names."""

    serial: int
    tenant: str | None
    """Its first organization (O)."""
    user: str | None
    """Its first common name (CN)."""
    role: Role | None
    """The first of its organizational units (OU) that is one."""
    expires_at: datetime


@lru_cache(_REMEMBERED)
def subject_of(certificate: bytes) -> Subject:
    """Of a certificate as DER. Raises InvalidCredentialsError for what is none."""
    try:
        read = x509.load_der_x509_certificate(certificate)
        name, serial = read.subject, read.serial_number
    except ValueError as error:
        raise InvalidCredentialsError("failed to extract client identity") from error
    units = [
        str(one.value).lower()
        for one in name.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    ]
    return Subject(
        serial,
        _first(name, NameOID.ORGANIZATION_NAME),
        _first(name, NameOID.COMMON_NAME),
        next((ROLES[unit] for unit in units if unit in ROLES), None),
        read.not_valid_after_utc,
    )


def _first(name: x509.Name, kind: x509.ObjectIdentifier) -> str | None:
    """Text from outside: up to 256 printable characters, or else none."""
    found = [str(one.value) for one in name.get_attributes_for_oid(kind)]
    text = found[0] if found else ""
    is_name = text.strip() and text.isprintable() and len(text) <= _MOST_CHARACTERS
    return text if is_name else None


@dataclass(frozen=True, slots=True)
class CertificateIdentity(Identity):
    """A client certificate: O is the tenant, CN the user, OU the role."""

    is_revoked: Callable[[int], bool]
    """Whether a serial number is one of a certificate that does not count any more."""
    now: Callable[[], datetime] = utc_now

    @override
    async def is_configured(self) -> bool:
        """Always: it is made for a door that takes nothing else."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The certificate."""
        return None if credentials.certificate is None else credentials.certificate.hex()

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Whom the certificate names. Raises InvalidCredentialsError, and ForbiddenError for one
        that names no role.
        """
        if credentials.certificate is None:
            return None
        subject = subject_of(credentials.certificate)
        if self.is_revoked(subject.serial):
            raise InvalidCredentialsError("certificate revoked")
        if subject.expires_at < self.now():  # since the connection was made
            raise InvalidCredentialsError("certificate expired")
        if subject.tenant is None or subject.user is None:
            raise InvalidCredentialsError("failed to extract client identity")
        if subject.role is None:
            raise ForbiddenError(
                f"the certificate names no role: it needs an OU that is {' or '.join(ROLES)}"
            )
        return Principal(
            tenant=subject.tenant,
            user=subject.user,
            role=subject.role,
            credential=f"certificate:{subject.serial:x}",
        )

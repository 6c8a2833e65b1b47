"""The caller of a request, from the client certificate of its connection."""

import re
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import unquote

from ci_common.errors import InvalidCredentialsError
from ci_common.principal import Principal
from ci_server.access.auth.certificates import subject_of
from ci_server.access.auth.credentials import Credentials
from ci_server.grpc.errors import Context
from ci_server.telemetry.request_id import current_request_id

_PEER = re.compile(r"ipv[46]:(.*):[0-9]+")
_TLS_1_3 = b"TLSv1.3"


@dataclass(frozen=True, slots=True)
class Caller:
    """The one whose call is served."""

    principal: Principal
    serial: int
    """Of the certificate."""


_current: ContextVar[Caller] = ContextVar("job_worker_caller")


def current_caller() -> Caller:
    """The caller of the running task."""
    return _current.get()


def set_caller(caller: Caller) -> None:
    """Let the running task, and those it starts, serve this caller."""
    _current.set(caller)


def credentials_of(context: Context) -> Credentials:
    """The certificate, and where the call came from. Raises InvalidCredentialsError for a
    connection that is not TLS 1.3: the cipher suites see to it, and this to them.
    """
    facts = context.auth_context()
    address = address_of(context.peer())
    if list(facts.get("ssl_tls_version", ())) != [_TLS_1_3]:
        raise InvalidCredentialsError("TLS 1.3 is required")
    pem = next(iter(facts.get("x509_pem_cert", ())), b"")
    return Credentials(
        peer=address,
        client=address,
        certificate=ssl.PEM_cert_to_DER_cert(pem.decode("ascii")) if pem else None,
        request_id=current_request_id(),
    )


def address_of(peer: str) -> str | None:
    """Of `ipv4:192.0.2.1:50000` or `ipv6:%5B2001:db8::1%5D:50000`; `None` for another kind."""
    found = _PEER.fullmatch(peer)
    return unquote(found[1]).strip("[]") if found else None


def role_of(credentials: Credentials) -> str:
    """The role that the certificate names, for a refusal."""
    if credentials.certificate is None:
        return "unknown"
    role = subject_of(credentials.certificate).role
    return "unknown" if role is None else role.value

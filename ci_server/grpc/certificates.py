"""The server's certificate and its authority's, from files that may change at any time."""

import logging
import threading
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ci_common.errors import SettingsError

logger = logging.getLogger(__name__)

FILES = ("ca-cert.pem", "server-cert.pem", "server-key.pem")

Configuration = grpc.ServerCertificateConfiguration
_Signature = tuple[tuple[int, int, int], ...]


class CertificateFiles:
    """A directory with `FILES`. New connections use them as they are; while they cannot be used,
    as they were.
    """

    def __init__(self, directory: Path) -> None:
        """Raises SettingsError."""
        self._directory = directory
        self._lock = threading.Lock()
        try:
            self._seen = self._signature()
            self._current = self._read()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"CI_GRPC_CERTS: {error}; `job-worker certs init --dir {directory}` creates the "
                "files"
            ) from error

    def credentials(self) -> grpc.ServerCredentials:
        """For a port: callers need a certificate of the same authority."""
        return grpc.dynamic_ssl_server_credentials(
            self._current,
            self._changed,  # type: ignore[arg-type] # the stub has no `None`, the library has
            require_client_authentication=True,
        )

    def _changed(self) -> Configuration | None:
        """At each new connection, on a thread of grpc's; `None` when nothing is new."""
        with self._lock:
            try:
                signature = self._signature()
                if signature == self._seen:
                    return None
                self._seen = signature
                self._current = self._read()
            except (OSError, ValueError) as error:
                logger.error(  # noqa: TRY400
                    "cannot use the certificates in %s, keeping the previous ones: %s",
                    self._directory,
                    error,
                )
                return None
            except Exception:
                logger.exception("cannot read the certificates in %s", self._directory)
                return None
            logger.info("reloaded the certificates in %s", self._directory)
            return self._current

    def _signature(self) -> _Signature:
        found = [(self._directory / name).stat() for name in FILES]
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _read(self) -> Configuration:
        authority, chain, key = ((self._directory / name).read_bytes() for name in FILES)
        check_pair(authority, chain, key)
        return grpc.ssl_server_certificate_configuration([(key, chain)], authority)


def check_pair(authority: bytes, chain: bytes, key: bytes) -> None:
    """Raise ValueError unless these are certificates, and the key of the first one in the chain, of
    a kind with which only TLS 1.3 is possible here.
    """
    _certificates("ca-cert.pem", authority)
    certificate = _certificates("server-cert.pem", chain)[0]
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"server-key.pem is not a private key without a password: {error}"
        ) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError(  # noqa: TRY004
            "server-key.pem must be an EC or Ed25519 key: with another kind, such as RSA, clients "
            "could use TLS 1.2"
        )
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ValueError("server-key.pem is not the key of server-cert.pem")


def _certificates(name: str, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise ValueError(f"{name} has no certificate: {error}") from error

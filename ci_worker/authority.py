"""A certificate authority of one's own, in a directory of PEM files."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA, SERVER = "ca", "server"
"""What their files' names begin with."""

_CLOCKS_DIFFER = timedelta(hours=1)
CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=825)
CLIENT_LIFE = timedelta(days=365)

SERVER_NAMES = ("job-worker", "localhost", "job-worker-server", "127.0.0.1")
"""Names and addresses that a server's certificate is always for."""

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def serial(self) -> str:
        """The certificate's serial number, as lists of revoked ones have it."""
        return f"{self.certificate.serial_number:x}"

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write `NAME-cert.pem` and `NAME-key.pem`, which only their owner may read."""
        pem = serialization.Encoding.PEM
        files = {
            directory / f"{name}-key.pem": self.key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            directory / f"{name}-cert.pem": self.certificate.public_bytes(pem),
        }
        for path, content in files.items():
            write_private(path, content)
        key, certificate = files
        return certificate, key


class Authority:
    """Signs the certificates of a server and of its clients."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair

    @classmethod
    def create(cls, organization: str) -> Self:
        """A new one."""
        key = _new_key()
        name = _name("Job Worker CA", organization)
        builder = _builder(name, name, key, CA_LIFE, datetime.now(UTC))
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        return cls(KeyPair(builder.sign(key, hashes.SHA256()), key))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The one that `certs init` made there. Raises OSError, ValueError."""
        certificate = x509.load_pem_x509_certificate(_read(directory, f"{CA}-cert.pem"))
        key = serialization.load_pem_private_key(_read(directory, f"{CA}-key.pem"), None)
        if not isinstance(key, Key):
            raise ValueError(f"{directory}/{CA}-key.pem is not an EC key")  # noqa: TRY004
        return cls(KeyPair(certificate, key))

    def server(self, organization: str, hosts: Sequence[str], life: timedelta) -> KeyPair:
        """A server's, for these names and addresses besides those that every one has."""
        names = dict.fromkeys((*SERVER_NAMES, *hosts))
        subject = _name("job-worker", organization)
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return self._sign(subject, usage, life, datetime.now(UTC), alternatives)

    def client(
        self,
        name: str,
        organization: str,
        role: str | None,
        life: timedelta = CLIENT_LIFE,
        now: datetime | None = None,
    ) -> KeyPair:
        """A client's: `name` is the user, `organization` the tenant."""
        subject = _name(name, organization, role)
        return self._sign(
            subject, ExtendedKeyUsageOID.CLIENT_AUTH, life, now or datetime.now(UTC), None
        )

    def _sign(
        self,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        life: timedelta,
        now: datetime,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        key, issuer = _new_key(), self.pair.certificate
        builder = _builder(subject, issuer.subject, key, life, now)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.pair.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return KeyPair(builder.sign(self.pair.key, hashes.SHA256()), key)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that only its owner may read: at once, for servers that look at it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)


def _read(directory: Path, name: str) -> bytes:
    return (directory / name).read_bytes()


def _new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str, organization: str, role: str | None = None) -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if role is not None:
        attributes.insert(1, x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, life: timedelta, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

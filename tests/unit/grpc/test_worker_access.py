"""Whom a certificate names, which ones are revoked, and what a server's own has to be."""

import asyncio
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ci_common.errors import ForbiddenError, InvalidCredentialsError, SettingsError
from ci_common.principal import Role
from ci_server.access.auth.certificates import CertificateIdentity, subject_of
from ci_server.access.auth.credentials import Credentials
from ci_server.grpc.caller import address_of
from ci_server.grpc.certificates import CertificateFiles
from ci_server.grpc.revocations import Revocations
from ci_server.grpc.turn import Turn
from ci_worker.authority import Authority
from support.job_worker import Certificates
from support.waiting import until

pytestmark = pytest.mark.anyio

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


@pytest.fixture(scope="module")
def authority():
    return Authority.create("local")


def der(pair):
    return pair.certificate.public_bytes(serialization.Encoding.DER)


async def identified(certificate, revoked=()):
    identity = CertificateIdentity(lambda serial: serial in revoked)
    return await identity.identify(Credentials(certificate=certificate))


async def test_the_caller_is_whom_the_certificate_names(authority):
    pair = authority.client("ann", "acme", "Viewer")
    principal = await identified(der(pair))
    assert (principal.tenant, principal.user, principal.role) == ("acme", "ann", Role.VIEWER)
    assert principal.credential == f"certificate:{pair.serial}"
    assert await identified(None) is None


async def test_certificates_that_prove_nothing(authority):
    pair = authority.client("ann", "acme", "admin")
    with pytest.raises(InvalidCredentialsError, match="certificate revoked"):
        await identified(der(pair), {pair.certificate.serial_number})
    with pytest.raises(InvalidCredentialsError, match="certificate expired"):
        await identified(der(authority.client("ann", "acme", "admin", timedelta(seconds=-1))))
    with pytest.raises(InvalidCredentialsError, match="failed to extract client identity"):
        await identified(b"no certificate")
    with pytest.raises(InvalidCredentialsError, match="failed to extract client identity"):
        await identified(der(authority.client("an\tn", "acme", "admin")))
    with pytest.raises(ForbiddenError, match="no role"):
        await identified(der(authority.client("ann", "acme", "owner")))


def test_a_subject_is_read_once(authority):
    certificate = der(authority.client("ann", "acme", "admin"))
    assert subject_of(certificate) is subject_of(certificate)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:50000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1"),
        ("ipv6:[::1]:1", "::1"),
        ("unix:", None),
    ],
)
def test_where_a_call_comes_from(peer, address):
    assert address_of(peer) == address


# ------------------------------------------------------------------ revocation


@pytest.fixture
async def revocations(tmp_path):
    return Revocations(tmp_path / "revoked.txt")


async def test_serial_numbers_are_read_again(revocations, tmp_path, caplog):
    revocations.refresh()
    assert not revocations.is_revoked(0xAB)
    (tmp_path / "revoked.txt").write_text("# gone\n 0xAB  # ann\n\nc0:ff:ee\nbad line\n01")
    revocations.refresh()
    assert [revocations.is_revoked(each) for each in (0xAB, 0xC0FFEE, 1, 0xBAD)] == [
        True,
        True,
        True,
        False,
    ]
    assert "line 5: not a hexadecimal serial number" in caplog.text
    (tmp_path / "revoked.txt").unlink()
    revocations.refresh()
    revocations.refresh()
    assert revocations.is_revoked(0xAB), "keeping the previous list"
    assert caplog.text.count("keeping the previous list") == 1


async def test_who_is_revoked_is_told_and_others_are_not(revocations, tmp_path):
    ann, bob = (asyncio.create_task(revocations.until_ended(serial)) for serial in (1, 2))
    (tmp_path / "revoked.txt").write_text("1\n")
    await asyncio.sleep(0)
    revocations.refresh()
    assert str(await ann) == "certificate revoked"
    assert not bob.done()
    revocations.end_streams()
    await until(bob.done)
    assert bob.result().code == "not_ready"


# ------------------------------------------------------------------ the server's own


@pytest.fixture
def directory(tmp_path):
    return Certificates(tmp_path).directory


def refused(directory):
    with pytest.raises(SettingsError) as error:
        CertificateFiles(directory)
    return str(error.value)


def test_a_directory_as_the_tool_makes_it(directory):
    assert CertificateFiles(directory).credentials()


@pytest.mark.parametrize("name", ["ca-cert.pem", "server-cert.pem", "server-key.pem"])
def test_a_file_that_is_missing_or_broken(directory, name):
    (directory / name).write_bytes(b"nothing")
    assert name in refused(directory)
    (directory / name).unlink()
    assert name in refused(directory)


def test_keys_that_cannot_be_used(directory):
    path = directory / "server-key.pem"
    weak = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(weak.private_bytes(PEM, PKCS8, PLAIN))
    assert "must be an EC or Ed25519 key" in refused(directory)
    other = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(PEM, PKCS8, PLAIN))
    assert "is not the key of server-cert.pem" in refused(directory)
    locked = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(other.private_bytes(PEM, PKCS8, locked))
    assert "without a password" in refused(directory)


def test_one_process_has_its_turn(tmp_path):
    first, second = Turn(tmp_path / "lock"), Turn(tmp_path / "lock")
    with second:
        with first:
            assert first.take()
            assert not second.take()
        assert second.take()

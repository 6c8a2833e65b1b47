"""Where secrets are stored (ports of ci_common.ports.secrets), and the keys."""

import base64
import os
import threading
from dataclasses import replace

import pytest

from ci_common.errors import (
    InvalidSecretError,
    SecretKeyError,
    SecretsUnavailableError,
    UnknownSecretError,
)
from ci_common.ports.audit import AuditEntry, AuditQuery
from ci_common.secret import MAX_SECRET_BYTES, Secret, check_secret, check_secrets
from ci_persistence.database.database import Database
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

TOKEN = Secret("TOKEN", b"correct-horse-battery")
KEY = Secret("KEY", bytes(range(256)), in_environment=False)


def a_key():
    return base64.b64encode(os.urandom(32)).decode()


def job_with(*names):
    job = a_job()
    return replace(job, spec=replace(job.spec, secrets=names))


@pytest.fixture
def secrets(tmp_path):
    return FileJobSecrets(tmp_path, SecretKeys(tmp_path, None))


@pytest.fixture
async def tenants(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    yield SqliteTenantSecrets(database, SecretKeys(tmp_path, None))
    await database.close()


# ------------------------------------------------------------------ of jobs


def test_what_is_stored_comes_back_until_it_is_forgotten(secrets, tmp_path):
    job = job_with("TOKEN", "KEY")
    secrets.store(job.job_id, [TOKEN, KEY])
    assert secrets.of(job) == [TOKEN, KEY]
    assert FileJobSecrets(tmp_path, SecretKeys(tmp_path, None)).of(job) == [TOKEN, KEY]
    assert secrets.job_ids(0) == [job.job_id]
    assert secrets.job_ids(60) == []
    secrets.forget(job.job_id)
    secrets.forget(job.job_id)
    assert secrets.job_ids(0) == []
    with pytest.raises(SecretsUnavailableError, match="backups"):
        secrets.of(job)


def test_a_job_without_secrets_needs_none(secrets):
    assert secrets.of(a_job()) == []


def test_files_are_private_and_encrypted(secrets, tmp_path):
    secrets.store("id", [TOKEN])
    for path in (tmp_path / "secrets" / "id.enc", tmp_path / "secret.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    content = (tmp_path / "secrets" / "id.enc").read_bytes()
    assert TOKEN.value not in content
    assert base64.b64encode(TOKEN.value) not in content
    assert b"TOKEN" not in content


def test_a_file_is_of_no_use_for_another_job(secrets, tmp_path):
    job, other = job_with("TOKEN"), job_with("TOKEN")
    secrets.store(job.job_id, [TOKEN])
    (tmp_path / "secrets" / f"{job.job_id}.enc").rename(
        tmp_path / "secrets" / f"{other.job_id}.enc"
    )
    with pytest.raises(SecretsUnavailableError):
        secrets.of(other)


def test_a_damaged_file_is_told(secrets, tmp_path):
    job = job_with("TOKEN")
    secrets.store(job.job_id, [TOKEN])
    path = tmp_path / "secrets" / f"{job.job_id}.enc"
    content = bytearray(path.read_bytes())
    for at in range(len(content)):
        path.write_bytes(bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]]))
        with pytest.raises(SecretsUnavailableError):
            secrets.of(job)
    path.write_bytes(b"")
    with pytest.raises(SecretsUnavailableError):
        secrets.of(job)


def test_others_than_the_row_names_are_refused(secrets):
    job = job_with("OTHER")
    secrets.store(job.job_id, [TOKEN])
    with pytest.raises(SecretsUnavailableError):
        secrets.of(job)


# ------------------------------------------------------------------ keys


def test_keys_rotate(tmp_path):
    old, new = a_key(), a_key()
    content = SecretKeys(tmp_path, old).encrypt(b"plain", "here")
    both = SecretKeys(tmp_path, f"{new},{old}")
    assert both.decrypt(content, "here") == b"plain"
    newer = both.encrypt(b"plain", "here")
    assert SecretKeys(tmp_path, new).decrypt(newer, "here") == b"plain"
    for keys, text in ((SecretKeys(tmp_path, new), content), (SecretKeys(tmp_path, old), newer)):
        with pytest.raises(SecretKeyError, match="CI_SECRET_KEY"):
            keys.decrypt(text, "here")
    assert not (tmp_path / "secret.key").exists()


def test_from_the_file_to_a_setting(tmp_path):
    content = SecretKeys(tmp_path, None).encrypt(b"plain", "here")
    assert SecretKeys(tmp_path, a_key()).decrypt(content, "here") == b"plain"


def test_another_context_is_refused(tmp_path):
    keys = SecretKeys(tmp_path, None)
    with pytest.raises(SecretKeyError):
        keys.decrypt(keys.encrypt(b"plain", "here"), "there")


@pytest.mark.parametrize("setting", ["short", "not base64 at all!", "QUJD", f"{'A' * 43}=,", " "])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path, setting):
    with pytest.raises(SecretKeyError, match="openssl rand") as caught:
        SecretKeys(tmp_path, setting)
    assert setting.strip(" ,") == "" or setting not in caught.value.message


def test_several_processes_make_one_key(tmp_path):
    barrier, contents = threading.Barrier(8), []

    def encrypt():
        barrier.wait()
        contents.append(SecretKeys(tmp_path, None).encrypt(b"plain", "here"))

    threads = [threading.Thread(target=encrypt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = SecretKeys(tmp_path, None)
    assert [keys.decrypt(content, "here") for content in contents] == [b"plain"] * 8
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    keys = SecretKeys(tmp_path, None)
    content = keys.encrypt(b"plain", "here")
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(SecretKeyError, match="chmod 600") as caught:
        keys.decrypt(content, "here")
    assert str(tmp_path) not in caught.value.message


# ------------------------------------------------------------------ of tenants


async def test_tenants_keep_their_own(tenants):
    assert await tenants.put("a", TOKEN, NOON)
    assert await tenants.put("b", Secret("TOKEN", b"another value"), NOON)
    assert not await tenants.put("a", Secret("TOKEN", b"the newer value"), NOON)
    assert await tenants.put("a", Secret("AND", b"what else there is"), NOON)
    (one,) = await tenants.named("a", ["TOKEN"])
    assert one.value == b"the newer value"
    assert [s.name for s in await tenants.named("a", ["TOKEN", "AND"])] == ["TOKEN", "AND"]
    listed = [(entry.tenant, entry.name) for entry in await tenants.entries(None)]
    assert listed == [("a", "AND"), ("a", "TOKEN"), ("b", "TOKEN")]
    assert len(await tenants.entries("b")) == 1
    assert await tenants.delete("a", "TOKEN")
    assert not await tenants.delete("a", "TOKEN")
    assert (await tenants.named("b", ["TOKEN"]))[0].value == b"another value"


async def test_a_change_is_written_together_with_its_entry(tenants):
    deed = AuditEntry(at=NOON, action="deed")
    await tenants.put("a", TOKEN, NOON, deed)
    assert not await tenants.delete("b", "TOKEN", deed)
    assert await tenants.delete("a", "TOKEN", deed)
    assert len(await SqliteAuditLog(tenants._database).entries(AuditQuery())) == 2


async def test_all_that_is_missing_is_told(tenants):
    await tenants.put("b", TOKEN, NOON)
    with pytest.raises(UnknownSecretError, match="TOKEN, OTHER"):
        await tenants.named("a", ["TOKEN", "OTHER"])


async def test_rows_are_encrypted_for_their_tenant(tenants, tmp_path):
    await tenants.put("a", TOKEN, NOON)
    for path in tmp_path.iterdir():
        assert not path.is_file() or TOKEN.value not in path.read_bytes()
    await tenants._database.write("UPDATE tenant_secrets SET tenant = 'b'")
    with pytest.raises(SecretKeyError, match="TOKEN"):
        await tenants.named("b", ["TOKEN"])


async def test_a_key_that_is_gone_is_told(tenants, tmp_path):
    await tenants.put("a", TOKEN, NOON)
    (tmp_path / "secret.key").unlink()
    with pytest.raises(SecretKeyError, match="TOKEN cannot be used"):
        await tenants.named("a", ["TOKEN"])


# ------------------------------------------------------------------ what may be a secret


@pytest.mark.parametrize(
    "name", ["", "1A", "A-B", "A B", "A\n", "Ä", "A" * 101, "PATH", "CI", "CI_JOB_ID"]
)
def test_names_that_are_refused(name):
    with pytest.raises(InvalidSecretError):
        check_secret(Secret(name, b"long enough"))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "too short"),
        (b"1234567", "too short"),
        (b"   1234567   \n", "too short"),
        (b"short\nlines\nonly\n", "too short"),
        (b"x" * (MAX_SECRET_BYTES + 1), "at most"),
        (b"with a \0 in it", "NUL"),
    ],
)
def test_values_that_are_refused(value, why):
    with pytest.raises(InvalidSecretError, match=why) as caught:
        check_secret(Secret("NAME", value))
    assert value == b"" or value.decode() not in caught.value.message


def test_a_job_may_not_have_too_many():
    many = [Secret(f"S{number}", b"long enough") for number in range(51)]
    with pytest.raises(InvalidSecretError, match="50"):
        check_secrets(many)
    large = [Secret(f"S{number}", b"x" * 60_000) for number in range(2)]
    with pytest.raises(InvalidSecretError, match="in total"):
        check_secrets(large)
    with pytest.raises(InvalidSecretError, match="twice"):
        check_secrets([TOKEN, TOKEN])


def test_values_are_not_in_representations():
    assert "horse" not in repr(TOKEN)

"""What users and keys promise as rows (ports IssuedKeys, IdentityAdministration)."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import (
    DatabaseError,
    KeyNotFoundError,
    UserExistsError,
    UserNotFoundError,
)
from ci_common.identities import token_digest
from ci_common.ports.audit import AuditEntry, AuditQuery
from ci_common.principal import Role
from ci_persistence.database.database import Database
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_persistence.sqlite.identities import (
    SqliteIdentityAdministration,
    SqliteIssuedKeys,
    has_users,
)
from support.identities import a_key, a_user, stored
from support.jobs import NOON

pytestmark = pytest.mark.anyio

LATER = NOON + timedelta(days=1)


@pytest.fixture
async def database(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def administration(database):
    return SqliteIdentityAdministration(database)


@pytest.fixture
def issued(database):
    return SqliteIssuedKeys(database)


async def find(issued, token, at=NOON):
    return await issued.find_live(token_digest(token), at)


async def test_users_come_back_as_they_were(administration):
    users = [
        a_user("zoe@example.com", tenant="acme"),
        a_user("ann@example.com", name="Ann Ä. O'Hara"),
        a_user("bob@example.com", created_at=LATER + timedelta(milliseconds=7)),
    ]
    for user in users:
        await administration.add_user(user)
    assert await administration.users() == users
    assert await administration.get_user("bob@example.com") == users[2]
    assert await administration.get_user("BOB@example.com") == users[2]


@pytest.mark.parametrize("email", ["ann@example.com", "ANN@example.com"])
async def test_an_address_is_taken_once_whatever_the_tenant(administration, email):
    await administration.add_user(a_user())
    with pytest.raises(UserExistsError, match=f"there is a user {email} already"):
        await administration.add_user(a_user(email, tenant="other"))
    assert await administration.users() == [a_user()]


async def test_a_key_comes_back_as_it_was(administration, issued):
    token, key = await stored(
        administration, a_user(tenant="acme"), role=Role.ADMIN, expires_at=LATER
    )
    assert await administration.keys() == [key]
    assert await find(issued, token) == key


async def test_a_key_needs_its_user(administration):
    token, key = a_key()
    with pytest.raises(UserNotFoundError, match="ci-admin user create --email ann"):
        await administration.add_key(key, token_digest(token))
    with pytest.raises(UserNotFoundError):
        await administration.keys("ann@example.com")
    assert await administration.keys() == []


async def test_keys_of_one_user_in_the_order_they_were_made(administration):
    first, second = [(await stored(administration, name=name))[1] for name in ("b", "a")]
    other = (await stored(administration, a_user("bob@example.com")))[1]
    assert await administration.keys() == [first, second, other]
    assert await administration.keys("ann@example.com") == [first, second]
    assert await administration.keys("bob@example.com") == [other]


async def test_only_whole_and_right_keys_are_found(administration, issued):
    token, key = await stored(administration)
    for wrong in ("", "ci_", key.prefix, token[:-1], token + "x", token.upper(), key.key_id):
        assert await find(issued, wrong) is None
    assert await issued.find_live(token, NOON) is None, "a digest is looked up, not a key"


async def test_a_key_lives_until_it_expires(administration, issued):
    token, key = await stored(administration, expires_at=LATER)
    just_before = LATER - timedelta(milliseconds=1)
    assert await find(issued, token, just_before) == key
    assert await find(issued, token, LATER) is None
    assert (key.state(just_before), key.state(LATER)) == ("live", "expired")


async def test_a_key_without_an_end_lives_on(administration, issued):
    token, key = await stored(administration)
    assert await find(issued, token, NOON + timedelta(days=36_500)) == key


async def test_a_revoked_key_is_found_no_more(administration, issued):
    token, key = await stored(administration)
    other, _ = await stored(administration)
    revoked = await administration.revoke(key.key_id, LATER)
    assert revoked == replace(key, revoked_at=LATER)
    assert revoked.state(LATER) == "revoked"
    assert await find(issued, token) is None
    assert await find(issued, other) is not None
    again = await administration.revoke(key.key_id, LATER + timedelta(days=1))
    assert again.revoked_at == LATER


DEED = AuditEntry(at=NOON, action="deed")


async def test_what_is_changed_is_written_together_with_its_entry(administration, database):
    token, key = a_key()
    await administration.add_user(key.user, DEED)
    with pytest.raises(UserExistsError):
        await administration.add_user(key.user, DEED)
    await administration.add_key(key, token_digest(token), DEED)
    for _ in range(3):
        await administration.revoke(key.key_id, LATER, DEED)
    assert await SqliteAuditLog(database).entries(AuditQuery()) == [DEED] * 3


async def test_without_its_entry_nothing_is_changed(administration, issued, database):
    token, key = await stored(administration)
    await database.write(
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(FAIL, 'no'); END"
    )
    with pytest.raises(sqlite3.Error):
        await administration.revoke(key.key_id, NOON, DEED)
    with pytest.raises(sqlite3.Error):
        await administration.add_user(a_user("zoe@example.com"), DEED)
    assert await find(issued, token) is not None
    assert [user.email for user in await administration.users()] == [key.user.email]


async def test_another_process_sees_a_revocation_at_once(administration, issued, database):
    token, key = await stored(administration)
    other = Database(database.path)
    await other.open()
    assert await find(SqliteIssuedKeys(other), token) == key
    await administration.revoke(key.key_id, LATER)
    assert await find(SqliteIssuedKeys(other), token) is None
    await other.close()


async def test_a_key_is_named_by_its_id_its_prefix_or_itself(administration):
    token, key = await stored(administration)
    await stored(administration)
    for reference in (key.key_id, key.prefix, token):
        assert await administration.find_key(reference) == key


@pytest.mark.parametrize("reference", ["", "ci_", "%", "ffffffffffff"])
async def test_no_such_key(administration, reference):
    await stored(administration)
    with pytest.raises(KeyNotFoundError, match="ci-admin key list"):
        await administration.find_key(reference)
    with pytest.raises(KeyNotFoundError):
        await administration.revoke(reference, NOON)


async def test_a_key_that_is_not_found_is_not_told(administration):
    token, _ = a_key()
    with pytest.raises(KeyNotFoundError) as told:
        await administration.find_key(token)
    assert token[:11] in told.value.message
    assert token not in told.value.message


async def test_a_prefix_of_two_keys_names_neither(administration):
    ids = []
    for _ in range(2):
        token, key = a_key()
        if not ids:
            await administration.add_user(key.user)
        await administration.add_key(replace(key, prefix="ci_same"), token_digest(token))
        ids.append(key.key_id)
    with pytest.raises(KeyNotFoundError, match=", ".join(ids)):
        await administration.find_key("ci_same")


async def test_the_last_use_is_the_latest(administration, issued):
    _, key = await stored(administration)
    await issued.record_use(key.key_id, LATER)
    await issued.record_use(key.key_id, NOON)
    assert (await administration.keys())[0].last_used_at == LATER


async def test_recording_a_use_never_fails(administration, issued, database, caplog):
    await issued.record_use("no such key", NOON)
    _, key = await stored(administration)
    await database.write("ALTER TABLE api_keys RENAME COLUMN last_used_at TO gone")
    await issued.record_use(key.key_id, NOON)
    assert key.key_id in caplog.text


async def test_whether_there_are_users(administration, issued, tmp_path, database):
    assert not await issued.has_users()
    assert not has_users(database.path)
    await administration.add_user(a_user())
    assert await issued.has_users()
    assert has_users(database.path)


def test_whether_there_are_users_where_there_is_no_database(tmp_path):
    path = tmp_path / "none.db"
    assert not has_users(path)
    assert not path.exists()
    path.touch()
    assert not has_users(path)
    path.write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(DatabaseError, match="not a SQLite database"):
        has_users(path)


async def test_no_key_is_in_the_database(administration, issued, database):
    token, key = await stored(administration)
    await find(issued, token)
    await issued.record_use(key.key_id, NOON)
    with closing(sqlite3.connect(database.path)) as connection:
        dump = "\n".join(connection.iterdump())
    assert token_digest(token) in dump
    files = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    for secret in (token, token.removeprefix("ci_"), token[12:]):
        assert secret not in dump
        assert secret.encode() not in files


async def test_a_users_list_of_jobs_has_an_index(database):
    plan = await database.fetch_all(
        "EXPLAIN QUERY PLAN SELECT job_id FROM jobs WHERE tenant = 'a' AND user = 'b' "
        "ORDER BY seq DESC LIMIT 10"
    )
    assert [row["detail"] for row in plan] == [
        "SEARCH jobs USING INDEX jobs_of_user (tenant=? AND user=?)"
    ]

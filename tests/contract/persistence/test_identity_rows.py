"""What users and keys promise as rows (ports IssuedKeys, IdentityAdministration)."""

import sqlite3
import uuid
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import (
    DatabaseError,
    KeyNotFoundError,
    LastUserError,
    UserExistsError,
    UserNotFoundError,
)
from ci_common.identities import new_key_id, new_token, prefix_of, token_digest
from ci_common.job import Door
from ci_common.policy import JobScope
from ci_common.ports.audit import AuditEntry, AuditQuery
from ci_common.ports.rows import JobQuery
from ci_common.principal import Role
from ci_common.run import RunRequest
from ci_persistence.database.database import Database
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_persistence.sqlite.identities import (
    SqliteIdentityAdministration,
    SqliteIssuedKeys,
    has_users,
)
from ci_persistence.sqlite.runs import SqliteRuns
from support.event_readers import EventReader
from support.identities import a_key, a_user, stored
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

LATER = NOON + timedelta(days=1)


@pytest.fixture
def database(rows):
    return rows.database


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


# ---------------------------------------------------------------------- disable, delete, rename


async def test_keys_of_a_disabled_user_are_refused_until_it_is_enabled(administration, issued):
    token, key = await stored(administration)
    other, _ = await stored(administration, a_user("bob@example.com"))
    for at in (NOON, LATER):
        user = await administration.disable_user(key.user.email, at)
        assert user.disabled_at == NOON, "the first moment stays"
    assert await find(issued, token) is None
    assert await find(issued, other) is not None
    (found,) = await administration.keys(key.user.email)
    assert found.state(NOON) == "disabled"
    for _ in range(2):
        assert await administration.enable_user(key.user.email) == key.user
    assert await find(issued, token) == key


async def test_a_deleted_user_leaves_jobs_and_no_keys(administration, issued, rows):
    token, key = await stored(administration, a_user(tenant="acme"))
    await stored(administration, a_user("bob@example.com"))
    owner = {"tenant": "acme", "user": key.user.email}
    job_id = await rows.add(**owner)
    await rows.add(tenant="other", user=key.user.email)
    assert await administration.delete_user(key.user.email, DEED) == 1
    assert await find(issued, token) is None
    assert [key.user.email for key in await administration.keys()] == ["bob@example.com"]
    assert (await rows.submissions.get(job_id)).user == key.user.email
    await administration.add_user(key.user)
    assert await administration.keys(key.user.email) == []


async def test_the_only_user_cannot_be_deleted(administration, issued, database):
    token, key = await stored(administration)
    with pytest.raises(LastUserError, match="disable this one"):
        await administration.delete_user(key.user.email, DEED)
    assert await find(issued, token) == key
    assert await SqliteAuditLog(database).entries(AuditQuery()) == []


async def test_a_renamed_user_has_keys_and_jobs_as_before(administration, issued, rows):
    ann, zoe = "ann@example.com", "zoe@example.com"
    token, key = await stored(administration, a_user(tenant="acme"))
    moving = [await rows.add(tenant="acme", user=ann) for _ in range(2)]
    await rows.transitions.claim(moving[0])
    staying = [await rows.add(tenant="other", user=ann), await rows.add(tenant="acme", user="bob")]
    await rows.submissions.add(
        a_job(job_id=(of_run := str(uuid.uuid4())), tenant="acme", user=ann, door=Door.RUNS),
        run=RunRequest("run_1", ann, {}),
    )
    assert await administration.rename_user(ann, zoe, DEED) == 3
    assert await find(issued, token) == replace(key, user=replace(key.user, email=zoe))
    assert [user.email for user in await administration.users()] == [zoe]
    scope = JobScope("acme", zoe)
    listed = await rows.submissions.list_jobs(scope, JobQuery())
    assert {job.job_id for job in listed} == {*moving, of_run}
    assert {(await rows.submissions.get(job_id)).user for job_id in staying} == {ann, "bob"}
    reader = EventReader(rows.database, scope=scope)
    assert {job_id for _, job_id in await reader.read()} == {*moving, of_run}
    assert (await SqliteRuns(rows.database).get("run_1")).request.user_email == zoe
    assert await rows.transitions.mark_running(moving[0], NOON), "a live job goes on"


async def test_an_address_that_is_taken_or_unknown_renames_nobody(administration):
    await stored(administration)
    await stored(administration, a_user("bob@example.com"))
    before = await administration.users()
    with pytest.raises(UserExistsError):
        await administration.rename_user("ann@example.com", "bob@example.com")
    with pytest.raises(UserExistsError):
        await administration.rename_user("ann@example.com", "ann@example.com")
    assert await administration.users() == before
    for change in (
        administration.rename_user("no@one", "zoe@example.com"),
        administration.delete_user("no@one"),
        administration.disable_user("no@one", NOON),
        administration.enable_user("no@one"),
    ):
        with pytest.raises(UserNotFoundError):
            await change


async def test_each_change_of_a_user_has_one_entry(administration, database):
    await stored(administration)
    await stored(administration, a_user("bob@example.com"))
    for _ in range(2):
        await administration.disable_user("ann@example.com", NOON, DEED)
    for _ in range(2):
        await administration.enable_user("ann@example.com", DEED)
    await administration.rename_user("ann@example.com", "zoe@example.com", DEED)
    await administration.delete_user("zoe@example.com", DEED)
    assert await SqliteAuditLog(database).entries(AuditQuery()) == [DEED] * 4


# ---------------------------------------------------------------------- rotation


def successor(key, at=NOON):
    token = new_token()
    return token, key.successor(new_key_id(), prefix_of(token), at)


async def test_a_rotated_key_is_replaced_at_once(administration, issued):
    token, key = await stored(administration, role=Role.VIEWER, expires_at=LATER)
    at = NOON + timedelta(hours=1)
    new_one, new = successor(key, at)
    await administration.rotate(key.key_id, new, token_digest(new_one), at, DEED)
    assert await find(issued, token, at) is None
    assert (await administration.find_key(key.key_id)).revoked_at == at
    assert await find(issued, new_one, at) == new
    assert (new.name, new.user, new.role) == (key.name, key.user, key.role)
    assert new.expires_at == LATER + timedelta(hours=1), "it lasts as long as the old one did"


@pytest.mark.parametrize("expires_at", [None, LATER, NOON + timedelta(minutes=5)])
async def test_a_rotated_key_is_valid_for_a_while(administration, issued, expires_at):
    token, key = await stored(administration, expires_at=expires_at)
    until = NOON + timedelta(hours=1)
    new_one, new = successor(key)
    await administration.rotate(key.key_id, new, token_digest(new_one), until)
    ends = min(expires_at or until, until)
    assert await find(issued, token, ends - timedelta(milliseconds=1)) is not None
    assert await find(issued, token, ends) is None
    assert await find(issued, new_one) == new
    assert (new.expires_at is None) == (expires_at is None)


async def test_only_a_live_key_is_rotated(administration, issued, database):
    _, expired = await stored(administration, expires_at=NOON)
    _, revoked = await stored(administration)
    await administration.revoke(revoked.key_id, NOON)
    before = await administration.keys()
    for key_id in (expired.key_id, revoked.key_id, "ffffffffffff"):
        token, new = successor(revoked)
        with pytest.raises(KeyNotFoundError, match="no live API key"):
            await administration.rotate(key_id, new, token_digest(token), NOON, DEED)
        assert await find(issued, token) is None
    assert await administration.keys() == before
    assert await SqliteAuditLog(database).entries(AuditQuery()) == []

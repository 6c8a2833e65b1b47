"""What browser sessions promise as rows (ports BrowserSessions, SessionAdministration)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import UnauthenticatedError
from ci_common.identities import token_digest
from ci_common.ports.audit import AuditEntry, AuditQuery
from ci_common.principal import Role
from ci_common.sessions import IssuedUser, Session, new_session_id
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_persistence.sqlite.identities import SqliteIdentityAdministration
from ci_persistence.sqlite.sessions import SqliteSessions
from support.identities import a_key, a_user, stored
from support.jobs import NOON

pytestmark = pytest.mark.anyio

DAY, IDLE = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def administration(rows):
    return SqliteIdentityAdministration(rows.database)


@pytest.fixture
def sessions(rows):
    return SqliteSessions(rows.database)


def a_session(who, at=NOON):
    return Session(new_session_id(), who, at, at + DAY, at, address="192.0.2.7", agent="Firefox")


async def added(sessions, who, token, at=NOON, most=20, audit=None):
    session = a_session(who, at)
    await sessions.add(session, token_digest(token), most, audit)
    return session


async def find(sessions, token):
    return await sessions.find(token_digest(token))


async def test_a_session_has_the_rights_that_its_key_has_now(administration, sessions):
    _, key = await stored(administration, role=Role.VIEWER)
    session = await added(sessions, key, "t")
    assert await find(sessions, "t") == session
    assert await find(sessions, "T") is None
    await administration.rename_user("ann@example.com", "anna@example.com")
    found = await find(sessions, "t")
    assert (found.user, found.stands_for.role) == ("anna@example.com", Role.VIEWER)
    await administration.disable_user("anna@example.com", NOON)
    assert (await find(sessions, "t")).state(NOON, IDLE) == "key disabled"
    await administration.enable_user("anna@example.com")
    assert (await find(sessions, "t")).state(NOON, IDLE) == "live"
    await administration.revoke(key.key_id, NOON)
    assert (await find(sessions, "t")).state(NOON, IDLE) == "key revoked"


async def test_sessions_are_deleted_with_their_user(administration, sessions):
    await stored(administration, a_user("olga@example.com"))
    _, key = await stored(administration)
    await added(sessions, key, "t")
    await administration.delete_user("ann@example.com")
    assert await find(sessions, "t") is None
    with pytest.raises(UnauthenticatedError):
        await added(sessions, key, "another")
    with pytest.raises(UnauthenticatedError):
        await added(sessions, a_key()[1], "of a key that never was")


async def test_the_one_that_was_used_longest_ago_makes_room(administration, sessions):
    _, key = await stored(administration)
    _, other_key = await stored(administration)
    _, of_another = await stored(administration, a_user("bob@example.com"))
    await added(sessions, of_another, "bob")
    first = await added(sessions, key, "1", most=3)
    await added(sessions, key, "2", most=3)
    await added(sessions, other_key, "3", NOON + IDLE, most=3)
    await sessions.record_use(first.session_id, NOON + IDLE)
    await added(sessions, key, "4", NOON + 2 * IDLE, most=3)
    left = [token for token in ("bob", "1", "2", "3", "4") if await find(sessions, token)]
    assert left == ["bob", "1", "3", "4"]


async def test_a_users_sessions_are_those_of_user_and_tenant(administration, sessions):
    _, key = await stored(administration)  # of ann@example.com
    _, viewing = await stored(administration, key.user, role=Role.VIEWER)
    _, of_another = await stored(administration, a_user("bob@example.com"))
    email, tenant = key.user.email, key.user.tenant
    named = IssuedUser("https://login.example", tenant, email, Role.ADMIN)
    elsewhere = replace(named, tenant="globex")
    whos = (key, viewing, of_another, named, elsewhere)
    kept = [await added(sessions, who, f"{number}") for number, who in enumerate(whos)]
    await sessions.revoke(kept[1].session_id, NOON)
    found = await sessions.of_user(tenant, email)
    assert [one.session_id for one in found] == [kept[at].session_id for at in (0, 1, 3)]
    assert [one.ended_at for one in found] == [None, NOON, None]
    assert await sessions.of_user("globex", email) == [kept[4]]
    assert await sessions.of_user("globex", "bob@example.com") == []


async def test_the_issuers_users_are_who_they_were_named_as(sessions):
    ann = IssuedUser("https://login.example", "acme", "ann", Role.ADMIN, "ann@example.com")
    namesake = replace(ann, tenant="globex")
    session = await added(sessions, ann, "1", most=1)
    assert await find(sessions, "1") == session
    await added(sessions, namesake, "2", most=1)
    await added(sessions, ann, "3", most=1)
    assert await find(sessions, "1") is None
    assert [one.stands_for for one in await sessions.sessions("ann")] == [namesake, ann]
    assert await sessions.sessions("bob") == []


async def test_revoking_and_signing_out_are_recorded_once(rows, sessions):
    user = IssuedUser("https://login.example", "acme", "ann", Role.ADMIN)
    entry = [AuditEntry(NOON, f"a{number}") for number in range(3)]
    one = await added(sessions, user, "1", audit=entry[0])
    for _ in range(2):
        await sessions.revoke(one.session_id, NOON, entry[1])
    assert (await find(sessions, "1")).state(NOON, IDLE) == "revoked"
    for _ in range(2):
        await sessions.delete(one.session_id, entry[2])
    assert await sessions.revoke(one.session_id, NOON, entry[1]) is False
    found = await SqliteAuditLog(rows.database).entries(AuditQuery())
    assert [one.action for one in found] == ["a0", "a1", "a2"]


async def test_old_ones_are_forgotten(sessions):
    user = IssuedUser("https://login.example", "acme", "ann", Role.ADMIN)
    await added(sessions, user, "old", NOON)
    await added(sessions, user, "young", NOON + IDLE)
    assert await sessions.delete_before(NOON + DAY + IDLE / 2) == 1
    assert await find(sessions, "old") is None
    assert await find(sessions, "young")

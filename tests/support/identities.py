"""Users and keys for tests."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ci_common.identities import ApiKey, User, new_key_id, new_token, prefix_of, token_digest
from ci_common.principal import Role
from ci_persistence.database.database import Database
from ci_persistence.sqlite.identities import SqliteIdentityAdministration
from support.jobs import NOON


def a_user(email="ann@example.com", *, name="Ann", tenant="local", created_at=NOON):
    """A user; what a test does not name is some valid value."""
    return User(email, name, created_at, tenant)


def a_key(user=None, *, name="laptop", role=Role.SUBMITTER, expires_at=None, created_at=NOON):
    """A key and what is known of it, not stored anywhere."""
    token = new_token()
    owner = user or a_user()
    return token, ApiKey(new_key_id(), prefix_of(token), name, owner, role, created_at, expires_at)


async def stored(administration, user=None, **options):
    """The same, stored with its user when that is not there yet."""
    token, key = a_key(user, **options)
    if key.user not in await administration.users():
        await administration.add_user(key.user)
    await administration.add_key(key, token_digest(token))
    return token, key


def administer(server, act):
    """Do something with the users and keys of a server, without the time that `ci-admin` takes to
    start; `act` gets an IdentityAdministration.
    """

    async def carry_out():
        database = Database(server.database)
        await database.open()
        try:
            return await act(SqliteIdentityAdministration(database))
        finally:
            await database.close()

    # On a thread, since the loop of a browser's driver may run on this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(carry_out())).result()


def issue_key(server, email="ann@example.com", *, tenant="local", **options):
    """A key, whose user is made when there is none."""

    async def issue(administration):
        users = {user.email: user for user in await administration.users()}
        user = users.get(email) or a_user(email, tenant=tenant)
        return (await stored(administration, user, **options))[0]

    return administer(server, issue)

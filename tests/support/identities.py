"""Users and keys for tests."""

from ci_common.identities import ApiKey, User, new_key_id, new_token, prefix_of, token_digest
from ci_common.principal import Role
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

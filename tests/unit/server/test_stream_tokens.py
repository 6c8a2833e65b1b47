"""Tokens for one job: what they let one do, and the key behind them."""

import multiprocessing
import stat
from datetime import UTC, datetime, timedelta

import pytest

from ci_common.errors import (
    DatabaseError,
    ForbiddenError,
    InvalidCredentialsError,
)
from ci_common.job import Visibility
from ci_common.policy import Action, JobScope, Policy
from ci_common.principal import LOCAL_PRINCIPAL, Principal, Role
from ci_persistence.files.token_key import NAME, load_token_key
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.stream_tokens import StreamTokenIdentity, StreamTokens

pytestmark = pytest.mark.anyio

GIVER = Principal("acme", "ann", Role.SUBMITTER, "key 7")


class Clock:
    def __init__(self):
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    return StreamTokens(b"k" * 32, 60, clock)


def test_a_token_is_its_giver_narrowed_to_the_job(tokens):
    lent = tokens.principal(tokens.issue(GIVER, "j1").token)
    assert lent == Principal("acme", "ann", Role.SUBMITTER, "stream-token of key 7", "j1")
    assert Policy().scope(lent, Action.READ) == JobScope("acme", "ann", "j1", (Visibility.TENANT,))
    for action in set(Action) - {Action.READ}:
        with pytest.raises(ForbiddenError):
            Policy().scope(lent, action)


def test_it_lasts_as_long_as_it_says(tokens, clock):
    given = tokens.issue(GIVER, "j1")
    assert given.expires_at == clock.now + timedelta(seconds=60)
    clock.now = given.expires_at - timedelta(seconds=1)
    assert tokens.principal(given.token)
    clock.now = given.expires_at
    with pytest.raises(InvalidCredentialsError, match="expired; get a new one"):
        tokens.principal(given.token)


def test_it_gets_no_other_token(tokens):
    lent = tokens.principal(tokens.issue(GIVER, "j1").token)
    with pytest.raises(ForbiddenError, match="another token"):
        tokens.issue(lent, "j1")


def test_it_is_made_for_urls(tokens):
    given = tokens.issue(Principal("ä/+&=?", "ü\U0001f600", Role.ADMIN), "j1").token
    assert all(character.isalnum() or character in "-_." for character in given)
    assert given.isascii()
    assert tokens.principal(given).user == "ü\U0001f600"


def test_every_other_character_makes_it_worthless(tokens):
    given = tokens.issue(GIVER, "j1").token
    for place in range(len(given)):
        other = "A" if given[place] != "A" else "B"
        with pytest.raises(InvalidCredentialsError):
            tokens.principal(given[:place] + other + given[place + 1 :])


@pytest.mark.parametrize(
    "text", ["st1.", "st1..", "st1.e30.", "st1.e30", "st1.ä.b", "st1." + "a" * 100_000, "st1.a.b.c"]
)
def test_garbage(tokens, text):
    with pytest.raises(InvalidCredentialsError):
        tokens.principal(text)


def test_a_token_of_another_key_is_worth_nothing(tokens, clock):
    given = StreamTokens(b"o" * 32, 60, clock).issue(GIVER, "j1").token
    with pytest.raises(InvalidCredentialsError, match="not issued by this server"):
        tokens.principal(given)


@pytest.mark.parametrize("text", ["ci_0123456789", "", "eyJ.eyJ.sig", "ST1.a.b", " st1.a.b"])
async def test_nothing_else_may_be_in_a_url(tokens, text):
    with pytest.raises(InvalidCredentialsError, match=r"Authorization: Bearer .* replace"):
        await StreamTokenIdentity(tokens).identify(Credentials(token=text))


async def test_tokens_are_asked_first_but_nobody_needs_one(tokens):
    authenticator = Authenticator(
        [], LocalIdentity(insecure=False), tokens=StreamTokenIdentity(tokens)
    )
    assert not await authenticator.has_identities()
    here = {"peer": "127.0.0.1", "local": "127.0.0.1"}
    assert await authenticator.authenticate(Credentials(**here)) == LOCAL_PRINCIPAL
    given = tokens.issue(GIVER, "j1").token
    lent = await authenticator.authenticate(Credentials(**here, token=given))
    assert lent.only_job == "j1"
    with pytest.raises(InvalidCredentialsError):
        await authenticator.authenticate(Credentials(**here, token="ci_key"))


# ------------------------------------------------------------------ the key


def test_the_key_is_made_once_and_is_private(tmp_path):
    data = tmp_path / "data"
    key = load_token_key(data)
    assert len(key) == 32
    assert load_token_key(data) == key
    assert stat.S_IMODE((data / NAME).stat().st_mode) == 0o600
    assert [path.name for path in data.iterdir()] == [NAME]
    assert load_token_key(tmp_path / "other") != key


def test_all_who_start_at_once_have_the_same_key(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        keys = pool.map(load_token_key, [tmp_path] * 8, chunksize=1)
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_told(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    (tmp_path / NAME).chmod(0o600)
    with pytest.raises(DatabaseError, match=r"damaged: delete it"):
        load_token_key(tmp_path)


def test_a_key_that_others_can_read_is_refused(tmp_path):
    load_token_key(tmp_path)
    (tmp_path / NAME).chmod(0o640)
    with pytest.raises(DatabaseError, match="read by other users"):
        load_token_key(tmp_path)

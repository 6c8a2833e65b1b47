"""When a stream's access has ended, and what becomes of the stream."""

import asyncio

import pytest

from ci_common.errors import (
    DatabaseUnavailableError,
    ForbiddenError,
    InvalidCredentialsError,
)
from ci_common.principal import KeyFacts, Principal, Role
from ci_server.access.auth.credentials import Credentials
from ci_server.http import standing_access
from ci_server.http.standing_access import remember_access, while_access_lasts

pytestmark = pytest.mark.anyio

ANN = Principal("acme", "ann", Role.SUBMITTER, "key:1", key=KeyFacts("ci_abc", "laptop", None))


class Answers:
    """An authenticator whose answers are known; the last one is repeated."""

    def __init__(self, *answers):
        self.left = list(answers)

    async def authenticate(self, credentials):
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(standing_access, "CHECK_SECONDS", (0, 0))


def scope_of(principal, *answers):
    scope = {"path": "/events"}
    remember_access(scope, Answers(*answers), Credentials(), principal)
    return scope


@pytest.mark.parametrize(
    "answer",
    [
        InvalidCredentialsError("revoked"),
        ForbiddenError("not allowed"),
        Principal("acme", "ann", Role.VIEWER, "key:1"),
        Principal("acme", "bob", Role.SUBMITTER, "key:1"),
        RuntimeError("a defect"),
    ],
    ids=lambda answer: type(answer).__name__,
)
async def test_a_stream_ends_with_its_access(answer, caplog):
    unavailable = DatabaseUnavailableError("the disk does not answer")
    scope = scope_of(ANN, ANN, unavailable, ANN, answer)
    async with asyncio.timeout(30), while_access_lasts(scope):
        await asyncio.Event().wait()
    assert "could not be checked: the disk does not answer" in caplog.text
    assert ("a defect" in caplog.text) == isinstance(answer, RuntimeError)


async def test_it_goes_on_while_nobody_can_tell():
    scope = scope_of(ANN, DatabaseUnavailableError("the disk does not answer"))
    async with while_access_lasts(scope):
        for _ in range(100):
            await asyncio.sleep(0)


async def test_tokens_are_for_beginning_a_stream():
    scope = scope_of(Principal("acme", "ann", Role.SUBMITTER, "jwt"), InvalidCredentialsError("no"))
    async with while_access_lasts(scope):
        for _ in range(100):
            await asyncio.sleep(0)


async def test_errors_of_the_stream_itself_are_not_swallowed():
    for error in (TimeoutError("its own"), DatabaseUnavailableError("of the log")):
        with pytest.raises(type(error), match=str(error)):
            async with while_access_lasts(scope_of(ANN, ANN)):
                raise error

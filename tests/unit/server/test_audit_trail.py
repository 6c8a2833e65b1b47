"""What goes into the audit log, and how often."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import ForbiddenError, InvalidCredentialsError, UnauthenticatedError
from ci_common.policy import Action, Policy
from ci_common.ports.audit import AuditAction, AuditOutcome
from ci_common.principal import Origin, Principal, Role
from ci_server.access.audit_trail import REPEAT, AuditTrail
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.limits.failed_logins import FailureLimits, ThrottledAuthenticator
from ci_server.access.limits.traffic import Traffic, TrafficLimits
from ci_server.http.guards import AccessControl
from support.jobs import NOON, a_job
from support.waiting import until

pytestmark = pytest.mark.anyio

FROM = Origin(address="192.0.2.7", request_id="r1")
ANN = Principal("acme", "ann", Role.ADMIN, "key laptop", origin=FROM)
BOBS = a_job(job_id="j1", tenant="acme", user="bob")


class Memory:
    """An audit log that keeps entries in a list, and may be out of order."""

    def __init__(self):
        self.entries = []
        self.broken = False
        self.is_asked = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def record(self, entry):
        self.is_asked.set()
        await self.may_go_on.wait()
        if self.broken:
            raise OSError("the disk is full")
        self.entries.append(entry)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def log():
    return Memory()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def trail(log, clock):
    return AuditTrail(log, clock)


async def test_reading_what_is_anothers_tells_who_from_where(trail, log):
    await trail.read(ANN, AuditAction.READ_ARTIFACT, BOBS, "output/x")
    (entry,) = log.entries
    assert (entry.at, entry.action, entry.outcome) == (NOON, "read_artifact", AuditOutcome.ALLOWED)
    assert (entry.tenant, entry.user, entry.role) == ("acme", "ann", "admin")
    assert (entry.credential, entry.job_id, entry.target) == ("key laptop", "j1", "output/x")
    assert (entry.address, entry.request_id) == ("192.0.2.7", "r1")
    assert "acme/bob" in entry.detail


async def test_reading_ones_own_is_nobodys_business(trail, log):
    await trail.read(ANN, AuditAction.READ_LOG, a_job(tenant="acme", user="ann"))
    assert log.entries == []


async def test_whoever_has_a_token_of_the_owners_is_not_the_owner(trail, log):
    own = a_job(tenant="acme", user="ann")
    lent = replace(ANN, credential="stream-token of key laptop", only_job=own.job_id)
    elsewhere = replace(lent, origin=Origin(address="198.51.100.9"))
    for reader in (lent, lent, elsewhere, elsewhere):
        await trail.read(reader, AuditAction.READ_LOG, own)
    assert [(entry.credential, entry.address) for entry in log.entries] == [
        ("stream-token of key laptop", "192.0.2.7"),
        ("stream-token of key laptop", "198.51.100.9"),
    ]


async def test_tokens_that_are_given_are_recorded_with_the_job(trail, log):
    own = a_job(tenant="acme", user="ann")
    for giver in (ANN, ANN, replace(ANN, credential="key phone")):
        await trail.token_issued(giver, own)
    assert [(entry.action, entry.job_id, entry.credential) for entry in log.entries] == [
        ("lend", own.job_id, "key laptop"),
        ("lend", own.job_id, "key phone"),
    ]


async def test_a_reader_that_reconnects_is_one_entry(trail, log, clock):
    for _ in range(5):
        await trail.read(ANN, AuditAction.READ_LOG, BOBS)
    assert len(log.entries) == 1
    await trail.read(ANN, AuditAction.READ_ARTIFACT, BOBS, "x")
    await trail.read(ANN, AuditAction.READ_ARTIFACT, BOBS, "y")
    await trail.read(ANN, AuditAction.READ_LOG, a_job(tenant="acme", user="bob"))
    assert len(log.entries) == 4
    clock.now += REPEAT
    await trail.read(ANN, AuditAction.READ_LOG, BOBS)
    assert len(log.entries) == 5


async def test_a_log_that_cannot_be_written_keeps_nobody_from_reading(trail, log):
    log.broken = True
    await trail.read(ANN, AuditAction.READ_LOG, BOBS)
    log.broken = False
    await trail.read(ANN, AuditAction.READ_LOG, BOBS)
    assert len(log.entries) == 1


@pytest.mark.parametrize(
    "told",
    [
        lambda trail: trail.read(ANN, AuditAction.READ_LOG, BOBS),
        lambda trail: trail.denied(ANN, AuditAction.CANCEL, ForbiddenError(), "j1"),
        lambda trail: trail.failed(Credentials(), InvalidCredentialsError()),
    ],
    ids=["read", "denied", "failed"],
)
async def test_whoever_disconnects_while_it_is_written_is_recorded(trail, log, told):
    log.may_go_on.clear()
    call = asyncio.create_task(told(trail))
    await log.is_asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    log.may_go_on.set()
    await until(lambda: log.entries)


async def test_nothing_is_left_out_because_the_clock_was_set_back(trail, log, clock):
    wrong = Credentials(client="192.0.2.7")
    await trail.read(ANN, AuditAction.READ_LOG, BOBS)
    for _ in range(61):
        await trail.failed(wrong, InvalidCredentialsError())
    clock.now -= timedelta(hours=1)
    await trail.read(ANN, AuditAction.READ_LOG, BOBS)
    await trail.failed(wrong, InvalidCredentialsError())
    assert [entry.at for entry in log.entries].count(clock.now) == 2


async def test_a_flood_of_failures_is_counted_and_not_written(trail, log, clock):
    wrong = Credentials(client="192.0.2.7", request_id="r2")
    for _ in range(1000):
        await trail.failed(wrong, InvalidCredentialsError())
    assert len(log.entries) == 60
    clock.now += timedelta(minutes=1)
    await trail.failed(wrong, InvalidCredentialsError())
    last = log.entries[-1]
    assert last.detail == "invalid_credentials; 940 more before this one were not recorded"
    assert (last.outcome, last.action) == (AuditOutcome.DENIED, "authenticate")
    assert (last.user, last.address, last.request_id) == (None, "192.0.2.7", "r2")


async def test_denials_are_told_once_in_a_while(trail, log):
    for _ in range(3):
        await trail.denied(ANN, AuditAction.CANCEL, ForbiddenError(), "j1")
    await trail.denied(ANN, AuditAction.CANCEL, ForbiddenError(), "j2")
    assert [(entry.job_id, entry.detail) for entry in log.entries] == [
        ("j1", "forbidden"),
        ("j2", "forbidden"),
    ]


# ------------------------------------------------------------------ at the door


class Known:
    """An identity that knows one viewer."""

    async def is_configured(self):
        return True

    def evidence(self, credentials):
        return credentials.bearer

    async def identify(self, credentials):
        if credentials.bearer == "known":
            return Principal("acme", "vic", Role.VIEWER, "key 1")
        return None


@pytest.fixture
def door(trail):
    authenticator = Authenticator([Known()], LocalIdentity(insecure=False))
    return AccessControl(
        ThrottledAuthenticator(authenticator, FailureLimits()),
        Policy(),
        trail,
        Traffic(TrafficLimits()),
    )


def bearer(token):
    headers = {"authorization": f"Bearer {token}"}
    return Credentials(headers, client="192.0.2.7", request_id="r3")


async def test_whoever_is_admitted_comes_from_somewhere(door, log):
    principal = await door.admit(bearer("known"), Action.READ)
    assert principal.origin == Origin("192.0.2.7", "r3")
    assert log.entries == []


async def test_a_role_that_does_not_allow_it_is_recorded(door, log):
    with pytest.raises(ForbiddenError):
        await door.admit(bearer("known"), Action.SUBMIT)
    (entry,) = log.entries
    assert (entry.user, entry.action, entry.outcome.value) == ("vic", "submit", "denied")
    assert (entry.address, entry.request_id) == ("192.0.2.7", "r3")


async def test_credentials_that_prove_nothing_are_recorded(door, log):
    with pytest.raises(InvalidCredentialsError):
        await door.admit(bearer("guessed"), Action.READ)
    assert [entry.detail for entry in log.entries] == ["invalid_credentials"]


async def test_asking_without_credentials_is_no_attempt(door, log):
    with pytest.raises(UnauthenticatedError):
        await door.admit(Credentials(client="192.0.2.7"), Action.READ)
    assert log.entries == []


def test_every_action_can_be_recorded():
    assert {AuditAction(action.value).value for action in Action} == {a.value for a in Action}

"""The audit log: what is in it stays, and says who did what to which job from where."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ci_common.errors import DatabaseError, JobFinishedError
from ci_common.job import JobStatus
from ci_common.ports.audit import AuditAction, AuditEntry, AuditOutcome, AuditQuery
from ci_persistence.sqlite.audit import SqliteAuditLog
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

ENTRY = AuditEntry(
    at=NOON,
    action=AuditAction.READ_LOG.value,
    tenant="acme",
    user="ann",
    role="admin",
    credential="key laptop",
    job_id="j1",
    target="output/x",
    address="192.0.2.7",
    request_id="r1",
    detail="of acme/bob",
)


@pytest.fixture
def log(rows):
    return SqliteAuditLog(rows.database)


async def test_an_entry_comes_back_as_it_was(log):
    await log.record(ENTRY)
    denied = AuditEntry(at=NOON, action="authenticate", outcome=AuditOutcome.DENIED)
    await log.record(denied)
    assert await log.entries(AuditQuery()) == [ENTRY, denied]


async def test_the_newest_are_told_and_the_newest_last(log):
    for number in range(5):
        await log.record(replace(ENTRY, detail=str(number)))
    told = await log.entries(AuditQuery(limit=2))
    assert [entry.detail for entry in told] == ["3", "4"]


@pytest.mark.parametrize(
    "query",
    [
        AuditQuery(since=NOON + timedelta(hours=1)),
        AuditQuery(tenant="other"),
        AuditQuery(user="zoe"),
        AuditQuery(job_id="j2"),
        AuditQuery(action="submit"),
    ],
)
async def test_queries_narrow(log, query):
    other = replace(
        ENTRY,
        at=NOON + timedelta(hours=1),
        tenant="other",
        user="zoe",
        job_id="j2",
        action="submit",
    )
    await log.record(ENTRY)
    await log.record(other)
    assert await log.entries(query) == [other]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET user = 'somebody'",
        "DELETE FROM audit",
        "REPLACE INTO audit (id, at, action, outcome) VALUES (1, 'x', 'x', 'allowed')",
        "INSERT OR REPLACE INTO audit (id, at, action, outcome) VALUES (1, 'x', 'x', 'allowed')",
    ],
)
async def test_the_database_refuses_to_change_it(rows, log, statement):
    await log.record(ENTRY)
    with pytest.raises(sqlite3.IntegrityError, match="of the audit log are"):
        await rows.database.write(statement)
    assert await log.entries(AuditQuery()) == [ENTRY]


async def test_only_what_is_older_than_a_bound_is_forgotten(log):
    now = datetime.now(UTC).replace(microsecond=0)
    ages = [replace(ENTRY, at=now - timedelta(days=days)) for days in (9, 8, 3, 0)]
    for entry in ages:
        await log.record(entry)
    assert await log.delete_before(now - timedelta(days=5)) == 2
    assert await log.delete_before(now - timedelta(days=5)) == 0
    assert await log.entries(AuditQuery()) == ages[2:]


async def test_the_last_day_cannot_be_forgotten(log):
    await log.record(ENTRY)
    with pytest.raises(DatabaseError, match="the last day"):
        await log.delete_before(datetime.now(UTC) - timedelta(hours=23))
    assert await log.entries(AuditQuery()) == [ENTRY]


async def test_many_are_forgotten_in_pieces(rows, log):
    old = datetime.now(UTC) - timedelta(days=9)
    for _ in range(3):
        await log.record(replace(ENTRY, at=old))
    for _ in range(10):
        await rows.database.write(
            "INSERT INTO audit (at, action, outcome) SELECT at, action, outcome FROM audit"
        )
    assert await log.delete_before(datetime.now(UTC) - timedelta(days=5)) == 3 * 2**10


# ------------------------------------------------------------------ with the action itself


async def test_a_submission_and_its_entry_are_stored_together(rows, log):
    job = a_job()
    await rows.submissions.add(job, audit=ENTRY)
    assert await log.entries(AuditQuery()) == [ENTRY]
    with pytest.raises(sqlite3.IntegrityError):
        await rows.submissions.add(job, audit=ENTRY)  # the same id
    assert await log.entries(AuditQuery()) == [ENTRY]


async def test_without_its_entry_there_is_no_submission(rows):
    job = a_job()
    with pytest.raises(sqlite3.IntegrityError):
        await rows.submissions.add(job, audit=replace(ENTRY, action=None))
    assert await rows.submissions.get(job.job_id) is None


async def test_the_first_wish_to_cancel_is_recorded(rows, log):
    job_id = await rows.add()
    for _ in range(3):
        await rows.submissions.request_cancel(job_id, NOON, replace(ENTRY, job_id=job_id))
    assert len(await log.entries(AuditQuery(job_id=job_id))) == 1


async def test_what_was_too_late_to_cancel_is_not_recorded(rows, log):
    job_id = await rows.in_status(JobStatus.COMPLETED)
    with pytest.raises(JobFinishedError):
        await rows.submissions.request_cancel(job_id, NOON, ENTRY)
    assert await log.entries(AuditQuery()) == []


async def test_entries_that_come_at_once_are_all_there(log):
    await asyncio.gather(*(log.record(ENTRY) for _ in range(50)))
    assert len(await log.entries(AuditQuery(limit=100))) == 50

"""Followers of job events are woken by their own process, and look for what others write."""

import asyncio
from contextlib import aclosing

import pytest

from ci_common import event_feed
from ci_common.errors import EventsGoneError
from ci_common.event_feed import follow_events
from ci_common.job import JobStatus
from ci_common.job_events import EventCursor
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, ProgressReport
from ci_common.progress import Progress
from ci_persistence.sqlite.events import SqliteJobEvents
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from support.jobs import NOON, a_job
from support.rows import PASSED, Rows
from support.waiting import until

pytestmark = pytest.mark.anyio

SECONDS = 20.0


@pytest.fixture
async def rows(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    rows.events = SqliteJobEvents(rows.database)
    yield rows
    await rows.database.close()


@pytest.fixture
def looks_rarely(monkeypatch):
    """So that only a signal can be what wakes a follower."""
    for name in ("_FIRST_LOOK_SECONDS", "_LAST_LOOK_SECONDS"):
        monkeypatch.setattr(event_feed, name, 3600.0)


async def following(rows, **options):
    return aclosing(follow_events(rows.events, rows.signals, await rows.events.latest(), **options))


async def take(feed):
    async with asyncio.timeout(SECONDS):
        batch = await anext(feed)
    return [event.kind.value for event in batch.events]


async def begun(feed):
    """A follower that looks, or waits."""
    task = asyncio.create_task(take(feed))
    await until(lambda: feed.ag_running, what="the first look")
    return task


@pytest.mark.usefixtures("looks_rarely")
async def test_every_change_in_this_process_wakes(rows):
    async with await following(rows) as feed:
        job_id = a_job().job_id
        changes = {
            "submitted": lambda: rows.submissions.add(a_job(job_id=job_id)),
            "claimed": lambda: rows.transitions.claim(job_id),
            "started": lambda: rows.transitions.mark_running(job_id, NOON),
            "progress": lambda: rows.transitions.report_progress(
                [ProgressReport(job_id, 1, Progress(1, 2, "x"))], NOON
            ),
            "cancel_requested": lambda: rows.submissions.request_cancel(job_id, NOON),
            "retried": lambda: rows.transitions.retry(job_id, 1),
            "finished": lambda: rows.transitions.finish(job_id, Ending(PASSED, 0), NOON),
        }
        for kind, change in changes.items():
            task = await begun(feed)
            await change()
            assert await task == [kind]


async def test_what_another_process_wrote_is_found_by_looking(rows):
    deaf = SqliteJobSubmissions(rows.database, type(rows.signals)())
    async with await following(rows) as feed:
        for _ in range(3):
            task = await begun(feed)
            await deaf.add(a_job())
            assert await task == ["submitted"]


async def test_only_the_scope_is_told(rows):
    async with await following(rows, scope=JobScope("acme")) as feed:
        task = await begun(feed)
        await rows.add(tenant="other")
        await rows.add(tenant="acme")
        assert await task == ["submitted"]


async def test_a_follower_that_goes_away_is_forgotten(rows):
    async with await following(rows) as feed:
        task = await begun(feed)
        await rows.in_status(JobStatus.QUEUED)
        await task
    assert not rows.signals._subscriptions


async def test_what_is_gone_is_told(rows):
    feed = follow_events(rows.events, rows.signals, EventCursor("another", 3))
    with pytest.raises(EventsGoneError):
        await anext(feed)
    assert not rows.signals._subscriptions

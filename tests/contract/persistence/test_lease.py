"""One controller a database (port ControllerLease)."""

import asyncio
import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest

from ci_common.job import (
    JobStatus,
)
from ci_common.ports.rows import Ending
from ci_persistence.database.database import Database
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.lease import ProcessLock, SqliteControllerLease
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from support.jobs import NOON
from support.loop_disks import KINDS, loop_disk
from support.rows import PASSED, Rows
from support.waiting import until

pytestmark = pytest.mark.anyio


@dataclass
class Watch:
    """A monotonic clock."""

    seconds: float = 0.0

    def __call__(self):
        return self.seconds


async def test_the_lease_has_one_holder(rows):
    watch = Watch()
    other = SqliteControllerLease(rows.database, watch)
    assert not await other.acquire("other", NOON, 60)
    assert await rows.lease.acquire("me", NOON + timedelta(seconds=59), 60)
    watch.seconds = 61
    assert not await other.acquire("other", NOON + timedelta(seconds=61), 60), "it was renewed"
    watch.seconds = 122
    assert await other.acquire("other", NOON + timedelta(seconds=122), 60)
    assert not await rows.lease.acquire("me", NOON + timedelta(seconds=123), 60)


@pytest.mark.parametrize("days", [3, -3])
async def test_a_clock_that_is_set_neither_ends_a_lease_nor_makes_it_last(rows, days):
    watch, then = Watch(), NOON + timedelta(days=days)
    other = SqliteControllerLease(rows.database, watch)
    assert not await other.acquire("other", NOON, 60)
    for watch.seconds in (1, 30, 60):
        assert not await other.acquire("other", then, 60)
    watch.seconds = 61
    assert await other.acquire("other", then, 60)
    assert not await rows.transitions.claim(await rows.add())


async def test_a_lease_that_is_renewed_between_look_and_take_over_stays(rows, monkeypatch):
    watch = Watch()
    other = SqliteControllerLease(rows.database, watch)
    assert not await other.acquire("other", NOON, 60)
    watch.seconds = 61
    look = other._stale

    async def renewed_after(*arguments):
        stale = await look(*arguments)
        assert await rows.lease.acquire("me", NOON + timedelta(seconds=1), 60)
        return stale

    monkeypatch.setattr(other, "_stale", renewed_after)
    assert not await other.acquire("other", NOON, 60)


async def test_a_released_lease_is_free_at_once(rows):
    other = SqliteControllerLease(rows.database)
    await other.release("other")
    assert not await other.acquire("other", NOON, 60), "only the holder can release it"
    await rows.lease.release("me")
    await rows.lease.release("me")
    assert await other.acquire("other", NOON, 60)


async def test_the_epoch_counts_take_overs(rows):
    other = SqliteControllerLease(rows.database)
    first = await rows.lease.acquire("me", NOON, 60)
    assert await rows.lease.acquire("me", NOON, 60) == first, "a renewal keeps it"
    assert await other.acquire("other", NOON + timedelta(seconds=61), 60) == first + 1
    await other.release("other")
    assert await SqliteControllerLease(rows.database).acquire("third", NOON, 60) == first + 2


async def test_one_that_lost_the_lease_is_told_before_it_gets_it_again(rows):
    other = SqliteControllerLease(rows.database)
    epoch = await other.acquire("other", NOON + timedelta(seconds=61), 60)
    await other.release("other")
    assert await rows.lease.acquire("me", NOON + timedelta(seconds=62), 60) is None
    assert not await rows.transitions.claim(await rows.add())
    assert await rows.lease.acquire("me", NOON + timedelta(seconds=62), 60) == epoch + 1


def kill(lease):
    """What the kernel does when the process ends."""
    lease._lock.release()


async def test_the_lease_of_a_dead_process_is_taken_at_once(rows):
    other = SqliteControllerLease(rows.database)
    assert not await other.acquire("other", NOON, 60)
    kill(rows.lease)
    assert await other.acquire("other", NOON, 60)
    assert not await rows.transitions.claim(await rows.add())
    kill(other)
    assert await SqliteControllerLease(rows.database).acquire("third", NOON, 60)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_lease_of_a_process_that_a_power_cut_ended_is_taken_at_once(kind):
    with loop_disk(kind) as disk:
        former = await Rows().open(disk.path / "ci.db")
        disk.cut()
        kill(former.lease)
        with suppress(sqlite3.Error):
            await former.database.close()
        disk.remount()
        database = Database(disk.path / "ci.db")
        await database.open()
        assert await SqliteControllerLease(database).acquire("next", NOON, 60)
        await database.close()


async def test_a_paused_holder_does_not_take_the_lease_back_from_a_living_one(rows):
    """It still has its lock, which says nothing about who took over when the lease ran out."""
    watch = Watch()
    other, third = (SqliteControllerLease(rows.database, watch) for _ in range(2))
    later = NOON + timedelta(seconds=61)
    assert await other.acquire("other", later, 60)
    for _ in range(3):
        assert not await rows.lease.acquire("me", later, 60)
        assert await other.acquire("other", later, 60)
    kill(rows.lease)
    assert not await third.acquire("third", later, 60), "nor who gets the lock afterwards"
    watch.seconds = 61
    assert await third.acquire("third", later + timedelta(seconds=61), 60)


async def test_without_the_lease_nothing_is_moved(rows):
    queued = await rows.add()
    running = await rows.in_status(JobStatus.RUNNING)
    assert await SqliteControllerLease(rows.database).acquire(
        "other", NOON + timedelta(seconds=61), 60
    )
    assert not await rows.transitions.claim(queued)
    assert not await rows.transitions.finish(running, Ending(PASSED, 0), NOON)
    assert not await rows.transitions.retry(running, 1)
    assert (await rows.submissions.get(queued)).status is JobStatus.QUEUED
    assert (await rows.submissions.get(running)).status is JobStatus.RUNNING


async def test_of_many_who_want_the_lease_one_gets_it(rows):
    await rows.lease.release("me")
    wanted = [SqliteControllerLease(rows.database).acquire(f"h{n}", NOON, 60) for n in range(10)]
    assert sorted(map(bool, await asyncio.gather(*wanted))) == [False] * 9 + [True]


async def test_the_engines_state_is_that_of_the_holder(rows):
    await rows.lease.report_engine("down")
    state = await rows.submissions.controller_state()
    assert (state.heartbeat_at, state.engine_error) == (NOON, "down")
    await rows.lease.acquire("me", NOON, 60)
    assert (await rows.submissions.controller_state()).engine_error == "down"
    await SqliteControllerLease(rows.database).report_engine("a lie")
    assert (await rows.submissions.controller_state()).engine_error == "down"
    other = SqliteControllerLease(rows.database)
    assert await other.acquire("other", NOON + timedelta(seconds=61), 60)
    assert (await rows.submissions.controller_state()).engine_error is None
    await rows.lease.report_engine("from the grave")
    assert (await rows.submissions.controller_state()).engine_error is None


async def test_no_controller_ever_ran(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    assert await SqliteJobSubmissions(database, ProcessJobSignals()).controller_state() is None
    await database.close()


async def test_one_that_is_cancelled_while_it_signs_has_signed(rows, monkeypatch):
    """Whoever releases the lease then closes the file, whose number may be another's at once."""
    signing, signed = threading.Event(), threading.Event()
    sign = ProcessLock.sign

    def slow_sign(lock, holder):
        signing.set()
        assert signed.wait(60)
        sign(lock, holder)

    monkeypatch.setattr(ProcessLock, "sign", slow_sign)
    await rows.lease.release("me")
    assert await rows.lease.acquire("me", NOON, 60) is None  # it is told that it lost it
    acquiring = asyncio.create_task(rows.lease.acquire("me", NOON, 60))
    await until(signing.is_set, what="a thread that signs")
    acquiring.cancel()
    await asyncio.wait([acquiring], timeout=0.05)
    ended = acquiring.done()
    signed.set()
    await asyncio.wait([acquiring])
    assert (ended, acquiring.cancelled()) == (False, True)


async def test_a_lock_that_may_not_be_opened_is_done_without(rows, monkeypatch, caplog):
    def refuse(path, database):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("ci_persistence.sqlite.lease.open_lock_file", refuse)
    watch = Watch()
    other = SqliteControllerLease(rows.database, watch)
    assert not await other.acquire("other", NOON, 60)
    watch.seconds = 61
    assert await other.acquire("other", NOON + timedelta(seconds=61), 60)
    assert caplog.text.count("give it the database's owner") == 1

"""What the rows promise (ports JobSubmissions, JobTransitions, ControllerLease)."""

import asyncio
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import DatabaseError, JobFinishedError, JobNotFoundError, NotReadyError
from ci_common.job import (
    TRANSITIONS,
    Artifact,
    CaseResult,
    JobSpec,
    JobStatus,
    Network,
    Outcome,
    Reason,
    ResourceLimits,
    SuiteSummary,
)
from ci_common.ports import Ending
from ci_persistence.database import Database
from ci_persistence.lease import SqliteControllerLease
from ci_persistence.migrations import MIGRATIONS
from ci_persistence.signals import ProcessJobSignals
from ci_persistence.submissions import SqliteJobSubmissions
from ci_persistence.transitions import SqliteJobTransitions
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

PASSED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)
FAILED = Outcome(JobStatus.FAILED, Reason.TIMEOUT, "stopped", 143)
CANCELLED = Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "cancelled")


class Rows:
    async def open(self, path):
        self.database = Database(path)
        await self.database.open()
        signals = ProcessJobSignals()
        self.submissions = SqliteJobSubmissions(self.database, signals)
        self.transitions = SqliteJobTransitions(self.database, signals, "me")
        self.lease = SqliteControllerLease(self.database)
        await self.lease.acquire("me", NOON, 60)
        return self

    async def add(self, **options):
        job = a_job(**options)
        await self.submissions.add(job)
        return job.job_id

    async def in_status(self, status):
        """A job that got there in the ordinary way."""
        job_id = await self.add()
        if status in (JobStatus.INITIALIZING, JobStatus.RUNNING, JobStatus.COMPLETED):
            assert await self.transitions.claim(job_id)
        if status in (JobStatus.RUNNING, JobStatus.COMPLETED):
            assert await self.transitions.mark_running(job_id, NOON)
        for outcome in (PASSED, FAILED, CANCELLED):
            if outcome.status is status:
                assert await self.transitions.finish(job_id, Ending(outcome, 1), NOON)
        assert (await self.submissions.get(job_id)).status is status
        return job_id


@pytest.fixture
async def rows(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    yield rows
    await rows.database.close()


async def test_a_job_comes_back_as_it_was(rows):
    job = replace(
        a_job(created_at=NOON + timedelta(milliseconds=123)),
        tenant="tenant",
        user="user",
        spec=JobSpec(
            command=("a b", "ä", '"', "\n", ""),
            name="lint",
            image="image:1",
            env={"A": "1", "ä": "'"},
            artifacts=("*.xml",),
            limits=ResourceLimits(1.5, 150, 64, 99, Network.NONE, 1 << 20, 65, 7, 0.5),
            priority=10,
            retries=3,
        ),
    )
    await rows.submissions.add(job)
    assert await rows.submissions.get(job.job_id) == job
    assert await rows.transitions.get(job.job_id) == job
    assert await rows.submissions.get("no such job") is None


async def test_a_job_id_is_taken_once(rows):
    job = a_job()
    await rows.submissions.add(job)
    with pytest.raises(sqlite3.IntegrityError):
        await rows.submissions.add(job)


async def test_every_fact_of_a_finished_job_is_kept(rows):
    job_id = await rows.in_status(JobStatus.RUNNING)
    later = NOON + timedelta(seconds=5)
    assert await rows.transitions.finish(job_id, Ending(FAILED, 1 << 40), later)
    job = await rows.submissions.get(job_id)
    assert (job.outcome, job.log_size, job.ended_at, job.started_at) == (
        FAILED,
        1 << 40,
        later,
        NOON,
    )


@pytest.mark.parametrize("target", list(JobStatus)[1:])
@pytest.mark.parametrize("source", JobStatus)
async def test_only_the_moves_of_the_table_are_made(rows, source, target):
    job_id = await rows.in_status(source)
    before = await rows.submissions.get(job_id)
    moves = {
        JobStatus.INITIALIZING: lambda: rows.transitions.claim(job_id),
        JobStatus.RUNNING: lambda: rows.transitions.mark_running(job_id, NOON),
        **{
            outcome.status: lambda outcome=outcome: rows.transitions.finish(
                job_id, Ending(outcome, 7), NOON
            )
            for outcome in (PASSED, FAILED, CANCELLED)
        },
    }
    allowed = target in TRANSITIONS[source]
    assert await moves[target]() is allowed
    after = await rows.submissions.get(job_id)
    assert after.status is (target if allowed else source)
    if not allowed:
        assert after == before


async def test_a_retry_is_the_next_attempt(rows):
    job_id = await rows.in_status(JobStatus.RUNNING)
    assert not await rows.transitions.retry(job_id, 2), "that attempt was not lost yet"
    assert await rows.transitions.retry(job_id, 1)
    job = await rows.submissions.get(job_id)
    assert (job.status, job.attempt, job.started_at) == (JobStatus.INITIALIZING, 2, None)
    assert not await rows.transitions.retry(job_id, 1), "safe to repeat"
    assert not await rows.transitions.retry(job_id, 2), "it does not run yet"
    later = NOON + timedelta(seconds=9)
    assert await rows.transitions.mark_running(job_id, later)
    job = await rows.submissions.get(job_id)
    assert (job.attempt, job.started_at) == (2, later)


@pytest.mark.parametrize("status", [s for s in JobStatus if s is not JobStatus.RUNNING])
async def test_only_running_jobs_are_tried_again(rows, status):
    job_id = await rows.in_status(status)
    before = await rows.submissions.get(job_id)
    assert not await rows.transitions.retry(job_id, 1)
    assert await rows.submissions.get(job_id) == before


async def test_artifacts_and_tests_are_recorded_with_the_end(rows):
    artifacts = (Artifact("b/c", 3, "c" * 64), Artifact("a", 5, "a" * 64))
    summary = SuiteSummary(
        2, 1, 1, 0, 0, 0.5, (CaseResult("t::b", 0.4, "it failed"),), (CaseResult("t::b", 0.4),)
    )
    ending = Ending(PASSED, 7, 99, artifacts, summary)
    job_id = await rows.in_status(JobStatus.RUNNING)
    assert await rows.transitions.finish(job_id, ending, NOON)
    assert not await rows.transitions.finish(job_id, ending, NOON)
    job = await rows.submissions.get(job_id)
    assert (job.log_dropped, job.artifacts_size, job.tests) == (99, 8, summary)
    assert await rows.submissions.artifacts(job_id) == [artifacts[1], artifacts[0]]
    assert await rows.submissions.artifact(job_id, "b/c") == artifacts[0]
    assert await rows.submissions.artifact(job_id, "b") is None


async def test_an_ending_that_is_refused_records_nothing(rows):
    job_id = await rows.in_status(JobStatus.CANCELLED)
    ending = Ending(PASSED, 7, artifacts=(Artifact("a", 5, "a" * 64),))
    assert not await rows.transitions.finish(job_id, ending, NOON)
    assert await rows.submissions.artifacts(job_id) == []
    assert (await rows.submissions.get(job_id)).artifacts_size == 0


async def test_the_place_in_the_queue_counts_the_tenants_own_jobs(rows):
    async def queued(tenant, priority=5):
        job = a_job(tenant=tenant, priority=priority)
        await rows.submissions.add(job)
        return job

    async def places(*jobs):
        return [await rows.submissions.queue_position(job) for job in jobs]

    await queued("other", 10)
    first, second = await queued("a"), await queued("a")
    await queued("other")
    low, high = await queued("a", 0), await queued("a", 9)
    assert await places(high, first, second, low) == [1, 2, 3, 4]
    await rows.transitions.claim(high.job_id)
    assert await places(first, second, low) == [1, 2, 3]


async def test_of_many_claims_one_succeeds(rows):
    job_id = await rows.add()
    claims = await asyncio.gather(*(rows.transitions.claim(job_id) for _ in range(10)))
    assert sorted(claims) == [False] * 9 + [True]


async def test_moves_of_no_job(rows):
    assert not await rows.transitions.claim("no such job")
    assert not await rows.transitions.finish("no such job", Ending(PASSED, 0), NOON)


async def test_active_jobs_come_first_come_first(rows):
    ids = [await rows.in_status(status) for status in JobStatus]
    assert [job.job_id for job in await rows.transitions.active()] == ids[:3]


async def test_a_list_is_newest_first_and_in_pages(rows):
    ids = [await rows.add() for _ in range(5)]
    ids.reverse()

    async def page(before=None, limit=2, status=None, tenant="local"):
        return [
            job.job_id for job in await rows.submissions.list_jobs(tenant, status, limit, before)
        ]

    assert await page() == ids[:2]
    assert await page(before=ids[1]) == ids[2:4]
    assert await page(before=ids[3]) == ids[4:]
    assert await page(before=ids[4]) == []
    await rows.transitions.claim(ids[3])
    assert await page(status=JobStatus.INITIALIZING) == [ids[3]]
    assert await page(status=JobStatus.QUEUED, limit=9) == [*ids[:3], ids[4]]
    assert await page(tenant="another") == []
    for stranger in ("no such job", await rows.add(tenant="another")):
        with pytest.raises(JobNotFoundError):
            await page(before=stranger)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING])
async def test_cancel_is_an_intent(rows, status):
    job_id = await rows.in_status(status)
    job = await rows.submissions.request_cancel(job_id, NOON)
    assert (job.status, job.cancel_requested_at) == (status, NOON)
    again = await rows.submissions.request_cancel(job_id, NOON + timedelta(seconds=9))
    assert again.cancel_requested_at == NOON, "the first wish counts"


@pytest.mark.parametrize("status", [status for status in JobStatus if status.is_terminal])
async def test_finished_jobs_cannot_be_cancelled(rows, status):
    with pytest.raises(JobFinishedError):
        await rows.submissions.request_cancel(await rows.in_status(status), NOON)


async def test_no_job_cannot_be_cancelled(rows):
    with pytest.raises(JobNotFoundError):
        await rows.submissions.request_cancel("no such job", NOON)


async def test_moves_wake_watchers(rows):
    job_id = await rows.add()
    subscription = rows.submissions._signals.subscribe(job_id)
    for move in (
        rows.transitions.claim(job_id),
        rows.transitions.mark_running(job_id, NOON),
        rows.submissions.request_cancel(job_id, NOON),
        rows.transitions.finish(job_id, Ending(CANCELLED, 0), NOON),
    ):
        await move
        assert await subscription.wait(5)
    subscription.close()


# ------------------------------------------------------------------ the database


async def test_rows_survive_and_are_seen_by_others(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    other = await Rows().open(tmp_path / "ci.db")
    job_id = await rows.add()
    assert (await other.submissions.get(job_id)).status is JobStatus.QUEUED
    await rows.database.close()
    await rows.database.close()
    assert await other.submissions.request_cancel(job_id, NOON)
    await other.database.close()
    assert other.database.instance_id == rows.database.instance_id


async def test_an_empty_file_is_fine_and_directories_are_made(tmp_path):
    path = tmp_path / "new" / "ci.db"
    path.parent.mkdir()
    path.touch()
    rows = await Rows().open(path)
    await rows.database.close()
    rows = await Rows().open(tmp_path / "x" / "y" / "ci.db")
    await rows.database.close()


async def test_commits_are_durable(rows):
    for connection in (rows.database._writer,):
        (row,) = await connection.execute_fetchall("PRAGMA synchronous")
        assert row[0] == 2
        (row,) = await connection.execute_fetchall("PRAGMA journal_mode")
        assert row[0] == "wal"


async def test_the_reader_cannot_write(rows):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await rows.database.fetch_all("DELETE FROM jobs")


async def test_a_transaction_whose_body_fails_is_rolled_back(rows):
    job_id = await rows.add()

    async def delete_and_fail():
        async with rows.database.transaction() as connection:
            await connection.execute("DELETE FROM jobs")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await delete_and_fail()
    assert await rows.submissions.get(job_id) is not None
    await rows.add()


async def test_a_transaction_cancelled_at_any_point_leaves_none_open(rows):
    """What is written afterwards is committed, and not part of a transaction nobody ends."""
    for turns in range(12):
        task = asyncio.create_task(rows.submissions.check_writable())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        job_id = await rows.add()
        assert await rows.submissions.get(job_id) is not None, f"cancelled after {turns} turns"
        assert not rows.database._writer.in_transaction


async def test_check_writable(rows):
    await rows.submissions.check_writable()
    await rows.database._writer.execute("PRAGMA query_only=ON")
    with pytest.raises(NotReadyError, match="cannot be written"):
        await rows.submissions.check_writable()
    await rows.database._writer.execute("PRAGMA query_only=OFF")
    await rows.submissions.check_writable()


async def test_a_newer_schema_is_refused(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    await rows.database.write(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    await rows.database.close()
    with pytest.raises(DatabaseError, match="newer version"):
        await Database(tmp_path / "ci.db").open()


async def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "ci.db"
    path.write_bytes(b"this is no database, but long enough to be one\n" * 100)
    with pytest.raises(DatabaseError, match="CI_DB_PATH"):
        await Database(path).open()
    with pytest.raises(DatabaseError):
        await Database(tmp_path).open()


def test_a_process_that_cannot_open_its_database_ends(tmp_path):
    path = tmp_path / "ci.db"
    path.write_bytes(b"this is no database, but long enough to be one\n" * 100)
    result = subprocess.run(
        [sys.executable, "-m", "ci_controller"],
        env={"CI_DB_PATH": str(path), "PATH": "/usr/bin:/bin", "CI_EXECUTOR": "process"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 1
    assert "CI_DB_PATH" in result.stderr
    assert "Traceback" not in result.stderr


def test_processes_that_start_at_once_make_one_database(tmp_path):
    source = (
        "import asyncio, sys, pathlib\n"
        "from ci_persistence.database import Database\n"
        "async def main():\n"
        "    database = Database(pathlib.Path(sys.argv[1]))\n"
        "    await database.open()\n"
        "    print(database.instance_id)\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, str(tmp_path / "ci.db")], stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(answers)) == 1


# ------------------------------------------------------------------ the lease


async def test_the_lease_has_one_holder(rows):
    other = SqliteControllerLease(rows.database)
    assert not await other.acquire("other", NOON, 60)
    assert await rows.lease.acquire("me", NOON + timedelta(seconds=59), 60)
    assert not await other.acquire("other", NOON + timedelta(seconds=61), 60), "it was renewed"
    assert await other.acquire("other", NOON + timedelta(seconds=120), 60)
    assert not await rows.lease.acquire("me", NOON + timedelta(seconds=121), 60)


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


async def test_a_paused_holder_does_not_take_the_lease_back_from_a_living_one(rows):
    """It still has its lock, which says nothing about who took over when the lease ran out."""
    other, third = (SqliteControllerLease(rows.database) for _ in range(2))
    later = NOON + timedelta(seconds=61)
    assert await other.acquire("other", later, 60)
    for _ in range(3):
        assert not await rows.lease.acquire("me", later, 60)
        assert await other.acquire("other", later, 60)
    kill(rows.lease)
    assert not await third.acquire("third", later, 60), "nor who gets the lock afterwards"
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

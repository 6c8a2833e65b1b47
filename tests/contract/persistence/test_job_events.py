"""The events of jobs: what each change writes, and what readers see of it (port JobEvents)."""

import asyncio
import contextlib
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from ci_common.errors import EventsGoneError, JobFinishedError, TooManyJobsError
from ci_common.job import JobStatus, Outcome, Reason, SuiteSummary, Visibility, utc_now
from ci_common.job_events import NO_CURSOR, EventCursor, JobEventKind
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, ProgressReport
from ci_common.ports.usage import Quotas
from ci_common.progress import Progress
from ci_persistence.database.database import Database
from ci_persistence.sqlite.event_check import check_events, repair_events
from ci_persistence.sqlite.events import SqliteJobEvents
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.backups import back_up, restore
from support.event_readers import EVERYTHING, EventReader
from support.jobs import NOON, a_job
from support.rows import CANCELLED, PASSED

pytestmark = pytest.mark.anyio

ENDING = Ending(PASSED, 3)
TESTS = SuiteSummary(total=5, passed=2, failed=1, errors=1, skipped=1, seconds=0.25)


@pytest.fixture
async def reader(rows):
    return await EventReader(rows.database).begin()


@pytest.fixture
def retention(rows):
    return SqliteJobRetention(rows.database, "me")


async def finish(rows, job_id, ending=ENDING):
    assert await rows.transitions.finish(job_id, ending, NOON)


async def report(rows, job_id, current, attempt=1, **about):
    progress = Progress(current, 10, "work", **about)
    await rows.transitions.report_progress([ProgressReport(job_id, attempt, progress)], NOON)


# ---------------------------------------------------------------------- what is written


async def test_a_jobs_life(rows, reader):
    job = a_job(tenant="acme", user="ann", priority=7)
    await rows.submissions.add(job)
    await rows.transitions.claim(job.job_id)
    await rows.transitions.mark_running(job.job_id, NOON + timedelta(seconds=1))
    half = {"score": 0.5, "scores": {"a": 1}, "message": "half"}
    await report(rows, job.job_id, 4, **half)
    await rows.submissions.request_cancel(job.job_id, NOON + timedelta(seconds=2))
    ending = Ending(PASSED, 12, tests=TESTS)
    assert await rows.transitions.finish(job.job_id, ending, NOON + timedelta(seconds=3))
    await reader.read()
    tests = {"total": 5, "passed": 2, "failed": 1, "errors": 1, "skipped": 1, "seconds": 0.25}
    end = {"status": "completed", "reason": "exit", "message": "exited with code 0", "exit_code": 0}
    assert [(event.kind.value, dict(event.facts)) for event in reader.seen] == [
        ("submitted", {"name": "test", "priority": 7}),
        ("claimed", {"attempt": 1}),
        ("started", {"attempt": 1}),
        ("progress", dict(attempt=1, current=4, total=10, phase="work", **half)),
        ("cancel_requested", {}),
        ("finished", dict(attempt=1, log_size=12, artifacts_size=0, tests=tests, **end)),
    ]
    assert {(event.job_id, event.tenant, event.user) for event in reader.seen} == {
        (job.job_id, "acme", "ann")
    }
    told = [event.at for event in reader.seen if event.kind is not JobEventKind.CLAIMED]
    assert told == [NOON + timedelta(seconds=at) for at in (0, 1, 0, 2, 3)]
    assert abs(reader.seen[1].at - utc_now()) < timedelta(minutes=1)


async def test_a_retry(rows, reader):
    job_id = await rows.in_status(JobStatus.RUNNING)
    await reader.read()
    assert await rows.transitions.retry(job_id, 1)
    await rows.transitions.mark_running(job_id, NOON)
    assert await reader.kinds() == ["retried", "started"]
    assert [event.facts["attempt"] for event in reader.seen[-2:]] == [2, 2]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.INITIALIZING])
async def test_a_job_that_never_ran(rows, reader, status):
    job_id = await rows.in_status(status)
    await reader.read()
    await finish(rows, job_id, Ending(CANCELLED, 0))
    assert await reader.kinds() == ["finished"]
    facts = reader.seen[-1].facts
    assert (facts["status"], facts["exit_code"], facts["tests"]) == ("cancelled", None, None)


async def test_what_changes_nothing_is_no_event(rows, reader):
    job_id = await rows.in_status(JobStatus.RUNNING)
    stranger = SqliteJobTransitions(rows.database, rows.signals, "another")
    await rows.submissions.request_cancel(job_id, NOON)
    await reader.read()
    await rows.submissions.request_cancel(job_id, NOON)
    assert not await rows.transitions.claim(job_id)
    assert not await rows.transitions.mark_running(job_id, NOON)
    assert not await rows.transitions.retry(job_id, 7)
    assert not await stranger.finish(job_id, Ending(PASSED, 0), NOON)
    await stranger.report_progress([ProgressReport(job_id, 1, Progress(1, 2, "x"))], NOON)
    begun = Ending(Outcome(JobStatus.FAILED, Reason.LOST, "lost"), 3)
    assert await rows.transitions.begin_failure(job_id, begun)
    assert await reader.read() == []
    await finish(rows, job_id)
    assert await reader.kinds() == ["finished"]
    with pytest.raises(JobFinishedError):
        await rows.submissions.request_cancel(job_id, NOON)
    assert not await rows.transitions.finish(job_id, Ending(PASSED, 0), NOON)
    assert await reader.read() == []


async def test_what_is_rolled_back_has_no_event_and_takes_no_number(rows, reader):
    await rows.add()
    before = await reader.events.latest()
    with pytest.raises(TooManyJobsError):
        await rows.submissions.add(a_job(), Quotas(live_jobs_per_user=1))
    with contextlib.suppress(RuntimeError):
        async with rows.database.transaction() as connection:
            await connection.execute("UPDATE jobs SET status = 'initializing'")
            raise RuntimeError
    assert await reader.kinds() == ["submitted"]
    assert await reader.events.latest() == before
    await rows.add()
    await reader.read()
    assert [event.seq for event in reader.seen] == [1, 2]


async def test_an_event_is_of_the_same_transaction_as_its_change(rows, reader):
    """Nobody sees one without the other."""
    await rows.add()
    await reader.read()
    async with rows.database.transaction() as connection:
        await connection.execute("UPDATE jobs SET status = 'initializing'")
        assert await reader.read() == []
        found = await rows.database.fetch_one("SELECT status FROM jobs")
        assert found["status"] == "queued"
    assert await reader.kinds() == ["claimed"]


# ---------------------------------------------------------------------- progress


async def test_a_progress_event_replaces_the_one_before(rows, reader):
    job_id, other = await rows.in_status(JobStatus.RUNNING), await rows.in_status(JobStatus.RUNNING)
    await report(rows, other, 9)
    await reader.read()
    for current in range(5):
        await report(rows, job_id, current)
    assert await reader.kinds() == ["progress"]
    assert reader.seen[-1].facts["current"] == 4
    found = await rows.database.fetch_all("SELECT job_id FROM job_events WHERE kind = 'progress'")
    assert [row["job_id"] for row in found] == [other, job_id]


async def test_the_same_progress_twice_is_one_event(rows, reader):
    """Whoever takes over a job reads again what it reported last."""
    job_id = await rows.in_status(JobStatus.RUNNING)
    await report(rows, job_id, 4)
    await reader.read()
    await report(rows, job_id, 4)
    assert await reader.read() == []
    await report(rows, job_id, 5)
    await report(rows, job_id, 4)
    assert await reader.kinds() == ["progress"]


async def test_an_event_has_the_last_iteration_and_score(rows, reader):
    job_id = await rows.in_status(JobStatus.RUNNING)
    await report(rows, job_id, 1, iteration=1)
    await report(rows, job_id, 2, score=3.5, scores={"a": 3.0, "b": 4.0}, message="half")
    await reader.read()
    await report(rows, job_id, 3)
    await reader.read()
    about = {"iteration": 1, "score": 3.5, "scores": {"a": 3.0, "b": 4.0}}
    wanted = {"attempt": 1, "current": 3, "total": 10, "phase": "work", **about}
    assert reader.seen[-1].facts == wanted
    await report(rows, job_id, 3)
    assert await reader.read() == []
    await report(rows, job_id, 4, iteration=2, score=4.0, scores={"b": 4.0})
    await reader.read()
    assert reader.seen[-1].facts["scores"] == {"b": 4.0}


async def test_the_score_of_an_attempt_is_not_the_next_ones(rows, reader):
    job_id = await rows.in_status(JobStatus.RUNNING)
    await report(rows, job_id, 2, iteration=1, score=3.5)
    assert await rows.transitions.retry(job_id, 1)
    await rows.transitions.mark_running(job_id, NOON)
    await reader.read()
    await report(rows, job_id, 1, attempt=2)
    await reader.read()
    assert reader.seen[-1].facts == {"attempt": 2, "current": 1, "total": 10, "phase": "work"}


async def test_only_what_runs_has_progress(rows, reader):
    queued = await rows.add()
    job_id = await rows.in_status(JobStatus.RUNNING)
    assert await rows.transitions.retry(job_id, 1)
    ended = await rows.in_status(JobStatus.COMPLETED)
    await reader.read()
    for one in (queued, job_id, ended, "00000000-0000-4000-8000-000000000000"):
        await report(rows, one, 1)
    await rows.transitions.mark_running(job_id, NOON)
    await report(rows, job_id, 2, attempt=1)
    assert await reader.kinds() == ["started"]
    await report(rows, job_id, 3, attempt=2)
    assert await reader.kinds() == ["progress"]


async def test_many_reports_are_one_transaction(rows, reader):
    jobs = [await rows.in_status(JobStatus.RUNNING) for _ in range(3)]
    await reader.read()
    reports = [ProgressReport(job, 1, Progress(1, 2, "é😀\n")) for job in jobs]
    await rows.transitions.report_progress(reports, NOON)
    assert await reader.read() == [("progress", job) for job in jobs]
    assert reader.seen[-1].facts["phase"] == "é😀\n"


# ---------------------------------------------------------------------- readers


async def test_a_reader_goes_on_where_it_was_in_another_process(rows, tmp_path):
    reader = await EventReader(rows.database).begin()
    first = await rows.add()
    assert await reader.read() == [("submitted", first)]
    second = await rows.add()
    other = Database(tmp_path / "ci.db")
    await other.open()
    later = EventReader(other, EventCursor.parse(str(reader.cursor)))
    assert await later.read() == [("submitted", second)]
    assert await later.read() == []
    await other.close()


async def test_small_batches_are_the_same_events(rows):
    for _ in range(3):
        await rows.in_status(JobStatus.COMPLETED)
    readers = [EventReader(rows.database, limit=limit) for limit in (1, 2, 5, 12, 13)]
    seen = [await reader.read() for reader in readers]
    assert len(seen[0]) == 12
    assert all(one == seen[0] for one in seen)


SCOPES = {
    JobScope("acme"): "ab",
    JobScope("acme", "ann"): "a",
    JobScope("acme", "eve"): "",
    JobScope("other"): "c",
    JobScope(): "abc",
}


@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_a_scope_sees_its_own_jobs_and_skips_the_others(rows, retention, scope):
    reader = EventReader(rows.database, scope=scope)
    owners = {"a": ("acme", "ann"), "b": ("acme", "bob"), "c": ("other", "ann")}
    jobs = {name: await rows.add(tenant=who[0], user=who[1]) for name, who in owners.items()}
    wanted = [jobs[name] for name in SCOPES[scope]]
    assert await reader.read() == [("submitted", job) for job in wanted]
    assert reader.cursor.seq == 3, "it need not look at those of others again"
    for job in jobs.values():
        await finish(rows, job, Ending(CANCELLED, 0))
    await retention.delete_jobs(list(jobs.values()))
    await reader.read()
    assert [event.job_id for event in reader.seen[-len(wanted) :] if wanted] == wanted
    assert reader.gaps == bool(wanted), "a loss of others is none of its own"


async def test_events_are_as_visible_as_their_jobs(rows, retention):
    others = (Visibility.TENANT, Visibility.VIEWERS)
    own = await rows.add(tenant="acme", user="ann", visibility=Visibility.PRIVATE)
    jobs = [await rows.add(tenant="acme", user="bob", visibility=it) for it in Visibility]
    readers = {
        count: EventReader(rows.database, scope=JobScope("acme", "ann", others=others[:count]))
        for count in range(3)
    }
    for count, reader in readers.items():
        wanted = [own, *jobs[:count]]
        assert await reader.read() == [("submitted", job) for job in wanted]
    for job in (own, *jobs):
        await finish(rows, job, Ending(CANCELLED, 0))
    await retention.delete_jobs([own, *jobs])
    for count, reader in readers.items():
        await reader.read()
        told = [(event.kind.value, event.job_id) for event in reader.seen[count + 1 :]]
        assert told == [("deleted", job) for job in (own, *jobs[:count])]


async def test_one_job_can_be_followed(rows):
    job_id = await rows.in_status(JobStatus.COMPLETED)
    await rows.in_status(JobStatus.COMPLETED)
    reader = EventReader(rows.database, scope=JobScope(job_id=job_id))
    assert await reader.kinds() == ["submitted", "claimed", "started", "finished"]


# ---------------------------------------------------------------------- what is gone


async def test_a_deleted_job_leaves_one_event(rows, reader, retention):
    job_id = await rows.in_status(JobStatus.COMPLETED)
    await reader.read()
    last = reader.cursor.seq
    assert await retention.delete_jobs([job_id]) == 1
    assert await reader.read() == [("deleted", job_id)]
    assert reader.seen[-1].facts == {"last_seq": last}
    assert reader.gaps == 0, "it had seen everything"
    assert await EventReader(rows.database).read() == [("deleted", job_id)]


async def test_a_late_reader_is_told_once_and_sees_what_is_left(rows, reader, retention):
    gone = await rows.in_status(JobStatus.COMPLETED)
    kept = await rows.in_status(JobStatus.RUNNING)
    await retention.delete_jobs([gone])
    seen = await reader.read()
    assert seen == [*((kind, kept) for kind in ("submitted", "claimed", "started")),
                    ("deleted", gone)]  # fmt: skip
    assert reader.gaps == 1
    await finish(rows, kept)
    assert await reader.kinds() == ["finished"]
    assert reader.gaps == 1


async def test_each_loss_is_told_also_to_one_that_reads_slowly(rows, reader, retention):
    first, second = [await rows.in_status(JobStatus.COMPLETED) for _ in range(2)]
    await retention.delete_jobs([first])
    with pytest.raises(EventsGoneError) as caught:
        await reader.events.after(reader.cursor, EVERYTHING, 1)
    resumed = caught.value.resume
    batch = await reader.events.after(resumed, EVERYTHING, 1)
    assert [event.job_id for event in batch.events] == [second]
    await retention.delete_jobs([second])
    for cursor in (resumed, batch.cursor):
        with pytest.raises(EventsGoneError) as caught:
            await reader.events.after(cursor, EVERYTHING, 1)
        assert caught.value.resume.seq == cursor.seq
    reader.cursor = caught.value.resume
    assert await reader.read() == [("deleted", first), ("deleted", second)]


async def test_a_loss_of_progress_that_was_replaced_is_none(rows, reader):
    job_id = await rows.in_status(JobStatus.RUNNING)
    await report(rows, job_id, 1)
    await reader.read()
    for current in range(2, 9):
        await report(rows, job_id, current)
    await finish(rows, job_id)
    assert await reader.kinds() == ["progress", "finished"]
    assert reader.gaps == 0


async def test_deletions_are_forgotten_by_age_and_number(rows, reader, retention):
    start = str(reader.cursor)
    jobs = [await rows.in_status(JobStatus.COMPLETED) for _ in range(4)]
    await reader.read()
    seen_all = str(reader.cursor)
    for job in jobs:
        await retention.delete_jobs([job])
    young, old = utc_now() - timedelta(minutes=1), utc_now() + timedelta(minutes=1)
    assert await retention.forget_deletions(young, 10, 10) == 0
    assert await retention.forget_deletions(young, 2, 1) == 1
    assert await retention.forget_deletions(young, 2, 10) == 1
    assert await retention.forget_deletions(young, 2, 10) == 0
    assert await SqliteJobRetention(rows.database, "another").forget_deletions(old, 0, 9) == 0
    assert await EventReader(rows.database).read() == [("deleted", job) for job in jobs[2:]]
    assert await retention.forget_deletions(old, 10, 10) == 2
    assert await rows.database.fetch_all("SELECT * FROM job_events") == []
    for cursor in (start, seen_all):
        late = EventReader(rows.database, EventCursor.parse(cursor))
        assert await late.read() == []
        assert late.gaps == 1, "it did not see that they were deleted"
    new = await rows.add()
    assert await late.read() == [("submitted", new)]
    assert late.gaps == 1


async def test_numbers_are_never_given_out_again(rows, retention):
    job_id = await rows.in_status(JobStatus.COMPLETED)
    await retention.delete_jobs([job_id])
    await retention.forget_deletions(utc_now() + timedelta(minutes=1), 0, 10)
    reader = await EventReader(rows.database).begin()
    assert reader.cursor.seq == 6, "forgetting takes a number, too"
    await rows.add()
    await reader.read()
    assert [event.seq for event in reader.seen] == [7]


# ---------------------------------------------------------------------- other histories


async def test_a_cursor_from_before_a_restore_skips_nothing(source, target, tmp_path):
    async with source.opened() as database:
        await source.add_to(database, JobStatus.COMPLETED, b"hello\n")
        early = await SqliteJobEvents(database).latest()
    await asyncio.to_thread(back_up, source, tmp_path / "b.tar")
    async with source.opened() as database:
        await source.add_to(database, JobStatus.COMPLETED, b"later\n")
        late = await SqliteJobEvents(database).latest()
    await asyncio.to_thread(restore, target, tmp_path / "b.tar")
    async with target.opened() as database:
        new = [await target.add_to(database, JobStatus.COMPLETED) for _ in range(3)]
        for cursor in (early, late):
            reader = EventReader(database, cursor)
            seen = await reader.read()
            assert reader.gaps == 1
            assert [job for kind, job in seen if kind == "submitted"] == new
        everything = EventReader(database)
        assert len(await everything.read()) == 16, "a backup has the events"
        assert everything.gaps == 0


async def test_two_restores_of_one_backup_are_two_histories(source, target, tmp_path):
    async with source.opened() as database:
        await source.add_to(database, JobStatus.QUEUED)
    await asyncio.to_thread(back_up, source, tmp_path / "b.tar")
    cursors = []
    for _ in range(2):
        await asyncio.to_thread(restore, target, tmp_path / "b.tar", force=True)
        async with target.opened() as database:
            cursors.append(await SqliteJobEvents(database).latest())
    assert cursors[0].seq == cursors[1].seq
    assert cursors[0].stream != cursors[1].stream


async def test_a_copy_tells_that_its_live_jobs_ended(source, target, tmp_path):
    async with source.opened() as database:
        running = await source.add_to(database, JobStatus.RUNNING)
        before = await SqliteJobEvents(database).latest()
    await asyncio.to_thread(back_up, source, tmp_path / "b.tar")
    await asyncio.to_thread(restore, target, tmp_path / "b.tar", new_instance=True)
    async with target.opened() as database:
        reader = EventReader(database, before)
        assert await reader.read() == [("finished", running)]
        assert (reader.gaps, reader.seen[0].facts["reason"]) == (1, "lost")


async def test_a_database_file_that_was_put_back_is_noticed_while_it_is_behind(rows, reader):
    ahead = EventCursor(reader.cursor.stream, 1000)
    with pytest.raises(EventsGoneError) as caught:
        await reader.events.after(ahead, EVERYTHING, 10)
    assert caught.value.resume == reader.cursor


# ---------------------------------------------------------------------- agreement with the rows


async def everything(rows, retention):
    """Jobs in every status, and deleted ones; their events agree."""
    for status in JobStatus:
        await rows.in_status(status)
    await retention.delete_jobs([await rows.in_status(JobStatus.COMPLETED)])
    tested = await rows.in_status(JobStatus.RUNNING)
    await report(rows, tested, 3)
    await finish(rows, tested, Ending(PASSED, 3, tests=TESTS))
    assert not await check_events(rows.database)


FAULTS = {
    "no submission": ("DELETE FROM job_events WHERE kind = 'submitted'", (7, 0)),
    "no end": ("DELETE FROM job_events WHERE kind = 'finished'", (4, 0)),
    "an event of nobody": (
        "INSERT INTO job_events (job_id, tenant, user, kind, at, facts) "
        "VALUES ('x', 't', 'u', 'started', '2030-01-01T12:00:00.000Z', '{}')",
        (0, 1),
    ),
    "the end of a job that goes on": (
        "UPDATE jobs SET status = 'running' WHERE status = 'failed'",
        (0, 1),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults_are_counted_and_repaired(rows, retention, name):
    await everything(rows, retention)
    reader = await EventReader(rows.database).begin()
    facts = await end_facts(rows)
    statement, counts = FAULTS[name]
    await rows.database.write(statement)
    found = await check_events(rows.database)
    assert (found.missing, found.surplus) == counts
    await repair_events(rows.database)
    assert not await check_events(rows.database)
    await reader.read()
    assert reader.gaps == 1, "a reader is told"
    if counts[0]:
        assert await end_facts(rows) == facts


async def end_facts(rows):
    """What is told of submissions and ends, however often it is written."""
    found = await rows.database.fetch_all(
        "SELECT job_id, kind, at, facts FROM job_events WHERE kind IN ('submitted', 'finished')"
    )
    return {(row["job_id"], row["kind"], row["at"], row["facts"]) for row in found}


async def test_a_count_that_lags_is_put_right(rows, retention):
    await everything(rows, retention)
    before = (await SqliteJobEvents(rows.database).latest()).seq
    await rows.database.write("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'job_events'")
    assert (await check_events(rows.database)).behind == before - 3
    await repair_events(rows.database)
    assert not await check_events(rows.database)
    assert (await SqliteJobEvents(rows.database).latest()).seq == before


# ---------------------------------------------------------------------- text, cost


async def test_a_reader_without_a_cursor_is_given_one(rows):
    with pytest.raises(EventsGoneError) as caught:
        await SqliteJobEvents(rows.database).after(NO_CURSOR, EVERYTHING, 10)
    assert caught.value.resume.stream == (await SqliteJobEvents(rows.database).latest()).stream


@pytest.mark.parametrize("cursor", [EventCursor("ab12", 0), EventCursor("ab12", 7, 9)])
def test_a_cursor_is_text(cursor):
    assert EventCursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    ["", "1", "a", "a.", ".1", "a.-1", "a.1.2.3", "a.x", "a.1.", "a.²", "a. 1", "a.1" + "0" * 18],
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(ValueError, match="not an event cursor"):
        EventCursor.parse(text)


async def test_no_reader_looks_at_all_events(rows, tmp_path):
    """Whatever the scope: what is new is found by an index."""
    statements = []
    fetch = rows.database.fetch_all

    async def noting(sql, parameters=()):
        statements.append((sql, list(parameters)))
        return await fetch(sql, parameters)

    rows.database.fetch_all = noting
    events = SqliteJobEvents(rows.database)
    cursor = await events.latest()
    shared = JobScope("t", "u", others=(Visibility.TENANT,))
    scopes = (JobScope(), JobScope("t"), JobScope("t", "u"), JobScope(job_id="j"), shared)
    for scope in scopes:
        await events.after(cursor, scope, 10)
    with closing(sqlite3.connect(tmp_path / "ci.db")) as connection:
        for sql, parameters in statements[-len(scopes) :]:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
            scans = [step for step in plan if step.startswith("SCAN")]
            assert all("stream" in step or "found" in step or "sqlite_sequence" in step
                       for step in scans), plan  # fmt: skip

"""Progress that jobs report in their output becomes events: the newest, and the last one always."""

import asyncio
import sqlite3

import pytest

from ci_common.job import JobStatus
from ci_common.ports.rows import ProgressReport
from ci_common.progress import Progress
from ci_common.secret import Secret
from ci_controller.running.progress_reports import ProgressReports
from support.event_readers import EventReader
from support.jobs import NOON, a_job
from support.waiting import until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED = JobStatus.RUNNING, JobStatus.COMPLETED


def line(current):
    return b'::progress {"current":%d,"total":9,"phase":"work"}\n' % current


def out(current):
    return f"out:{line(current).decode()}"


@pytest.fixture
async def reader(world):
    return await EventReader(world.database).begin()


def told(reader):
    """Kinds, and progress as its number."""
    return [event.facts.get("current", event.kind.value) for event in reader.seen]


async def until_told(reader, current):
    async def look():
        await reader.read()
        return told(reader)

    await until(look, lambda seen: current in seen, f"progress {current}")


async def test_the_last_progress_is_told_before_the_end(world, reader):
    job_id = await world.submit("out:hello\n", out(1), out(2), out(3), "exit:0")
    await world.until_status(job_id, COMPLETED)
    await reader.read()
    assert told(reader) == ["submitted", "claimed", "started", 3, "finished"]
    assert world.log(job_id) == b"hello\n" + line(1) + line(2) + line(3)


async def test_progress_is_told_while_the_job_runs(world, reader):
    job_id = await world.submit(out(1))
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    for current in (2, 3):
        workload.write(line(current))
        await until_told(reader, current)
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)
    assert (await reader.kinds()) == ["finished"]


async def test_a_score_outlives_the_reports_after_it(world, reader):
    scored = '::progress {"current":1,"total":9,"phase":"work","iteration":1,"score":6.5}\n'
    job_id = await world.submit(f"out:{scored}", out(2), out(3), "exit:0")
    await world.until_status(job_id, COMPLETED)
    await reader.read()
    (event,) = (event for event in reader.seen if event.kind.value == "progress")
    facts = event.facts
    assert (facts["current"], facts["iteration"], facts["score"]) == (3, 1, 6.5)


async def test_a_job_that_is_taken_over_says_nothing_twice(world, reader):
    job_id = await world.submit("out:hello\n", out(1))
    await world.until_status(job_id, RUNNING)
    await until_told(reader, 1)
    old = world.take_over()
    await world.controller.run_once()
    workload = world.executor.workloads[job_id]
    await until(lambda: len(workload.outputs), lambda count: count == 2, "the second follower")
    workload.write(line(2))
    await until_told(reader, 2)
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)
    await reader.read()
    assert told(reader) == ["submitted", "claimed", "started", 1, 2, "finished"]
    await old.close()


async def test_what_was_stored_but_not_told_is_told_by_the_next_one(world, reader, monkeypatch):
    job_id = await world.submit("out:hello\n", out(1), "out:text\n::progress ")

    async def never(reports, at):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(world.controller._context.transitions, "report_progress", never)
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello\n" + line(1) + b"text\n::progress ")
    old = world.take_over()
    await old._drop_runs()
    await world.controller.run_once()
    await until_told(reader, 1)
    workload = world.executor.workloads[job_id]
    workload.write(line(7).removeprefix(b"::progress "))
    await until_told(reader, 7)
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)


async def test_a_database_that_takes_no_progress_harms_no_job(world, reader, monkeypatch, caplog):
    async def never(reports, at):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(world.controller._context.transitions, "report_progress", never)
    job_id = await world.submit(out(1), "exit:0")
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert await reader.kinds() == ["submitted", "claimed", "started", "finished"]
    assert "retrying: disk I/O error" in caplog.text


async def test_an_attempt_has_its_own_progress(world, reader):
    job_id = await world.submit(out(5), retries=1)
    await world.until_status(job_id, RUNNING)
    await until_told(reader, 5)
    await world.lose(job_id)

    async def running_again():
        await world.controller.run_once()
        job = await world.row(job_id)
        return job.attempt, job.status

    await until(running_again, lambda now: now == (2, RUNNING), "the second attempt")
    workload = world.executor.workloads[job_id]
    workload.write(line(1))
    await until_told(reader, 1)
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)
    await reader.read()
    seen = [(event.kind.value, event.facts.get("attempt")) for event in reader.seen]
    progress = [attempt for kind, attempt in seen if kind == "progress"]
    assert progress[0] == 1
    assert progress[-1] == 2
    assert seen[-1] == ("finished", 2)


async def test_secrets_are_masked(world, reader):
    secret = "correct-horse-battery"
    text = f'out:::progress {{"current":1,"total":9,"phase":"{secret}"}}\n'
    job_id = await world.submit(text, "exit:0", secrets=[Secret("TOKEN", secret.encode())])
    await world.until_status(job_id, COMPLETED)
    await reader.read()
    assert [event.facts["phase"] for event in reader.seen if event.kind == "progress"] == ["*" * 21]


# ---------------------------------------------------------------------- how often


class Rows:
    """Takes reports, when it is let."""

    def __init__(self):
        self.written = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = 0

    async def report_progress(self, reports, at):
        await self.gate.wait()
        if self.fails:
            self.fails -= 1
            raise sqlite3.OperationalError("database is locked")
        self.written.append({report.job_id: report.progress.current for report in reports})


@pytest.fixture
def rows():
    return Rows()


async def reports_of(rows, pause_seconds=3600.0):
    return ProgressReports(rows, lambda: NOON, pause_seconds)


def progress(current):
    return Progress(current, 9, "work")


async def test_between_two_pauses_only_the_newest_of_each_job_is_written(rows):
    reports = await reports_of(rows, pause_seconds=0.05)
    takes = {name: reports.reporter(a_job(job_id=name)) for name in "ab"}
    takes["a"](progress(1))
    await until(lambda: rows.written, what="the first")
    for current in range(2, 100):
        takes["a"](progress(current))
        takes["b"](progress(current))
    await until(lambda: len(rows.written), lambda count: count > 1, "the second")
    assert rows.written[:2] == [{"a": 1}, {"a": 99, "b": 99}]
    await reports.close()


async def test_the_last_is_written_at_once_and_after_what_is_under_way(rows):
    reports = await reports_of(rows)
    take = reports.reporter(a_job(job_id="a"))
    rows.gate.clear()
    take(progress(1))
    await until(lambda: reports._writing.locked(), what="a write")
    take(progress(2))
    flushing = asyncio.create_task(reports.flush("a"))
    rows.gate.set()
    await flushing
    assert rows.written == [{"a": 1}, {"a": 2}]
    await reports.flush("a")
    await reports.flush("b")
    assert len(rows.written) == 2
    await reports.close()


async def test_what_cannot_be_written_now_is_written_with_what_comes(rows):
    reports = await reports_of(rows, pause_seconds=0.01)
    rows.fails = 1
    rows.gate.clear()
    takes = {name: reports.reporter(a_job(job_id=name)) for name in "ab"}
    takes["a"](progress(1))
    takes["b"](progress(1))
    await until(lambda: reports._writing.locked(), what="a write")
    takes["a"](progress(2))
    rows.gate.set()
    await until(lambda: rows.written, what="the second try")
    assert rows.written == [{"a": 2, "b": 1}]
    await reports.close()


async def test_a_last_report_that_cannot_be_written_keeps_nothing_else_back(rows):
    """It is put back when nobody writes any more: the next one must wake a writer all the same."""
    reports = await reports_of(rows, pause_seconds=0.01)
    takes = {name: reports.reporter(a_job(job_id=name)) for name in "ab"}
    rows.fails = 1
    takes["a"](progress(1))
    await reports.flush("a")
    takes["b"](progress(2))

    def told():
        return {job: current for batch in rows.written for job, current in batch.items()}

    await until(told, lambda seen: seen == {"a": 1, "b": 2}, "both")
    await reports.close()


async def test_reports_are_of_the_attempt_that_made_them():
    class Kept:
        async def report_progress(self, reports, at):
            self.reports = reports

    kept = Kept()
    reports = await reports_of(kept)
    reports.reporter(a_job(job_id="a", attempt=3))(progress(1))
    await reports.flush("a")
    assert kept.reports == [ProgressReport("a", 3, progress(1))]
    await reports.close()


async def test_many_threads_lose_nothing(rows):
    reports = await reports_of(rows, pause_seconds=0.001)

    def work(name):
        take = reports.reporter(a_job(job_id=name))
        return lambda: [take(progress(current)) for current in range(2000)]

    await asyncio.gather(*(asyncio.to_thread(work(f"job{number}")) for number in range(4)))

    def last():
        return {name: current for batch in rows.written for name, current in batch.items()}

    await until(last, lambda seen: seen == {f"job{number}": 1999 for number in range(4)})
    await reports.close()


def test_a_report_after_the_loop_has_ended_disturbs_nobody():
    async def make():
        return (await reports_of(Rows())).reporter(a_job(job_id="a"))

    asyncio.run(make())(progress(1))

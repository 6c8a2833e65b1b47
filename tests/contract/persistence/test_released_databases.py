"""A database of every released version still opens, migrates, and tells every job."""

import re
import sqlite3
from contextlib import closing

import pytest

from ci_common.job import JobStatus, Network, Reason, Visibility, utc_now
from ci_persistence.database.database import Database
from ci_persistence.database.migrations import MIGRATIONS
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.event_check import check_events
from ci_persistence.sqlite.job_rows import COLUMNS, from_row
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.usage import COUNTED
from support.event_readers import EventReader
from support.instances import ROOT

pytestmark = pytest.mark.anyio


def schema_version(dump):
    return int(dump.stem.removeprefix("schema_"))


DUMPS = sorted((ROOT / "tests" / "fixtures" / "databases").glob("schema_*.sql"), key=schema_version)
OLD_DUMPS = [dump for dump in DUMPS if schema_version(dump) < len(MIGRATIONS)]


def from_dump(dump, path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())
    return path


def job_id(number):
    return f"{number:08x}-1d98-473b-97cd-ca98a65347dd"


async def jobs_of(database):
    rows = await database.fetch_all(f"SELECT {COLUMNS} FROM jobs ORDER BY seq")
    return [from_row(row) for row in rows]


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
async def database(request, tmp_path):
    database = Database(from_dump(request.param, tmp_path / "ci.db"))
    await database.open()
    yield database
    await database.close()


async def test_every_job_is_read(database):
    jobs = await jobs_of(database)
    assert {job.visibility for job in jobs} == {Visibility.VIEWERS}, "as it was"
    assert [job.job_id for job in jobs] == [job_id(number) for number in range(1, 10)]
    assert {job.status for job in jobs} == set(JobStatus)
    assert all((job.outcome is not None) == job.status.is_terminal for job in jobs)
    assert database.instance_id == "0123456789abcdef0123456789abcdef"


async def test_jobs_keep_what_they_asked_for_and_what_became_of_them(database):
    jobs = await jobs_of(database)
    asked = jobs[1].spec
    assert asked.command == ("/bin/sh", "-c", "make; echo 'it''s; done'")
    assert asked.env == {"GREETING": "grüß dich; 'quoted'", "EMPTY": ""}
    assert asked.limits.network is Network.NONE
    assert (asked.limits.timeout_seconds, asked.limits.memory_mb) == (90.5, 512)
    assert jobs[1].cancel_requested_at is not None
    outcome = jobs[6].outcome
    assert outcome is not None
    assert (outcome.reason, outcome.exit_code, jobs[6].log_size) == (Reason.OOM, 137, 12)


async def test_the_schema_is_that_of_a_new_database(database, tmp_path):
    fresh = Database(tmp_path / "fresh.db")
    await fresh.open()
    assert await schema_of(database) == await schema_of(fresh)
    await fresh.close()


STORED = {1: 4711 + 12 + 0 + 300, 2: 4711 + 12 + 8 + 0 + 300, 3: 4711 + 40 + 8 + 0 + 300}
"""Bytes of logs and artifacts; from schema 3 on a log may be smaller than what was written."""


async def test_the_totals_of_tenants_are_those_of_the_rows(database):
    kept = await database.fetch_all("SELECT * FROM tenant_totals ORDER BY tenant")
    counted = await database.fetch_all(f"{COUNTED} ORDER BY tenant")
    assert [tuple(row) for row in kept] == [tuple(row) for row in counted] != []


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
async def test_the_totals_are_those_of_the_rows(dump, tmp_path):
    database = Database(from_dump(dump, tmp_path / "ci.db"))
    await database.open()
    totals = await SqliteJobRetention(database, "nobody").totals()
    assert (totals.jobs, totals.stored_bytes) == (4, STORED[schema_version(dump)])
    await database.close()


async def test_every_job_has_the_events_of_what_is_known_of_it(database):
    assert not await check_events(database)
    reader = EventReader(database)
    await reader.read()
    assert reader.gaps == 0
    assert [event.at for event in reader.seen] == sorted(event.at for event in reader.seen)
    for job in await jobs_of(database):
        events = {e.kind.value: e.at for e in reader.seen if e.job_id == job.job_id}
        times = {
            "submitted": job.created_at,
            "started": job.started_at,
            "cancel_requested": job.cancel_requested_at,
            "finished": job.ended_at,
        }
        assert events == {kind: at for kind, at in times.items() if at is not None}


@pytest.mark.parametrize("dump", DUMPS[1:], ids=lambda dump: dump.stem)
async def test_attempts_artifacts_and_reports_of_schema_2(dump, tmp_path):
    database = Database(from_dump(dump, tmp_path / "ci.db"))
    await database.open()
    jobs = await jobs_of(database)
    assert (jobs[3].attempt, jobs[6].attempt) == (3, 2)
    assert (jobs[6].log_dropped, jobs[6].artifacts_size) == (5, 8)
    tests = jobs[6].tests
    assert tests is not None
    assert (tests.total, tests.failures[0].message) == (3, "it's 1; not 2")
    artifacts = await SqliteJobSubmissions(database, ProcessJobSignals()).artifacts(job_id(7))
    assert [(a.path, a.size) for a in artifacts] == [("output/a b.txt", 3), ("output/grün.txt", 5)]
    lease = SqliteControllerLease(database)
    assert await lease.acquire("new", utc_now(), 8) == 8, "epochs go on from where they were"
    await lease.release("new")
    await database.close()


@pytest.mark.parametrize("dump", OLD_DUMPS, ids=lambda dump: dump.stem)
async def test_looking_migrates_nothing(dump, tmp_path):
    path = from_dump(dump, tmp_path / "ci.db")
    before = path.read_bytes()
    with pytest.raises(Exception, match="start the server of this version once"):
        await Database(path).open(migrate=False)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == schema_version(dump)
        # Which kind of journal it has is all that was changed.
        assert list(connection.iterdump()) == list(dump_of(before, tmp_path))


def dump_of(content, tmp_path):
    path = tmp_path / "copy.db"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


async def schema_of(database):
    rows = await database.fetch_all("SELECT type, name, tbl_name, sql FROM sqlite_schema")
    schema = {(row[0], row[1], row[2], " ".join((row[3] or "").split())) for row in rows}
    versions = await database.fetch_all("PRAGMA user_version")
    return {re.sub(r"\s*([(),])\s*", r"\1", sql) for *_, sql in schema}, versions[0][0]

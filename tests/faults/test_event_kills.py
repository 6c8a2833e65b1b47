"""Processes that write events, and one that reads them, are killed at any moment."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import pytest

from ci_common.job import utc_now
from ci_common.job_events import EventCursor
from ci_persistence.database.database import Database
from ci_persistence.sqlite.events import SqliteJobEvents
from ci_persistence.sqlite.lease import SqliteControllerLease
from support.event_readers import EventReader
from support.event_writers import HOLDER
from support.live_server import ROOT
from support.waiting import until_sync

KILLS = 6

SPY = """
    CREATE TABLE written (seq INTEGER PRIMARY KEY, kind TEXT, job_id TEXT);
    CREATE TRIGGER spy AFTER INSERT ON job_events BEGIN
        INSERT INTO written VALUES (NEW.seq, NEW.kind, NEW.job_id);
    END;
"""
"""What is committed, also when the events table does not keep it."""


class Instance:
    """A database, two writers, and a reader whose words outlive it."""

    def __init__(self, directory, *, deletes):
        self.path = directory / "ci.db"
        self.words = directory / "words"
        self.words.touch()
        self.start = asyncio.run(self._make())
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(SPY)
        self._writing = ("write", str(self.path), *(["deletes"] if deletes else []))
        self.processes = {}
        for name in ("writer", "other writer", "reader"):
            self.begin(name)

    async def _make(self):
        database = Database(self.path)
        await database.open()
        lease = SqliteControllerLease(database)
        assert await lease.acquire(HOLDER, utc_now(), timedelta(days=1).total_seconds())
        start = await SqliteJobEvents(database).latest()
        await database.close()
        return start

    def begin(self, name):
        reads = ("read", str(self.path), str(self.told()[1]))
        arguments = reads if name == "reader" else self._writing
        with self.words.open("ab") as words:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "support.event_writers", *arguments],
                cwd=ROOT / "tests",
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=words,
            )

    def kill(self, name):
        process = self.processes.pop(name)
        assert process.poll() is None, f"the {name} ended by itself"
        process.kill()
        process.wait()
        if name == "reader":  # what it was saying is not said, nor is its cursor kept
            whole = self.words.read_bytes().rpartition(b"\n")
            self.words.write_bytes(b"".join(whole[:2]))

    def told(self):
        """The events that a reader has dealt with, its cursor, and how often some were gone."""
        lines = self.words.read_bytes().rpartition(b"\n")[0].splitlines()
        batches = [json.loads(line) for line in lines]
        events = [tuple(event) for told, _, _ in batches for event in told]
        cursor = EventCursor.parse(batches[-1][1]) if batches else self.start
        return events, cursor, sum(gaps for _, _, gaps in batches)

    def look(self, sql):
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def written(self):
        return self.look("SELECT seq, kind, job_id FROM written ORDER BY seq")

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()

    async def rest(self):
        """What a reader that goes on where the last one died sees, and how often it was told."""
        database = Database(self.path)
        await database.open()
        reader = EventReader(database, self.told()[1])
        await reader.read()
        await database.close()
        return [(event.seq, event.kind.value, event.job_id) for event in reader.seen], reader.gaps


@pytest.fixture
def make_instance(tmp_path):
    made = []

    def make(**options):
        made.append(Instance(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def may_be_missing(written, gaps):
    """Replaced progress; and of a deleted job what was before, when that was told."""
    last = {(kind, job): seq for seq, kind, job in written}
    for seq, kind, job in written:
        replaced = kind == "progress" and seq < last[kind, job]
        if replaced or (gaps and seq < last.get(("deleted", job), 0)):
            yield seq, kind, job


@pytest.mark.fault(
    "`kill -9` of processes that write and read events",
    "two processes change jobs (and, in half the runs, delete some) and one follows the events "
    "from cursor to cursor; one of them is killed and restarted repeatedly",
    "the reader has every committed event once, in commit order, and was told when events of a "
    "deleted job were gone; numbers have no gap",
    repeats=1,
)
@pytest.mark.parametrize("deletes", [False, True], ids=["kept", "deleted"])
def test_no_event_is_lost_or_told_twice(make_instance, dice, deletes):
    instance = make_instance(deletes=deletes)
    for _ in range(KILLS):
        name = dice.choice(sorted(instance.processes))
        before, seen = len(instance.written()), len(instance.told()[0])
        enough = before + dice.randrange(10, 60)
        until_sync(lambda: len(instance.written()), lambda n, enough=enough: n > enough, "events")
        until_sync(lambda: len(instance.told()[0]), lambda n, seen=seen: n > seen, "a reader's")
        instance.kill(name)
        instance.begin(name)
    for name in sorted(instance.processes):
        instance.kill(name)
    rest, gaps = asyncio.run(instance.rest())
    events, _, earlier_gaps = instance.told()
    events, gaps = events + rest, gaps + earlier_gaps
    written = instance.written()
    assert [seq for seq, _, _ in written] == list(range(1, len(written) + 1))
    assert events == sorted(set(events)), "an event came twice, or out of order"
    assert set(events) <= set(written)
    missing = set(written) - set(events)
    assert missing <= set(may_be_missing(written, gaps))
    assert gaps == 0 or deletes
    rows = instance.look("SELECT job_id, ended_at IS NOT NULL FROM jobs")
    finished = [job for _, kind, job in written if kind == "finished"]
    assert sorted(job for job, ended in rows if ended) == sorted(
        set(finished) - {job for _, kind, job in written if kind == "deleted"}
    )
    assert len(finished) == len(set(finished))

"""Rows and logs, written the way the controller does, and streams over them."""

import asyncio

from ci_common.events import LogEvent
from ci_common.job import JobStatus, Outcome, Reason
from ci_common.ports.rows import Ending
from ci_common.waiting import JobSlots
from ci_persistence.database.database import Database
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from ci_server.apis.native.present import event_json
from ci_server.streams.log_stream import LogStreams
from ci_server.streams.wait_reasons import WaitReasons
from support.jobs import NOON, Clock, a_job

PASSED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)


TEXT = "a€ä😀\n" * 3 + "日本語 ohne Zeilenende 😀"


class NoSignals:
    """Signals of another process: they never come."""

    def notify(self, job_id):
        pass

    def notify_events(self):
        pass

    def subscribe(self, job_id):
        return self

    async def wait(self, timeout_seconds):
        await asyncio.sleep(timeout_seconds)
        return False

    def close(self):
        pass


class World:
    """Rows and logs, written the way the controller does, and streams over them."""

    async def open(self, path, signals=None):
        self.signals = signals or ProcessJobSignals()
        self.database = Database(path / "ci.db")
        await self.database.open()
        self.logs = FileLogStore(path, self.signals)
        self.jobs = SqliteJobSubmissions(self.database, self.signals)
        self.moves = SqliteJobTransitions(self.database, self.signals, "me")
        await SqliteControllerLease(self.database).acquire("me", NOON, 3600)
        self.streams = LogStreams(
            self.jobs,
            self.logs,
            self.signals,
            WaitReasons(self.jobs, JobSlots(4), lambda: self.clock()),
        )
        self.clock = Clock()
        return self

    async def job(self, *pieces, finish=False):
        """A running job that has written this much, or one that has finished."""
        job = a_job()
        await self.jobs.add(job)
        self.log = self.logs.open(job.job_id)
        await self.moves.claim(job.job_id)
        await self.moves.mark_running(job.job_id, self.clock())
        for piece in pieces:
            self.log.append(piece)
        if finish:
            await self.finish(job.job_id)
        return await self.jobs.get(job.job_id)

    async def finish(self, job_id, outcome=PASSED):
        assert await self.moves.finish(job_id, Ending(outcome, self.log.size), self.clock())
        self.log.close()

    async def watch(self, job, offset=0):
        async with asyncio.timeout(30):
            return [event async for event in self.streams.events(job, offset)]


def joined(events):
    return b"".join(event.content for event in events if isinstance(event, LogEvent))


def assert_ids_are_offsets(events, offset=0):
    for event in events:
        if isinstance(event, LogEvent):
            assert event.content, "an empty event"
            offset += len(event.content)
            assert event.end_offset == offset


def texts(events):
    return [event_json(event) for event in events if isinstance(event, LogEvent)]

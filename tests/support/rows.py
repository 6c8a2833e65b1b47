"""Rows, and jobs that got where they are in the ordinary way."""

from ci_common.job import (
    JobStatus,
    Outcome,
    Reason,
)
from ci_common.ports.rows import Ending
from ci_persistence.database.database import Database
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.jobs import NOON, a_job

PASSED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)
FAILED = Outcome(JobStatus.FAILED, Reason.TIMEOUT, "stopped", 143)
CANCELLED = Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "cancelled")


class Rows:
    async def open(self, path):
        self.database = Database(path)
        await self.database.open()
        self.signals = signals = ProcessJobSignals()
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

"""The machine's clock is set by days while jobs run: real rows, files and containers, and a
controller in this process, whose clock the test sets.
"""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.job import JobStatus, Reason, utc_now
from ci_common.settings import Settings
from ci_controller.assembly import ControllerStores, build_controller
from ci_controller.executors.registry import build_executor
from ci_controller.reconcile.controller import new_holder
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.job_details import SqliteResourceStore
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.accepted_jobs import SeededJob
from support.engine import remove_everything_of
from support.jobs import a_job
from support.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

SECONDS = 60.0


class Runner:
    """An instance without HTTP: what the composition roots put together, on a clock of ours."""

    def __init__(self, path, **settings):
        self.settings = Settings(
            db_path=path / "ci.db", reconcile_seconds=0.3, retention_days=1, **settings
        )
        self.set_by = timedelta()
        self.database = Database(self.settings.db_path)
        signals, data = ProcessJobSignals(), self.settings.data_path
        self.logs = FileLogStore(data, signals)
        self.packages = FilePackageStore(data, 0)
        self.submissions = SqliteJobSubmissions(self.database, signals)
        self.bell = SocketDoorbell(data)
        self._signals = signals
        self._controllers = contextlib.AsyncExitStack()

    def now(self):
        return utc_now() + self.set_by

    async def __aenter__(self):
        await self.database.open()
        await self.add_controller()
        return self

    async def __aexit__(self, *error):
        await self._controllers.aclose()
        await self.database.close()
        remove_everything_of(self.database.instance_id)

    async def add_controller(self):
        """One more on the same database, in this process; until the end."""
        holder = new_holder()
        executor = build_executor(self.settings, self.database.instance_id)
        self._controllers.push_async_callback(executor.close)
        stores = ControllerStores(
            holder,
            SqliteJobTransitions(self.database, self._signals, holder),
            SqliteJobRetention(self.database, holder),
            SqliteControllerLease(self.database),
            self.logs,
            self.packages,
            FileArtifactStore(self.settings.data_path),
            self.bell,
            FileJobSecrets(self.settings.data_path, SecretKeys(self.settings.data_path, None)),
            SqliteResourceStore(self.database, holder),
            no_check,
        )
        controller = build_controller(self.settings, executor, stores, self.now)
        task = asyncio.create_task(controller.run())

        async def end():
            task.cancel()
            await asyncio.wait([task])

        self._controllers.push_async_callback(end)

    async def submit(self, seeded, timeout):
        staged = self.packages.stage()
        staged.write(seeded.project)
        job = a_job(command=seeded.command, timeout=timeout, created_at=self.now())
        await self.submissions.add(replace(job, package=staged.commit(job.job_id)))
        self.bell.ring()
        return job.job_id

    async def until_status(self, job_id, *statuses):
        return await until(
            lambda: self.submissions.get(job_id),
            lambda job: job is not None and job.status in statuses,
            f"job {job_id} {statuses}",
            SECONDS,
        )

    async def until_log(self, job_id, size):
        await until(lambda: self.logs.size(job_id), lambda have: have >= size, "some log", SECONDS)

    async def epoch(self):
        row = await self.database.fetch_one("SELECT epoch FROM controller_lease")
        return row["epoch"]


@pytest.fixture
async def runner(tmp_path):
    async with Runner(tmp_path) as runner:
        yield runner


@pytest.mark.fault(
    "the clock is set while jobs run",
    "the clock is set three days forward or back when a job's log has a random size; another "
    "controller is on standby, and retention deletes finished jobs older than a day",
    "the job completed with its whole log; another job that exceeded its timeout was stopped; no "
    "controller took over; retention deleted no job",
)
@pytest.mark.parametrize("days", [3, -3], ids=["forward", "back"])
async def test_clock_is_set(runner, dice, days):
    done = await runner.submit(SeededJob(f"{dice.random()}", count=3), 60)
    await runner.until_status(done, JobStatus.COMPLETED)
    await runner.add_controller()
    seeded = SeededJob(f"{dice.random()}", seconds=6)
    job_id = await runner.submit(seeded, 60)
    endless = await runner.submit(SeededJob("endless", seconds=600), 12)
    await runner.until_log(endless, 1)
    await runner.until_log(job_id, dice.randrange(1, len(seeded.output) // 2))
    epoch = await runner.epoch()
    runner.set_by = timedelta(days=days)
    ended = await runner.until_status(job_id, JobStatus.COMPLETED, JobStatus.FAILED)
    assert (ended.outcome.reason, ended.outcome.exit_code) == (Reason.EXIT, 0)
    assert runner.logs.read(job_id, 0, 1 << 20) == seeded.output
    stopped = await runner.until_status(endless, JobStatus.COMPLETED, JobStatus.FAILED)
    assert stopped.outcome.reason is Reason.TIMEOUT
    assert await runner.epoch() == epoch
    assert await runner.submissions.get(done) is not None
